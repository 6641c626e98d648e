#pragma once

#include "kernels/cuda/pool2d/windows.cuh"

#include <cstdint>

namespace miniparallel::kernels::cuda {

/// Pooling as its kernels see it where channels are innermost: an element that a thread writes is a pack.
struct PackedPooling {
  Pooling windows;  // a plane is an image
  Divider packs;
  std::int64_t channels;
};

/// Calls run(pooling, first image) for parts of the batch, with `pack` channels in a pack. Written are images
/// of height x width.
template <class F>
void for_each_packed_part(const Pool2dGeometry& g, std::int64_t height, std::int64_t width, int pack,
                          const F& run) {
  const std::int64_t packs = g.channels / pack;
  Pool2dGeometry images = g;
  images.planes = g.planes / g.channels;
  for_each_part(images, height, width, static_cast<int>(packs), [&](Pooling windows, std::int64_t first) {
    windows.elements *= static_cast<std::uint32_t>(packs);
    run(PackedPooling{windows, divider(packs), g.channels}, first);
  });
}

// The launchers of `Pool2d` for T: float, Half or BFloat16.
template <class T>
void max_of_packs(const Pool2dGeometry& g, const void* x, void* y, void* index, Stream stream);
template <class T>
void scatter_packs(const Pool2dGeometry& g, const void* dy, const void* index, const Destination& dx,
                   Stream stream);
template <class T>
void gather_packs(const Pool2dGeometry& g, const void* x, const void* index, void* y, Stream stream);
template <class T>
void average_packs(const Pool2dGeometry& g, const void* x, void* y, Stream stream);
template <class T>
void spread_packs(const Pool2dGeometry& g, const void* dy, const Destination& dx, Stream stream);

}  // namespace miniparallel::kernels::cuda
