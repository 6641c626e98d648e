#include "kernels/cross_entropy.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/check_indices.h"
#include "kernels/cpu/exponentials.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/turned_rows.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cross_entropy.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_CROSS_ENTROPY_TABLE
#define MP_CROSS_ENTROPY_TABLE
namespace miniparallel::kernels::cpu {
/// Whether an item's classes are a row so short that those of many are turned and computed together.
inline bool has_short_items(const CrossEntropyArgs& args) {
  return args.inner == 1 && args.classes <= kTurnedLength;
}
/// Items [first, first + width), which are neighbours in the input and share `outer`, or are short rows.
struct ItemBlock {
  std::int64_t first, width;
  std::int64_t offset;  // of the first item's class 0 in x
};
struct CrossEntropyLoops {
  void (*forward)(const CrossEntropyArgs& args, const ItemBlock& block, void* losses, void* statistics);
  void (*finish)(const CrossEntropyArgs& args, const void* losses, void* result, void* normalizer);
  void (*backward)(const CrossEntropyArgs& args, const ItemBlock& block, const void* g,
                   const void* statistics, const void* normalizer, void* dx);
};
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

static_assert(kColumnBlock >= kTurnedRows);

/// Maximum and log sum of exponentials of every item of a block, whose classes are `step` apart; 0 for
/// log-probabilities.
template <class T>
void block_statistics(const CrossEntropyArgs& args, const T* x, std::int64_t step, std::int64_t width,
                      T* maximum, T* log_sum) {
  if (args.log_probabilities) {
    std::fill_n(maximum, width, T(0));
    std::fill_n(log_sum, width, T(0));
  } else if (step == 1) {
    *maximum = row_max(x, args.classes);
    *log_sum = math::log(static_cast<T>(sum_of_exponentials(x, args.classes, *maximum)));
  } else {
    column_statistics(x, args.classes, step, width, maximum, log_sum);
  }
}

template <class T>
void forward(const CrossEntropyArgs& args, const ItemBlock& block, void* losses, void* statistics) {
  const T* x = static_cast<const T*>(args.x) + block.offset;
  std::int64_t step = args.inner;
  TurnedRows<T> turned;
  if (has_short_items(args)) {
    turned.read(x, block.width, args.classes);
    x = turned.elements;
    step = kTurnedRows;
  }
  T local[2][kColumnBlock];
  T *maximum = local[0], *log_sum = local[1];
  if (statistics) {
    maximum = static_cast<T*>(statistics) + block.first;
    log_sum = maximum + args.outer * args.inner;
  }
  block_statistics(args, x, step, block.width, maximum, log_sum);
  for (std::int64_t c = 0; c < block.width; ++c) {
    T& loss = static_cast<T*>(losses)[block.first + c];
    const std::int64_t target = index_at(args.target, args.target_dtype, block.first + c);
    loss = 0;
    if (target == args.ignore_index) continue;
    const double mean = args.smoothing == 0
                            ? 0
                            : fold_row<SumOf<T>>(packed_row(x + c, step, args.classes), args.classes) /
                                  static_cast<double>(args.classes);
    loss = functors::item_loss(args.smoothing, x[target * step + c], maximum[c], log_sum[c], mean);
  }
}

template <class T>
void finish(const CrossEntropyArgs& args, const void* losses, void* result, void* normalizer) {
  const std::int64_t items = args.outer * args.inner;
  std::int64_t count = items;
  for (std::int64_t i = 0; i < items; ++i)
    count -= index_at(args.target, args.target_dtype, i) == args.ignore_index;
  const functors::LossFactors factors(args.mean, static_cast<double>(count));
  *static_cast<T*>(result) =
      static_cast<T>(fold_row<SumOf<T>>(static_cast<const T*>(losses), items) * factors.result);
  *static_cast<T*>(normalizer) = static_cast<T>(factors.gradient);
}

/// dx of one class of the block's items: (p - smoothing / classes) factor, without p for log-probabilities.
template <class T>
void class_gradients(const CrossEntropyArgs& args, std::int64_t n, const T* x, const T* maximum,
                     const T* log_sum, const T* factor, T* dx) {
  const T uniform = static_cast<T>(args.smoothing / static_cast<double>(args.classes));
  if (args.log_probabilities) {
    for (std::int64_t i = 0; i < n; ++i) dx[i] = -uniform * factor[i];
  } else {
    MP_IVDEP
    for (std::int64_t i = 0; i < n; ++i)
      dx[i] = functors::class_gradient(functors::class_probability(x[i], maximum[i], log_sum[i]), uniform,
                                       factor[i]);
  }
}

/// The same for all classes of one item.
template <class T>
void item_gradients(const CrossEntropyArgs& args, const T* x, T maximum, T log_sum, T factor, T* dx) {
  const T uniform = static_cast<T>(args.smoothing / static_cast<double>(args.classes));
  if (args.log_probabilities) {
    std::fill_n(dx, args.classes, -uniform * factor);
  } else {
    MP_IVDEP
    for (std::int64_t i = 0; i < args.classes; ++i)
      dx[i] = functors::class_gradient(functors::class_probability(x[i], maximum, log_sum), uniform, factor);
  }
}

template <class T>
void backward(const CrossEntropyArgs& args, const ItemBlock& block, const void* g, const void* statistics,
              const void* normalizer, void* out) {
  const T *x = static_cast<const T*>(args.x) + block.offset, *gradients = static_cast<const T*>(g);
  T* dx = static_cast<T*>(out) + block.offset;
  std::int64_t step = args.inner;
  TurnedRows<T> turned;
  if (has_short_items(args)) {
    turned.read(x, block.width, args.classes);
    x = dx = turned.elements;
    step = kTurnedRows;
  }
  const T* maximum = static_cast<const T*>(statistics);
  const T zeros[kColumnBlock] = {};
  maximum = maximum ? maximum + block.first : zeros;
  const T* log_sum = statistics ? maximum + args.outer * args.inner : zeros;
  const T common =
      args.reduce ? (gradients ? gradients[0] : T(1)) * *static_cast<const T*>(normalizer) : T(0);
  T factor[kColumnBlock];
  for (std::int64_t c = 0; c < block.width; ++c) {
    const bool ignored = index_at(args.target, args.target_dtype, block.first + c) == args.ignore_index;
    const T upstream = args.reduce ? common : gradients[block.first + c];
    factor[c] = ignored ? T(0) : upstream;
  }
  if (step == 1)
    item_gradients(args, x, maximum[0], log_sum[0], factor[0], dx);
  else
    for (std::int64_t i = 0; i < args.classes; ++i)
      class_gradients(args, block.width, x + i * step, maximum, log_sum, factor, dx + i * step);
  for (std::int64_t c = 0; c < block.width; ++c) {
    const std::int64_t target = index_at(args.target, args.target_dtype, block.first + c);
    if (target != args.ignore_index) dx[target * step + c] -= static_cast<T>(1 - args.smoothing) * factor[c];
  }
  if (has_short_items(args)) turned.write(static_cast<T*>(out) + block.offset, block.width, args.classes);
}

}  // namespace

const ByDType<CrossEntropyLoops>& cross_entropy_loops() {
  static constexpr ByDType<CrossEntropyLoops> table{{forward<float>, finish<float>, backward<float>},
                                                    {forward<double>, finish<double>, backward<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(ByDType<CrossEntropyLoops>, cross_entropy_loops)

constexpr std::int64_t kGrain = 8192;  // elements per thread at least

template <class Run>
void for_each_block(const CrossEntropyArgs& args, Run run) {
  if (has_short_items(args)) {
    const std::int64_t blocks = (args.outer + kTurnedRows - 1) / kTurnedRows;
    return parallel_for(
        blocks, std::max<std::int64_t>(kGrain / kTurnedRows / std::max<std::int64_t>(args.classes, 1), 1),
        [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t i = begin; i < end; ++i) {
            const std::int64_t first = i * kTurnedRows;
            run(ItemBlock{first, std::min(kTurnedRows, args.outer - first), first * args.classes});
          }
        });
  }
  const std::int64_t blocks = (args.inner + kColumnBlock - 1) / kColumnBlock;
  const std::int64_t elements = std::max<std::int64_t>(args.classes * std::min(args.inner, kColumnBlock), 1);
  parallel_for(args.outer * blocks, std::max<std::int64_t>(kGrain / elements, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t outer = i / blocks, column = i % blocks * kColumnBlock;
                   run(ItemBlock{outer * args.inner + column, std::min(kColumnBlock, args.inner - column),
                                 outer * args.classes * args.inner + column});
                 }
               });
}

void backward(DType dtype, const CrossEntropyArgs& args, const void* g, const void* statistics,
              const void* normalizer, void* dx, Stream) {
  const CrossEntropyLoops& loops = cross_entropy_loops()[dtype];
  for_each_block(args,
                 [&](const ItemBlock& block) { loops.backward(args, block, g, statistics, normalizer, dx); });
}

void forward(DType dtype, const CrossEntropyArgs& args, void* losses, void* statistics, void* result,
             void* normalizer, void* dx, Stream stream) {
  check_indices(args.op, "target", args.target, args.target_dtype, args.outer * args.inner, args.classes,
                args.ignore_index);
  const CrossEntropyLoops& loops = cross_entropy_loops()[dtype];
  for_each_block(args, [&](const ItemBlock& block) { loops.forward(args, block, losses, statistics); });
  if (args.reduce) loops.finish(args, losses, result, normalizer);
  if (dx != nullptr) backward(dtype, args, nullptr, statistics, normalizer, dx, stream);
}

}  // namespace

const CrossEntropy& cross_entropy() {
  static constexpr CrossEntropy launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
