#pragma once

#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/launch_on.cuh"

#include <algorithm>

// What the direct sums share, row-major and with channels innermost: depthwise convolutions and others with
// few filters in a group.

namespace miniparallel::kernels::cuda {

constexpr int kDown = 4;  // elements of a column that a thread sums: they share indices, weights and columns

template <class T>
struct DirectArgs : ImplicitGemmArgs<T> {
  Divider packs, filters;  // of filters in all groups; of one
  Divider plane_threads[kMaxGemms];

  static std::uint32_t threads(const ImplicitGemm& gemm) {
    return static_cast<std::uint32_t>((gemm.rows.positions + kDown - 1) / kDown * gemm.columns.positions);
  }
};

/// The elements of thread `i` of a plane, for a filter numbered over all groups.
template <class T>
struct DirectColumn {
  int first;  // row of the first element
  Position position;
  const T* weight;
  T* out;

  __device__ DirectColumn(const DirectArgs<T>& args, const ImplicitGemm& gemm, std::uint32_t image,
                          std::uint32_t i, std::uint32_t channel) {
    std::uint32_t group = channel;
    const std::uint32_t filter = args.filters.divide(group);
    const int column = static_cast<int>(gemm.row_positions.divide(i));
    first = static_cast<int>(i) * kDown;
    position = position_of(gemm, image, first, column, group);
    weight = args.weight + group * gemm.weight_group + filter * gemm.weight_filter +
             gemm.rows.weight_first * gemm.weight_width + gemm.columns.weight_first * gemm.weight_pixel;
    out = args.out + position.out + filter * gemm.out_plane;
  }
};

/// Starts one of two kernels, whose threads have packs of N filters: `three` knows that rows have three taps.
template <int N, class T>
void launch_direct(void (*three)(DirectArgs<T>), void (*any)(DirectArgs<T>), const ImplicitGemmArgs<T>& whole,
                   Stream stream) {
  const ImplicitGemm& gemm = whole.first();
  const std::uint32_t packs = gemm.groups * gemm.filters / N;
  const std::int64_t per_image = std::int64_t{DirectArgs<T>::threads(gemm)} * packs;
  for_each_part(gemm, per_image, [&](const ImplicitGemm& part, std::int64_t first) {
    DirectArgs<T> args{whole.part(first, part.images), Divider(packs), Divider(gemm.filters), {}};
    for (unsigned k = 0; k < args.count; ++k)
      args.plane_threads[k] = Divider(std::max(DirectArgs<T>::threads(args.gemms[k]), 1u));
    const bool has_three = std::all_of(args.gemms, args.gemms + args.count,
                                       [](const ImplicitGemm& one) { return one.columns.taps == 3; });
    launch_blocks(stream, has_three ? three : any,
                  dim3(miniparallel::cuda::blocks(static_cast<std::size_t>(part.images * per_image), kBlock),
                       args.count),
                  dim3(kBlock), args);
  });
}

}  // namespace miniparallel::kernels::cuda
