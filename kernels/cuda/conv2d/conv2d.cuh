#pragma once

#include "kernels/cuda/conv2d/gemm_geometry.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/stream.h"

#include <type_traits>

namespace miniparallel::kernels::cuda {

constexpr int kMaxGemms = 4;  // of one launch: a stride of 2 x 2

/// What sums of a type are made in.
template <class T>
using Summed = std::conditional_t<sizeof(T) == 2, float, T>;

/// out = sum + bias, or out += sum, of all images, for each of `count` gemms that differ in their rows and
/// columns alone; the first has the most positions. bias (groups * filters) or null.
template <class T>
struct ImplicitGemmArgs {
  ImplicitGemm gemms[kMaxGemms];
  unsigned count;
  const T *source, *weight, *bias;
  T* out;
  bool accumulate;

  const ImplicitGemm& first() const { return gemms[0]; }
  /// The same for some of the images.
  ImplicitGemmArgs part(std::int64_t first_image, std::uint32_t images) const {
    ImplicitGemmArgs result = *this;
    for (ImplicitGemm& gemm : result.gemms) gemm.images = images;
    result.source += first_image * first().source_image, result.out += first_image * first().out_image;
    return result;
  }
};

/// dweight = beta dweight + sums of g times what a tap reads; dbias likewise, of g alone. Null: not wanted.
template <class T>
struct WeightGradientArgs {
  ImplicitGemm gemm;
  const T *g, *x;
  T *dweight, *dbias;
  bool accumulate, accumulate_bias;

  std::int64_t weights() const { return gemm.groups * gemm.weight_group; }
  std::int64_t biases() const { return std::int64_t{gemm.groups} * gemm.filters; }
};

/// Whether channels are innermost, `of_group` of them belong together, and packs of these are aligned.
template <class T>
bool lie_in_packs(const T* array, std::uint32_t of_group, std::int64_t plane, std::int64_t pixel,
                  std::int64_t width, std::int64_t image) {
  const auto whole = [](std::int64_t step) { return step % kPack<T> == 0; };
  return plane == 1 && of_group > 0 && whole(of_group) && whole(pixel) && whole(width) && whole(image) &&
         are_aligned(16, array);
}
template <class T>
bool source_lies_in_packs(const ImplicitGemm& gemm, const T* source) {
  return lie_in_packs(source, gemm.channels, gemm.source_plane, gemm.source_pixel, gemm.source_width,
                      gemm.source_image);
}
template <class T>
bool out_lies_in_packs(const ImplicitGemm& gemm, const T* out) {
  return lie_in_packs(out, gemm.filters, gemm.out_plane, gemm.out_pixel, gemm.out_width, gemm.out_image);
}

/// Whether channels are groups of their own, in packs on both sides.
template <class T>
bool are_depthwise_packs(const ImplicitGemm& gemm, const T* source, const T* out) {
  return gemm.channels == 1 && gemm.filters == 1 &&
         lie_in_packs(source, gemm.groups, gemm.source_plane, gemm.source_pixel, gemm.source_width,
                      gemm.source_image) &&
         lie_in_packs(out, gemm.groups, gemm.out_plane, gemm.out_pixel, gemm.out_width, gemm.out_image);
}

/// Whether a call can take packs of channels.
template <class T>
bool takes_packs(const ImplicitGemmArgs<T>& args) {
  return source_lies_in_packs(args.first(), args.source) && args.first().weight_channel == 1 &&
         are_aligned(16, args.weight);
}
template <class T>
bool takes_packs(const WeightGradientArgs<T>& args) {
  return source_lies_in_packs(args.gemm, args.x) && out_lies_in_packs(args.gemm, args.g);
}

// As products of tiles, on tensor cores and without, and by the direct sum. Tensor cores round float to TF32.
// The images of a call number their positions in 31 bits.
template <class T>
void implicit_gemm_by_tiles(const ImplicitGemmArgs<T>& args, Stream stream);
template <class T>
void implicit_gemm_on_tensor_cores(const ImplicitGemmArgs<T>& args, Stream stream);
/// With packs of channels.
template <class T>
void implicit_gemm_by_packs(const ImplicitGemmArgs<T>& args, Stream stream);
template <class T>
void implicit_gemm_directly(const ImplicitGemmArgs<T>& args, Stream stream);
/// The same where channels and filters are innermost.
template <class T>
void implicit_gemm_by_filters(const ImplicitGemmArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_by_tiles(const WeightGradientArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_on_tensor_cores(const WeightGradientArgs<T>& args, Stream stream);
/// With packs of channels in x and g.
template <class T>
void weight_gradient_by_packs(const WeightGradientArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_directly(const WeightGradientArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_by_filters(const WeightGradientArgs<T>& args, Stream stream);

}  // namespace miniparallel::kernels::cuda
