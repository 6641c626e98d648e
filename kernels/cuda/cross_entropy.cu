#include "kernels/cross_entropy.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/bad_index.cuh"
#include "kernels/cuda/device/line.cuh"
#include "kernels/cuda/device/moments.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/two_stage.cuh"
#include "kernels/index_at.h"

namespace miniparallel::kernels::cuda {
namespace {

constexpr int kBatch = 4;  // elements that a thread has in flight

/// What the forward writes: the loss of every item, and its statistics for the backward.
template <class T>
struct Losses {
  using C = Computed<T>;
  CrossEntropyArgs args;
  std::int64_t items;
  void* losses;  // of T, or of C where they are to be summed
  C* statistics;
  BadIndexWord* word;

  __device__ void write(std::int64_t item, C loss) const {
    if (args.reduce)
      static_cast<C*>(losses)[item] = loss;
    else
      static_cast<T*>(losses)[item] = convert<T>(loss);
  }

  /// From the statistics of an item and the mean of its x. A target out of range is noted; its loss is 0.
  __device__ void write(std::int64_t item, C maximum, C log_sum, double mean) const {
    if (statistics != nullptr) statistics[item] = maximum, statistics[items + item] = log_sum;
    const std::int64_t target = index_at(args.target, args.target_dtype, item);
    if (target == args.ignore_index || !check_index(target, args.classes, args.op, word))
      return write(item, C(0));
    const std::int64_t start = start_of_line(item, args.classes, args.inner);
    const C x = read(static_cast<const T*>(args.x)[start + target * args.inner]);
    write(item, functors::item_loss(args.smoothing, x, maximum, log_sum, mean));
  }
};

template <class T>
struct Statistics {
  T maximum, log_sum;
};

/// Of an item by the threads of its line, which get its statistics: 0 of log-probabilities.
template <class T, int lanes>
__device__ Statistics<Computed<T>> write_loss(const Losses<T>& losses, const Line<lanes>& line) {
  const CrossEntropyArgs& args = losses.args;
  const T* x = static_cast<const T*>(args.x);
  Statistics<Computed<T>> statistics{0, 0};
  if (!args.log_probabilities) {
    const ExponentialSum<Computed<T>> found = exponential_sum(line, x);
    statistics = {found.maximum, found.log_sum()};
  }
  double mine = 0;
  if (args.smoothing != 0)
    line.for_each([&](std::int64_t at, std::int64_t) { mine += static_cast<double>(read(x[at])); });
  const double mean = line.sum(mine) / static_cast<double>(args.classes);
  if (line.lane == 0) losses.write(line.index, statistics.maximum, statistics.log_sum, mean);
  return statistics;
}

template <class T, int lanes>
__global__ void cross_entropy_losses(Losses<T> losses) {
  const auto line = Line<lanes>::mine(losses.args.classes, losses.args.inner);
  if (line.index < losses.items) write_loss(losses, line);
}

/// The same of items that are few and have many classes.
template <class T>
struct LongItemLosses {
  using C = Computed<T>;
  struct Values {
    using Accumulator = Values;
    ExponentialSum<C> exponentials;
    double plain;

    MP_INLINE static Values initial() { return {ExponentialSum<C>::initial(), 0}; }
    MP_INLINE static Values combine(const Values& a, const Values& b) {
      return {ExponentialSum<C>::combine(a.exponentials, b.exponentials), a.plain + b.plain};
    }
  };
  Losses<T> losses;

  __device__ Values part(std::int64_t item, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    const CrossEntropyArgs& args = losses.args;
    const T* x = static_cast<const T*>(args.x) + start_of_line(item, args.classes, args.inner);
    Values mine = Values::initial();
    for_each_in_batches<kBatch>(
        begin, end, step, [&](std::int64_t i) { return x[i * args.inner]; },
        [&](T stored, std::int64_t) {
          const C value = read(stored);
          if (!args.log_probabilities) mine.exponentials.add(value);
          mine.plain += static_cast<double>(value);
        });
    return mine;
  }
  __device__ void store(std::int64_t item, const Values& total) const {
    const bool found = !losses.args.log_probabilities;
    losses.write(item, found ? total.exponentials.maximum : C(0), found ? total.exponentials.log_sum() : C(0),
                 total.plain / static_cast<double>(losses.args.classes));
  }
};

/// The sum of the losses and the number of items that count.
template <class T>
struct LossSums {
  using Values = Sums;
  using C = Computed<T>;
  CrossEntropyArgs args;
  const C* losses;
  T* result;
  C* normalizer;

  template <class Index>
  __device__ Sums part_as(std::int64_t begin, std::int64_t end, std::int64_t step) const {
    struct Loaded {
      C loss;
      Index target;
    };
    Sums sums = Values::initial();
    for_each_in_batches<8>(
        begin, end, step,
        [&](std::int64_t i) { return Loaded{losses[i], static_cast<const Index*>(args.target)[i]}; },
        [&](const Loaded& of, std::int64_t) {
          sums.add(of.loss, static_cast<std::int64_t>(of.target) == args.ignore_index ? C(0) : C(1));
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
    *result = convert<T>(static_cast<C>(total.first * factors.result));
    *normalizer = static_cast<C>(factors.gradient);
  }
};

template <class T>
struct ItemGradients {
  using C = Computed<T>;
  CrossEntropyArgs args;
  std::int64_t items;
  const T* g;
  const C *statistics, *normalizer;
  T* dx;

  /// That of an item by its x: called with x of class i and i.
  struct OfItem {
    bool log_probabilities;
    std::int64_t target;
    C maximum, log_sum, factor, uniform, at_target;

    __device__ C operator()(C x, std::int64_t i) const {
      const C p = log_probabilities ? C(0) : functors::class_probability(x, maximum, log_sum);
      const C aim = uniform + (i == target ? at_target : C(0));
      return functors::class_gradient(p, aim, factor);
    }
  };
  __device__ OfItem of(std::int64_t item, C maximum, C log_sum, C upstream) const {
    const std::int64_t target = index_at(args.target, args.target_dtype, item);
    const C factor = target == args.ignore_index ? C(0) : upstream;
    const C uniform = static_cast<C>(args.smoothing / static_cast<double>(args.classes));
    const C at_target = static_cast<C>(1 - args.smoothing);
    return {args.log_probabilities, target, maximum, log_sum, factor, uniform, at_target};
  }
  __device__ OfItem of(std::int64_t item) const {
    const C upstream = args.reduce ? (g == nullptr ? C(1) : read(g[0])) * *normalizer : read(g[item]);
    if (statistics == nullptr) return of(item, C(0), C(0), upstream);
    return of(item, statistics[item], statistics[items + item], upstream);
  }
  __device__ C x_at(std::int64_t at) const {
    return args.log_probabilities ? C(0) : read(static_cast<const T*>(args.x)[at]);
  }
  /// Of the classes begin, begin + step, ... of an item.
  __device__ void apply(std::int64_t item, std::int64_t begin, std::int64_t end, std::int64_t step) const {
    const std::int64_t start = start_of_line(item, args.classes, args.inner);
    const OfItem gradient = of(item);
    for_each_in_batches<kBatch>(
        begin, end, step, [&](std::int64_t i) { return x_at(start + i * args.inner); },
        [&](C value, std::int64_t i) { dx[start + i * args.inner] = convert<T>(gradient(value, i)); });
  }
};

template <class T, int lanes>
__global__ void cross_entropy_backward(ItemGradients<T> gradients) {
  const auto line = Line<lanes>::mine(gradients.args.classes, gradients.args.inner);
  if (line.index >= gradients.items) return;
  const auto gradient = gradients.of(line.index);
  line.for_each([&](std::int64_t at, std::int64_t i) {
    gradients.dx[at] = convert<T>(gradient(gradients.x_at(at), i));
  });
}

/// How many items are not ignored; every thread of the block gets the number.
__device__ double count_items(const CrossEntropyArgs& args, std::int64_t items) {
  Sums mine = Sums::initial();
  for (std::int64_t i = threadIdx.x; i < items; i += blockDim.x)
    if (index_at(args.target, args.target_dtype, i) != args.ignore_index) mine.first += 1;
  return combine_over_x<Sums>(mine).first;
}

/// The losses, and the gradient of what LossSums then makes of them.
template <class T, int lanes>
__global__ void cross_entropy_with_gradient(Losses<T> losses, ItemGradients<T> gradients) {
  const CrossEntropyArgs& args = losses.args;
  const functors::LossFactors factors(args.mean, count_items(args, losses.items));
  const auto line = Line<lanes>::mine(args.classes, args.inner);
  if (line.index >= losses.items) return;
  const Statistics<Computed<T>> of = write_loss(losses, line);
  const auto gradient =
      gradients.of(line.index, of.maximum, of.log_sum, static_cast<Computed<T>>(factors.gradient));
  line.for_each([&](std::int64_t at, std::int64_t i) {
    gradients.dx[at] = convert<T>(gradient(gradients.x_at(at), i));
  });
}

template <class T>
void forward_as(const CrossEntropyArgs& args, void* losses, void* statistics, void* result, void* normalizer,
                void* dx, Stream stream) {
  const std::int64_t items = args.outer * args.inner;
  const Losses<T> all{args, items, losses, out<Computed<T>>(statistics), bad_index_word(stream.device)};
  const bool every_class_counts = !args.log_probabilities || args.smoothing != 0;
  const TwoStagePlan plan =
      plan_of_lines(items, args.classes, args.inner, sizeof(AccumulatorOf<LongItemLosses<T>>));
  if (dx != nullptr)
    launch_lines(stream, cross_entropy_with_gradient<T, 32>, cross_entropy_with_gradient<T, 1>, items,
                 args.inner, all, ItemGradients<T>{args, items, nullptr, nullptr, nullptr, out<T>(dx)});
  else if (plan.chunks > 1 && every_class_counts)
    reduce_in_two_stages(LongItemLosses<T>{all}, plan, stream);
  else
    launch_lines(stream, cross_entropy_losses<T, 32>, cross_entropy_losses<T, 1>, items, args.inner, all);
  if (args.reduce)
    reduce_in_two_stages(
        LossSums<T>{args, in<Computed<T>>(losses), out<T>(result), out<Computed<T>>(normalizer)}, 1, items,
        false, stream);
}
void forward(DType dtype, const CrossEntropyArgs& args, void* losses, void* statistics, void* result,
             void* normalizer, void* dx, Stream stream) {
  with_stored_type(
      dtype, [&]<class T>() { forward_as<T>(args, losses, statistics, result, normalizer, dx, stream); });
}

template <class T>
void backward_as(const CrossEntropyArgs& args, const void* g, const void* statistics, const void* normalizer,
                 void* dx, Stream stream) {
  const std::int64_t items = args.outer * args.inner;
  const ItemGradients<T> gradients{
      args, items, in<T>(g), in<Computed<T>>(statistics), in<Computed<T>>(normalizer), out<T>(dx)};
  const TwoStagePlan plan = plan_of_lines(items, args.classes, args.inner, sizeof(T));
  if (plan.chunks > 1) return launch_chunks(stream, map_chunks<ItemGradients<T>>, gradients, plan);
  launch_lines(stream, cross_entropy_backward<T, 32>, cross_entropy_backward<T, 1>, items, args.inner,
               gradients);
}
void backward(DType dtype, const CrossEntropyArgs& args, const void* g, const void* statistics,
              const void* normalizer, void* dx, Stream stream) {
  with_stored_type(dtype, [&]<class T>() { backward_as<T>(args, g, statistics, normalizer, dx, stream); });
}

}  // namespace

const CrossEntropy& cross_entropy() {
  static constexpr CrossEntropy launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
