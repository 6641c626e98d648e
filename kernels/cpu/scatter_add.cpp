#include "kernels/cpu/indexing.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/short_length.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/scatter_add.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_SCATTER_LOOPS
#define MP_SCATTER_LOOPS
namespace miniparallel::kernels::cpu {

/// The places of the indices, those of each row together, in their order.
class ByRow {
 public:
  /// The places from the end of the one before to `end` name the row.
  struct Group {
    std::int64_t row, end;
  };

  explicit ByRow(const IndexArgs& args)
      : places_(scratch<ByRow, std::int64_t>(args.count)),
        groups_(scratch<ByRow, Group>(std::min(args.rows, args.count))) {
    if (args.rows / kFewIndices > args.count)
      sort(args);
    else
      count(args);
  }

  std::span<const Group> groups() const { return {groups_, count_}; }
  const std::int64_t* places() const { return places_; }

 private:
  /// One index for so many rows costs less to sort than to count each row's indices.
  static constexpr std::int64_t kFewIndices = 32;

  void sort(const IndexArgs& args) {
    std::int64_t n = 0;
    for_each_index(args, [&](std::int64_t i, std::int64_t) { places_[n++] = i; });
    const auto row = [&](std::int64_t place) {
      return args.row_of(place, index_at(args.index, args.index_dtype, place));
    };
    std::sort(places_, places_ + n,
              [&](std::int64_t a, std::int64_t b) { return row(a) != row(b) ? row(a) < row(b) : a < b; });
    for (std::int64_t i = 0; i < n; ++i)
      if (i + 1 == n || row(places_[i]) != row(places_[i + 1])) groups_[count_++] = {row(places_[i]), i + 1};
  }

  void count(const IndexArgs& args) {
    // Of each row first the number of its indices, then where its next one goes.
    std::int32_t* const next = scratch<ByRow, std::int32_t>(args.rows);
    std::fill_n(next, args.rows, 0);
    for_each_index(args, [&](std::int64_t, std::int64_t row) { ++next[row]; });
    std::int32_t begin = 0;
    for (std::int64_t row = 0; row < args.rows; ++row) {
      const std::int32_t count = next[row];
      if (count == 0) continue;
      next[row] = begin;
      begin += count;
      groups_[count_++] = {row, begin};
    }
    for_each_index(args, [&](std::int64_t i, std::int64_t row) { places_[next[row]++] = i; });
  }

  template <class F>
  static void for_each_index(const IndexArgs& args, const F& f) {
    for (std::int64_t i = 0; i < args.count; ++i) {
      const std::int64_t row = index_at(args.index, args.index_dtype, i);
      if (row != args.skip) f(i, args.row_of(i, row));
    }
  }

  std::int64_t* places_;
  Group* groups_;
  std::size_t count_ = 0;
};

/// Some columns of one `picked` and `whole`, and which groups are added, or parts where there are none.
struct Columns {
  const void* picked;
  void* whole;
  std::int64_t width;
  std::size_t first, last;
};
using AddColumns = void (*)(const IndexArgs& args, const ByRow* by_row, const Columns& columns);

/// Where rows are this narrow and not many more than the indices, all of a `whole` are converted to float64,
/// added to and rounded: cheaper than to do so row by row.
constexpr int kNarrow = 4;
constexpr std::int64_t kSparse = 4;

// Columns of a row that one thread adds to at once: a fixed order without atomics. Many rows keep the threads
// busy, so they are read whole.
constexpr std::int64_t kColumns = 64, kWholeRow = 256, kManyRows = 64;

struct ScatterLoops {
  AddColumns float_to_float, narrow_float_to_float, float_to_double, double_to_double;
};

}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class To, class T>
MP_INLINE void add_row(To* to, const T* from, std::int64_t width, To factor) {
  MP_IVDEP
  for (std::int64_t c = 0; c < width; ++c) to[c] += static_cast<To>(from[c]) * factor;
}

/// In float64, where the product of two float32 is exact.
template <class T>
MP_INLINE double factor_of(const IndexArgs& args, std::int64_t i) {
  return args.factors == nullptr ? 1. : static_cast<double>(static_cast<const T*>(args.factors)[i]);
}

/// Adds to `sums`, the rows of a part.
template <class T>
HWY_ATTR void add_part(const IndexArgs& args, std::int64_t part, const T* picked, std::int64_t columns,
                       double* sums) {
  const std::int64_t count = args.count / args.parts, begin = count * part;
  const auto add = [&](std::int64_t width, bool plain) HWY_ATTR __attribute__((always_inline)) {
    for (std::int64_t i = begin; i < begin + count; ++i) {
      const std::int64_t row = index_at(args.index, args.index_dtype, i);
      if (row != args.skip)
        add_row(sums + row * args.inner, picked + (plain ? i * args.inner : args.picked_row(i)), width,
                plain ? 1. : factor_of<T>(args, i));
    }
  };
  const bool plain = args.uses == 1 && args.factors == nullptr;
  const bool few =
      plain && with_short_length<kNarrow>(columns, [&]<int width>() HWY_ATTR { add(width, true); });
  if (!few) add(columns, false);
}

/// For a `whole` that is as exact as the sums are made.
template <class T>
HWY_ATTR void add_exactly(const IndexArgs& args, const ByRow*, const Columns& columns) {
  const std::int64_t n = args.part_rows() * args.inner;
  for (auto part = static_cast<std::int64_t>(columns.first); std::cmp_less(part, columns.last); ++part)
    add_part(args, part, static_cast<const T*>(columns.picked), columns.width,
             static_cast<double*>(columns.whole) + part * n);
}

/// What add_rounded does, of narrow rows.
HWY_ATTR void add_narrow(const IndexArgs& args, const ByRow*, const Columns& columns) {
  const std::int64_t n = args.part_rows() * args.inner;
  double* const sums = scratch<Columns, double>(n);
  for (auto part = static_cast<std::int64_t>(columns.first); std::cmp_less(part, columns.last); ++part) {
    float* const whole = static_cast<float*>(columns.whole) + part * n;
    for (std::int64_t i = 0; i < n; ++i) sums[i] = static_cast<double>(whole[i]);
    add_part(args, part, static_cast<const float*>(columns.picked), columns.width, sums);
    for (std::int64_t i = 0; i < n; ++i) whole[i] = static_cast<float>(sums[i]);
  }
}

namespace hn = hwy::HWY_NAMESPACE;

constexpr int kSums = 8;  // vectors of them that stay in registers
constexpr std::int64_t kRegisters =
    kSums * static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<double>()));

/// Adds kRegisters columns of the rows at the places.
HWY_ATTR MP_INLINE void add_in_registers(const IndexArgs& args, std::span<const std::int64_t> places,
                                         const float* picked, float* to) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> narrow;
  constexpr std::int64_t lanes = kRegisters / kSums;
  hn::Vec<decltype(d)> sums[kSums];
  MP_WRITE_OUT
  for (int k = 0; k < kSums; ++k) sums[k] = hn::PromoteTo(d, hn::LoadU(narrow, to + k * lanes));
  for (const std::int64_t place : places) {
    const float* const from = picked + args.picked_row(place);
    const auto factor = hn::Set(d, factor_of<float>(args, place));
    MP_WRITE_OUT
    for (int k = 0; k < kSums; ++k)
      sums[k] = hn::MulAdd(hn::PromoteTo(d, hn::LoadU(narrow, from + k * lanes)), factor, sums[k]);
  }
  MP_WRITE_OUT
  for (int k = 0; k < kSums; ++k) hn::StoreU(hn::DemoteTo(narrow, sums[k]), narrow, to + k * lanes);
}

/// A row to which more than one is added has its sum in float64, which is rounded at the end.
HWY_ATTR void add_rounded(const IndexArgs& args, const ByRow* by_row, const Columns& columns) {
  const float* const picked = static_cast<const float*>(columns.picked);
  const auto groups = by_row->groups();
  const std::int64_t* place = by_row->places() + (columns.first == 0 ? 0 : groups[columns.first - 1].end);
  alignas(64) double sums[kWholeRow];
  for (const ByRow::Group group : groups.subspan(columns.first, columns.last - columns.first)) {
    float* const to = static_cast<float*>(columns.whole) + group.row * args.inner;
    const std::int64_t* const end = by_row->places() + group.end;
    if (end - place == 1 && args.factors == nullptr) {
      add_row(to, picked + args.picked_row(*place++), columns.width, 1.f);
      continue;
    }
    const std::span places(place, end);
    std::int64_t done = 0;
    for (; done + kRegisters <= columns.width; done += kRegisters)
      add_in_registers(args, places, picked + done, to + done);
    for (std::int64_t c = done; c < columns.width; ++c) sums[c] = static_cast<double>(to[c]);
    for (const std::int64_t at : places)
      add_row(sums + done, picked + args.picked_row(at) + done, columns.width - done,
              factor_of<float>(args, at));
    for (std::int64_t c = done; c < columns.width; ++c) to[c] = static_cast<float>(sums[c]);
    place = end;
  }
}

}  // namespace

const ScatterLoops* scatter_loops() {
  static constexpr ScatterLoops loops{add_rounded, add_narrow, add_exactly<float>, add_exactly<double>};
  return &loops;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

HWY_EXPORT(scatter_loops);

constexpr std::int64_t kGrain = 16384;  // elements per thread at least

}  // namespace

void scatter_add(DType dtype, const IndexArgs& args, const void* picked, DType whole_dtype, void* whole,
                 Stream) {
  check_rows(args);
  static const ScatterLoops& loops = *HWY_DYNAMIC_DISPATCH(scatter_loops)();
  const bool exact = whole_dtype == float64;
  const bool narrow = args.inner <= kNarrow && args.rows <= kSparse * args.count;
  const AddColumns add = exact    ? dtype == float32 ? loops.float_to_double : loops.double_to_double
                         : narrow ? loops.narrow_float_to_float
                                  : loops.float_to_float;
  std::optional<ByRow> by_row;
  if (!exact && !narrow) by_row.emplace(args);
  const std::int64_t groups = by_row ? std::ssize(by_row->groups()) : args.parts;
  if (groups == 0) return;
  const std::int64_t most = groups < kManyRows ? kColumns : kWholeRow;
  const std::int64_t blocks = (args.inner + most - 1) / most;
  const std::int64_t work = std::max<std::int64_t>(args.count * std::min(args.inner, most) / groups, 1);
  const auto size = static_cast<std::int64_t>(size_of(dtype)),
             whole_size = static_cast<std::int64_t>(size_of(whole_dtype));
  const auto add_block = [&](std::int64_t block, std::int64_t first, std::int64_t last) {
    const std::int64_t outer = block / blocks, column = block % blocks * most;
    add(args, by_row ? &*by_row : nullptr,
        {static_cast<const std::byte*>(picked) + (outer * args.picked_row(args.count) + column) * size,
         static_cast<std::byte*>(whole) + (outer * args.rows * args.inner + column) * whole_size,
         std::min(most, args.inner - column), static_cast<std::size_t>(first),
         static_cast<std::size_t>(last)});
  };
  parallel_for(args.outer * blocks * groups, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 while (begin < end) {
                   const std::int64_t first = begin % groups, last = std::min(groups, first + end - begin);
                   add_block(begin / groups, first, last);
                   begin += last - first;
                 }
               });
}

}  // namespace miniparallel::kernels::cpu
#endif
