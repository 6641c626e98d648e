#pragma once

#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/conv2d/tensor_tile.cuh"

// How the sums of tensor cores, whose rows are filters and whose columns positions, get to `out`.

namespace miniparallel::kernels::cuda {

/// Which neighbours in memory are written as aligned packs.
enum class OutPacks { none, positions, filters };

/// Of the positions of a gemm, all of whose images and groups begin like the first.
template <class T>
OutPacks out_packs(const ImplicitGemm& gemm, const T* out) {
  if (out_lies_in_packs(gemm, out)) return OutPacks::filters;
  const bool positions = gemm.out_pixel == 1 && gemm.plane() == gemm.out_plane &&
                         gemm.out_plane % kPack<T> == 0 && are_aligned(16, out);
  return positions ? OutPacks::positions : OutPacks::none;
}

/// to = sum, or to += sum.
template <class T>
__device__ T stored(T to, float sum, bool accumulate) {
  return convert<T>(accumulate ? convert<float>(to) + sum : sum);
}

/// A pack of sums, `step` apart, with the bias of each.
template <class T, class Bias>
__device__ void put_pack_of_sums(T* to, const float* sums, int step, bool accumulate, const Bias& bias) {
  Pack<T, kPack<T>> values{};
  if (accumulate) values = pack_at<kPack<T>>(to, 0);
  MP_UNROLL
  for (int k = 0; k < kPack<T>; ++k)
    values.at[k] = stored(values.at[k], sums[k * step] + bias(k), accumulate);
  pack_at<kPack<T>>(to, 0) = values;
}

/// 16 lines of a warp's sums, to the rows of `out` that there are, where `offsets` of its columns say.
/// `bias`: of the first row, or null.
template <class Tile>
__device__ void write_slab(const ImplicitGemmArgs<typename Tile::T>& args, OutPacks packs, const float* slab,
                           int rows, typename Tile::T* out, const typename Tile::T* bias,
                           const std::int64_t* offsets, int lane) {
  using T = typename Tile::T;
  const auto bias_of = [&](int row) { return bias == nullptr ? 0.0f : convert<float>(bias[row]); };
  if (packs == OutPacks::filters) {
    constexpr int per_column = 16 / kPack<T>;
    for (int i = lane; i < Tile::kWarpColumns * per_column; i += 32) {
      const int column = i / per_column, row = i % per_column * kPack<T>;
      if (row >= rows || offsets[column] < 0) continue;
      put_pack_of_sums(out + row + offsets[column], slab + row * Tile::kSlabPitch + column, Tile::kSlabPitch,
                       args.accumulate, [&](int k) { return bias_of(row + k); });
    }
    return;
  }
  const std::int64_t plane = args.gemms[0].out_plane;
  const bool packed = packs == OutPacks::positions;
  const int width = packed ? kPack<T> : 1, per_row = Tile::kWarpColumns / width;
  for (int i = lane; i < 16 * per_row; i += 32) {
    const int row = i / per_row, column = i % per_row * width;
    if (row >= rows || offsets[column] < 0) continue;
    const float add = bias_of(row);
    T* const to = out + row * plane + offsets[column];
    const float* const sums = slab + row * Tile::kSlabPitch + column;
    if (packed)
      put_pack_of_sums(to, sums, 1, args.accumulate, [&](int) { return add; });
    else
      *to = stored(args.accumulate ? *to : T{}, *sums + add, args.accumulate);
  }
}

}  // namespace miniparallel::kernels::cuda
