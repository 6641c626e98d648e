#pragma once

#include "kernels/cuda/conv2d/gather.cuh"
#include "kernels/stream.h"

namespace miniparallel::kernels::cuda {

constexpr int kMostGathers = 4;  // of one launch: a stride of 2 x 2

/// out = sum + bias, or out += sum, of all images, for each of `count` gathers that differ in their rows and
/// columns alone; the first has the most positions. bias (groups * filters) or null.
template <class T>
struct GatherArgs {
  Gather gathers[kMostGathers];
  unsigned count;
  const T *source, *weight, *bias;
  T* out;
  bool accumulate;

  const Gather& first() const { return gathers[0]; }
  /// The same for some of the images.
  GatherArgs part(std::int64_t first_image, std::uint32_t images) const {
    GatherArgs result = *this;
    for (Gather& gather : result.gathers) gather.images = images;
    result.source += first_image * first().source_image, result.out += first_image * first().out_image;
    return result;
  }
};

/// dweight = beta dweight + sums of g times what a tap reads; dbias likewise, of g alone. Null: not wanted.
template <class T>
struct WeightGradientArgs {
  Gather gather;
  const T *g, *x;
  T *dweight, *dbias;
  bool accumulate, accumulate_bias;

  std::int64_t weights() const { return gather.groups * gather.weight_group; }
  std::int64_t biases() const { return std::int64_t{gather.groups} * gather.filters; }
};

/// With fewer filters in a group the tiles of a product are mostly idle: each result is summed directly.
constexpr std::uint32_t kFewFilters = 4;

// As products of tiles, and by the direct sum. The images of a call number their positions in 31 bits.
template <class T>
void gather_by_tiles(const GatherArgs<T>& args, Stream stream);
template <class T>
void gather_directly(const GatherArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_by_tiles(const WeightGradientArgs<T>& args, Stream stream);
template <class T>
void weight_gradient_directly(const WeightGradientArgs<T>& args, Stream stream);

}  // namespace miniparallel::kernels::cuda
