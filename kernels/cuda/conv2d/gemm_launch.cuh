#pragma once

#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/launch_on.cuh"

// Launches of the kernels whose blocks make a tile of an implicit product each.

namespace miniparallel::kernels::cuda {

template <class Tile>
std::int64_t tiles_of(const ImplicitGemm& gemm) {
  const std::int64_t rows = (gemm.filters + Tile::kRows - 1) / Tile::kRows;
  return (gemm.positions() + Tile::kColumns - 1) / Tile::kColumns * rows * gemm.groups;
}

/// Narrow tiles are for few rows, or few blocks.
template <class Wide, class Narrow, class T>
bool takes_wide_tiles(const ImplicitGemmArgs<T>& args, Stream stream) {
  return args.first().filters > Narrow::kRows &&
         tiles_of<Wide>(args.first()) * args.count >= 2 * multiprocessors(stream.device);
}

/// Calls run(gemm, args, units, row_tiles, grid) for parts of the batch: `args` are those of the part, `gemm`
/// its first one, and a unit is a tile of rows in one of the groups.
template <class Tile, class Run>
void for_each_launch(const ImplicitGemmArgs<typename Tile::T>& whole, const Run& run) {
  const ImplicitGemm& gemm = whole.first();
  const std::uint32_t row_tiles = (gemm.filters + Tile::kRows - 1) / Tile::kRows;
  const std::uint32_t units = row_tiles * gemm.groups;
  for_each_part(gemm, gemm.plane() * units, [&](const ImplicitGemm& part, std::int64_t first) {
    run(part, whole.part(first, part.images), Divider(units), Divider(row_tiles),
        dim3(static_cast<unsigned>(tiles_of<Tile>(part)), whole.count));
  });
}

}  // namespace miniparallel::kernels::cuda
