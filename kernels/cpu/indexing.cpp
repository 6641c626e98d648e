#include "kernels/indexing.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/check_indices.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/indexing.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_SCATTER_LOOPS
#define MP_SCATTER_LOOPS
namespace miniparallel::kernels::cpu {

/// Rows that more than one index names, numbered in the order of their second appearance.
class RepeatedRows {
 public:
  explicit RepeatedRows(const IndexArgs& args) {
    numbers_ = scratch<RepeatedRows, std::int32_t>(args.rows);
    rows_ = scratch<RepeatedRows, std::int64_t>(args.count / 2);
    std::fill_n(numbers_, args.rows, kUnseen);
    for (std::int64_t i = 0; i < args.count; ++i) {
      const std::int64_t row = index_at(args.index, args.index_dtype, i);
      std::int32_t& number = numbers_[row];
      if (number == kUnseen || row == args.skip) {
        number = kOnce;
      } else if (number == kOnce) {
        rows_[count_] = row;
        number = count_++;
      }
    }
  }

  std::int32_t count() const { return count_; }
  std::int64_t row(std::int32_t number) const { return rows_[number]; }
  /// Below 0 where one index alone names the row.
  std::int32_t number_of(std::int64_t row) const { return numbers_[row]; }

 private:
  static constexpr std::int32_t kUnseen = -1, kOnce = -2;
  std::int32_t* numbers_;
  std::int64_t* rows_;
  std::int32_t count_ = 0;
};

/// Some columns of one `picked` and `whole`.
struct Columns {
  const void* picked;
  void* whole;
  std::int64_t width;
};
using AddColumns = void (*)(const IndexArgs& args, const RepeatedRows* repeated, const Columns& columns);

struct ScatterLoops {
  AddColumns float_to_float, float_to_double, double_to_double;
};

}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class To, class T>
MP_INLINE void add_row(To* to, const T* from, std::int64_t width) {
  MP_IVDEP
  for (std::int64_t c = 0; c < width; ++c) to[c] += static_cast<To>(from[c]);
}

/// Calls f(row of `whole`, row of `picked`) for all that belong together, in the order of the indices.
template <class T, class F>
MP_INLINE void for_each_pair(const IndexArgs& args, const T* picked, const F& f) {
  for (std::int64_t i = 0; i < args.count; ++i) {
    const std::int64_t row = index_at(args.index, args.index_dtype, i);
    if (row != args.skip) f(row, picked + i * args.inner);
  }
}

/// For a `whole` that is as exact as the sums are made.
template <class T>
HWY_ATTR void add_exactly(const IndexArgs& args, const RepeatedRows*, const Columns& columns) {
  double* const whole = static_cast<double*>(columns.whole);
  for_each_pair(args, static_cast<const T*>(columns.picked), [&](std::int64_t row, const T* from) HWY_ATTR {
    add_row(whole + row * args.inner, from, columns.width);
  });
}

/// Rows to which more than one is added have sums in float64, which are rounded at the end.
HWY_ATTR void add_rounded(const IndexArgs& args, const RepeatedRows* repeated, const Columns& columns) {
  const std::int64_t width = columns.width;
  float* const whole = static_cast<float*>(columns.whole);
  double* const sums = scratch<Columns, double>(repeated->count() * width);
  for (std::int32_t r = 0; r < repeated->count(); ++r) {
    const float* const from = whole + repeated->row(r) * args.inner;
    for (std::int64_t c = 0; c < width; ++c) sums[r * width + c] = static_cast<double>(from[c]);
  }
  for_each_pair(args, static_cast<const float*>(columns.picked),
                [&](std::int64_t row, const float* from) HWY_ATTR {
                  const std::int32_t number = repeated->number_of(row);
                  if (number < 0)
                    add_row(whole + row * args.inner, from, width);
                  else
                    add_row(sums + number * width, from, width);
                });
  for (std::int32_t r = 0; r < repeated->count(); ++r) {
    float* const to = whole + repeated->row(r) * args.inner;
    for (std::int64_t c = 0; c < width; ++c) to[c] = static_cast<float>(sums[r * width + c]);
  }
}

}  // namespace

const ScatterLoops* scatter_loops() {
  static constexpr ScatterLoops loops{add_rounded, add_exactly<float>, add_exactly<double>};
  return &loops;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

HWY_EXPORT(scatter_loops);

constexpr std::int64_t kGrain = 16384;    // elements per thread at least
constexpr std::int64_t kColumns = 64;     // of a row that one thread adds to: a fixed order without atomics
constexpr std::int64_t kFewColumns = 16;  // the same where so many rows have sums that they fill the cache
constexpr std::int32_t kManyRows = 32768;

void gather(DType dtype, const IndexArgs& args, const void* whole, void* picked, Stream) {
  check_indices(args.op, "index", args.index, args.index_dtype, args.count, args.rows);
  if (args.inner == 0) return;
  const std::int64_t bytes = args.inner * static_cast<std::int64_t>(size_of(dtype));
  const auto copy_row = [&](std::int64_t i) {
    const std::int64_t outer = i / args.count, row = index_at(args.index, args.index_dtype, i % args.count);
    std::byte* to = static_cast<std::byte*>(picked) + i * bytes;
    const std::byte* from = static_cast<const std::byte*>(whole) + (outer * args.rows + row) * bytes;
    const auto length = static_cast<std::size_t>(bytes);
    row == args.skip ? std::memset(to, 0, length) : std::memcpy(to, from, length);
  };
  parallel_for(args.outer * args.count, std::max<std::int64_t>(kGrain / args.inner, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) copy_row(i);
               });
}

void scatter_add(DType dtype, const IndexArgs& args, const void* picked, DType whole_dtype, void* whole,
                 Stream) {
  check_indices(args.op, "index", args.index, args.index_dtype, args.count, args.rows);
  static const ScatterLoops& loops = *HWY_DYNAMIC_DISPATCH(scatter_loops)();
  const bool exact = whole_dtype == float64;
  const AddColumns add = !exact             ? loops.float_to_float
                         : dtype == float32 ? loops.float_to_double
                                            : loops.double_to_double;
  std::optional<RepeatedRows> repeated;
  if (!exact) repeated.emplace(args);
  const std::int64_t most = repeated && repeated->count() > kManyRows ? kFewColumns : kColumns;
  const std::int64_t blocks = (args.inner + most - 1) / most;
  const std::int64_t work = std::max<std::int64_t>(args.count * std::min(args.inner, most), 1);
  const auto size = static_cast<std::int64_t>(size_of(dtype)),
             whole_size = static_cast<std::int64_t>(size_of(whole_dtype));
  const auto add_block = [&](std::int64_t outer, std::int64_t column) {
    add(args, repeated ? &*repeated : nullptr,
        {static_cast<const std::byte*>(picked) + (outer * args.count * args.inner + column) * size,
         static_cast<std::byte*>(whole) + (outer * args.rows * args.inner + column) * whole_size,
         std::min(most, args.inner - column)});
  };
  parallel_for(args.outer * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) add_block(i / blocks, i % blocks * most);
               });
}

}  // namespace

const Indexing& indexing() {
  static constexpr Indexing launchers{.gather = gather, .scatter_add = scatter_add};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
