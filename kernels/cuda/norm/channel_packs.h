#pragma once

#include "kernels/cuda/device/pack.cuh"
#include "kernels/norm.h"

// The launchers of batch normalisation where channels are innermost and make whole packs of 16 bytes.

namespace miniparallel::kernels::cuda {

/// Whether the arrays, each null or as large as x, lie so.
template <class T, class... Pointers>
bool lie_in_channel_packs(const BatchNormGeometry& g, const Pointers*... arrays) {
  return sizeof(T) <= 4 && g.inner == 1 && g.channels > 0 && g.channels % kPack<T> == 0 &&
         are_aligned(16, arrays...);
}

// T: float, Half or BFloat16.
template <class T>
void channel_pack_statistics(const BatchNormGeometry& geometry, const void* x, const BatchMoments& moments,
                             Stream stream);
template <class T>
void normalize_in_packs(const BatchNormArgs& args, void* y, Stream stream);
template <class T>
void channel_pack_sums(const BatchNormArgs& args, const BatchNormGradients& gradients, Stream stream);
template <class T>
void channel_pack_gradient(const BatchNormArgs& args, const BatchNormGradients& gradients, Stream stream);

}  // namespace miniparallel::kernels::cuda
