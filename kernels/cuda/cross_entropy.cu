#include "kernels/by_dtype.h"
#include "kernels/cross_entropy.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/bad_index.cuh"
#include "kernels/cuda/device/line.cuh"
#include "kernels/cuda/device/moments.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/index_at.h"

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
  losses[line.index] =
      functors::item_loss(args.smoothing, x[line.start + target * args.inner], maximum, log_sum, mean);
}

/// The sum of the losses and the number of items that count.
template <class T>
struct LossSums {
  using Values = Sums;
  CrossEntropyArgs args;
  const T* losses;
  T *result, *normalizer;

  template <class Index>
  __device__ Sums part_as(std::int64_t begin, std::int64_t end, std::int64_t step) const {
    struct Loaded {
      T loss;
      Index target;
    };
    Sums sums = Values::initial();
    for_each_in_batches<8>(
        begin, end, step,
        [&](std::int64_t i) { return Loaded{losses[i], static_cast<const Index*>(args.target)[i]}; },
        [&](const Loaded& of, std::int64_t) {
          sums.add(of.loss, static_cast<std::int64_t>(of.target) == args.ignore_index ? T(0) : T(1));
        });
    return sums;
  }
  __device__ Sums part(std::int64_t, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    if (args.target_dtype == int64) return part_as<std::int64_t>(begin, end, step);
    if (args.target_dtype == int32) return part_as<std::int32_t>(begin, end, step);
    return part_as<std::uint8_t>(begin, end, step);
  }
  __device__ void store(std::int64_t, const Sums& total) const {
    const functors::LossFactors factors(args.mean, total.second);
    *result = static_cast<T>(total.first * factors.result);
    *normalizer = static_cast<T>(factors.gradient);
  }
};

template <class T, int lanes>
__global__ void cross_entropy_backward(CrossEntropyArgs args, std::int64_t items, const T* g,
                                       const T* statistics, const T* normalizer, T* dx) {
  const auto line = Line<lanes>::mine(args.classes, args.inner);
  if (line.index >= items) return;
  const T* x = static_cast<const T*>(args.x);
  const T maximum = statistics == nullptr ? T(0) : statistics[line.index];
  const T log_sum = statistics == nullptr ? T(0) : statistics[items + line.index];
  const std::int64_t target = index_at(args.target, args.target_dtype, line.index);
  const T upstream = args.reduce ? (g == nullptr ? T(1) : g[0]) * *normalizer : g[line.index];
  const T factor = target == args.ignore_index ? T(0) : upstream;
  const T uniform = static_cast<T>(args.smoothing / static_cast<double>(args.classes));
  line.for_each([&](std::int64_t at, std::int64_t i) {
    const T p = args.log_probabilities ? T(0) : functors::class_probability(x[at], maximum, log_sum);
    const T aim = uniform + (i == target ? static_cast<T>(1 - args.smoothing) : T(0));
    dx[at] = functors::class_gradient(p, aim, factor);
  });
}

template <class T>
void forward_as(const CrossEntropyArgs& args, void* losses, void* statistics, void* result, void* normalizer,
                Stream stream) {
  const std::int64_t items = args.outer * args.inner;
  launch_lines(stream, cross_entropy_losses<T, 32>, cross_entropy_losses<T, 1>, items, args.inner, args,
               items, static_cast<T*>(losses), static_cast<T*>(statistics), bad_index_word(stream.device));
  if (args.reduce)
    reduce_in_two_stages(LossSums<T>{args, static_cast<const T*>(losses), static_cast<T*>(result),
                                     static_cast<T*>(normalizer)},
                         1, items, false, stream);
}
void forward(DType dtype, const CrossEntropyArgs& args, void* losses, void* statistics, void* result,
             void* normalizer, Stream stream) {
  with_type(dtype, [&]<class T>() { forward_as<T>(args, losses, statistics, result, normalizer, stream); });
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
  with_type(dtype, [&]<class T>() { backward_as<T>(args, g, statistics, normalizer, dx, stream); });
}

}  // namespace

const CrossEntropy& cross_entropy() {
  static constexpr CrossEntropy launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
