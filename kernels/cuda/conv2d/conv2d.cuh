#pragma once

#include "kernels/cuda/conv2d/gemm_geometry.cuh"
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

/// With fewer filters in a group the tiles of a product are mostly idle: each result is summed directly.
constexpr std::uint32_t kFewFilters = 4;

// As products of tiles, on tensor cores and without, and by the direct sum. Tensor cores round float to TF32.
// The images of a call number their positions in 31 bits.
template <class T>
void implicit_gemm_by_tiles(const ImplicitGemmArgs<T>& args, Stream stream);
template <class T>
void implicit_gemm_on_tensor_cores(const ImplicitGemmArgs<T>& args, Stream stream);
template <class T>
void implicit_gemm_directly(const ImplicitGemmArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_by_tiles(const WeightGradientArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_on_tensor_cores(const WeightGradientArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_directly(const WeightGradientArgs<T>& args, Stream stream);

}  // namespace miniparallel::kernels::cuda
