#include "kernels/cross_entropy.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/bad_index.cuh"
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/line.cuh"
#include "kernels/index_at.h"
#include "kernels/reductions.h"

namespace miniparallel::kernels::cuda {
namespace {

/// The loss of every item, and its statistics for the backward. A target out of range is noted; its loss is
/// 0.
template <class T, int lanes>
__global__ void cross_entropy_losses(CrossEntropyArgs args, std::int64_t items, T* losses, T* statistics,
                                     BadIndexWord* word) {
  const auto line = Line<lanes>::mine(args.classes, args.inner);
  if (line.index >= items) return;
  const T* x = static_cast<const T*>(args.x);
  T maximum = 0, log_sum = 0;
  if (!args.log_probabilities) {
    const LineStatistics<T, lanes> found(line, x);
    maximum = found.maximum, log_sum = found.log_sum;
  }
  double mine = 0;
  if (args.smoothing != 0)
    line.for_each([&](std::int64_t at, std::int64_t) { mine += static_cast<double>(x[at]); });
  const double mean = line.sum(mine) / static_cast<double>(args.classes);
  if (line.lane != 0) return;
  if (statistics != nullptr) statistics[line.index] = maximum, statistics[items + line.index] = log_sum;
  const std::int64_t target = index_at(args.target, args.target_dtype, line.index);
  losses[line.index] = 0;
  if (target == args.ignore_index || !check_index(target, args.classes, args.op, word)) return;
  const T loss = log_sum - (x[line.start + target * args.inner] - maximum);
  const double uniform = static_cast<double>(log_sum) - (mean - static_cast<double>(maximum));
  losses[line.index] =
      args.smoothing == 0
          ? loss
          : static_cast<T>((1 - args.smoothing) * static_cast<double>(loss) + args.smoothing * uniform);
}

/// One block: the sum of the losses and the number of items that count.
template <class T>
__global__ void cross_entropy_result(CrossEntropyArgs args, std::int64_t items, const T* losses, T* result,
                                     T* normalizer) {
  double sum = 0, count = 0;
  for (std::int64_t i = threadIdx.y; i < items; i += blockDim.y) {
    sum += static_cast<double>(losses[i]);
    count += index_at(args.target, args.target_dtype, i) == args.ignore_index ? 0 : 1;
  }
  const double total = combine_over_y<SumOf<double>>(sum);
  __syncthreads();
  const double counted = combine_over_y<SumOf<double>>(count);
  if (threadIdx.y != 0) return;
  const double factor = args.mean ? 1 / counted : 1;  // of no item: 0 * infinity, NaN
  *result = static_cast<T>(total * factor);
  *normalizer = static_cast<T>(factor);
}

template <class T, int lanes>
__global__ void cross_entropy_backward(CrossEntropyArgs args, std::int64_t items, const T* g,
                                       const T* statistics, const T* normalizer, T* dx) {
  const auto line = Line<lanes>::mine(args.classes, args.inner);
  if (line.index >= items) return;
  const T* x = static_cast<const T*>(args.x);
  const T maximum = statistics == nullptr ? T(0) : statistics[line.index];
  const T log_sum = statistics == nullptr ? T(0) : statistics[items + line.index];
  const std::int64_t target = index_at(args.target, args.target_dtype, line.index);
  const T upstream = args.reduce ? g[0] * *normalizer : g[line.index];
  const T factor = target == args.ignore_index ? T(0) : upstream;
  const T uniform = static_cast<T>(args.smoothing / static_cast<double>(args.classes));
  line.for_each([&](std::int64_t at, std::int64_t i) {
    const T p = args.log_probabilities ? T(0) : math::exp((x[at] - maximum) - log_sum);
    const T aim = uniform + (i == target ? static_cast<T>(1 - args.smoothing) : T(0));
    dx[at] = (p - aim) * factor;
  });
}

template <class T>
void forward_as(const CrossEntropyArgs& args, void* losses, void* statistics, void* result, void* normalizer,
                Stream stream) {
  const std::int64_t items = args.outer * args.inner;
  launch_lines(stream, cross_entropy_losses<T, 32>, cross_entropy_losses<T, 1>, items, args.inner, args,
               items, static_cast<T*>(losses), static_cast<T*>(statistics), bad_index_word(stream.device));
  if (args.reduce)
    launch_blocks(stream, cross_entropy_result<T>, dim3(1), dim3(1, kBlock), args, items,
                  static_cast<const T*>(losses), static_cast<T*>(result), static_cast<T*>(normalizer));
}
void forward(DType dtype, const CrossEntropyArgs& args, void* losses, void* statistics, void* result,
             void* normalizer, Stream stream) {
  (dtype == float32 ? forward_as<float> : forward_as<double>)(args, losses, statistics, result, normalizer,
                                                              stream);
}

template <class T>
void backward_as(const CrossEntropyArgs& args, const void* g, const void* statistics, const void* normalizer,
                 void* dx, Stream stream) {
  const std::int64_t items = args.outer * args.inner;
  launch_lines(stream, cross_entropy_backward<T, 32>, cross_entropy_backward<T, 1>, items, args.inner, args,
               items, static_cast<const T*>(g), static_cast<const T*>(statistics),
               static_cast<const T*>(normalizer), static_cast<T*>(dx));
}
void backward(DType dtype, const CrossEntropyArgs& args, const void* g, const void* statistics,
              const void* normalizer, void* dx, Stream stream) {
  (dtype == float32 ? backward_as<float> : backward_as<double>)(args, g, statistics, normalizer, dx, stream);
}

}  // namespace

const CrossEntropy& cross_entropy() {
  static constexpr CrossEntropy launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
