#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>
#include <span>

/// Sums over the replicas of a model, each of which has computed an array, and the results of all in one.

namespace miniparallel::kernels {

inline constexpr int kMaxSummands = 8;

/// Arrays of n elements; null where a replica has none.
struct TreeSumArgs {
  std::int64_t n = 0;
  const void* x[kMaxSummands] = {};

  /// Bit i: whether x[i] is there.
  MP_INLINE unsigned present() const {
    unsigned bits = 0;
    for (int i = 0; i < kMaxSummands; ++i) bits |= (x[i] != nullptr ? 1u : 0u) << i;
    return bits;
  }
};
inline Sizes sizes(const TreeSumArgs& args) {
  return {"summands elements", {__builtin_popcount(args.present()), args.n}};
}

/// sum = the values x[first], ..., x[first + width - 1] of which `present` has a bit, one at least, as a
/// balanced tree over their places: ((x0 + x1) + (x2 + x3)) + ... ; who is not there is left out. `load(i,
/// value)` reads x[i].
template <int width, class Value, class Load>
MP_INLINE void sum_tree(unsigned present, int first, const Load& load, Value& sum) {
  if constexpr (width == 1) {
    load(first, sum);
  } else {
    constexpr int half = width / 2;
    const unsigned low = present & ((1u << half) - 1), high = present >> half;
    if (low != 0) sum_tree<half>(low, first, load, sum);
    if (high == 0) return;
    Value other;
    sum_tree<half>(high, first + half, load, other);
    if (low != 0)
      sum += other;
    else
      sum = other;
  }
}

/// Bytes that are copied. `from` may be memory of another device that this one reads.
struct CopyRow {
  void* to;
  const void* from;
  std::int64_t n;
};
inline Sizes sizes(std::span<const CopyRow> rows) {
  const std::int64_t count = static_cast<std::int64_t>(rows.size());
  std::int64_t bytes = 0;
  for (const CopyRow& row : rows) bytes += row.n;
  return {"rows bytes", {count, count == 0 ? 0 : bytes / count}};
}

struct Collective {
  /// y = the tree over the arrays in args.x, one at least, which are of dtype `from`, rounded once to `to`:
  /// both float32 or float64; or float32, float16 and bfloat16, summed in float32. y may be one of them.
  void (*sum)(DType from, DType to, const TreeSumArgs& args, void* y, Stream stream);
  /// Copies each row; none overlaps with what is written. Some hundreds are one launch.
  void (*copy)(std::span<const CopyRow> rows, Stream stream);
};

}  // namespace miniparallel::kernels
