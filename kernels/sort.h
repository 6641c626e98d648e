#pragma once

#include <miniparallel/dtype.h>

#include "kernels/half.h"
#include "kernels/math.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <bit>
#include <cstdint>
#include <type_traits>

namespace miniparallel::kernels {

/// An element on its way through a sort: a number whose order is that of the elements, and the place it had.
struct SortEntry {
  std::uint64_t key;
  std::int64_t place;

  /// No two are equal, so every sort keeps equal elements in their order.
  MP_INLINE friend bool operator<(const SortEntry& a, const SortEntry& b) {
    return a.key != b.key ? a.key < b.key : a.place < b.place;
  }
};

/// The elements are row-major (outer, n, inner); lines run along n.
struct SortArgs {
  std::int64_t outer = 1, n = 1, inner = 1;
  std::int64_t begin = 0, end = 0;  ///< the wanted places of each sorted line; the others may hold anything
  bool descending = false;
  const void* x = nullptr;
  SortEntry* scratch = nullptr;  ///< room for `padded` entries of each line

  std::int64_t lines() const { return outer * inner; }
  /// A power of 2.
  std::int64_t padded() const {
    return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
  }
};
inline Sizes sizes(const SortArgs& args) { return {"outer n inner", {args.outer, args.n, args.inner}}; }

struct Sort {
  /// int64: which element of its line stands at each place of the sorted one; any dtype, float16 and
  /// bfloat16 on GPUs only. Equal elements keep their order, NaN is greater than every number.
  void (*argsort)(DType dtype, const SortArgs& args, std::int64_t* indices, Stream stream);
};

/// An unsigned number that is less where x is less; one for every NaN, and one for 0 and -0.
template <class T>
MP_INLINE std::uint64_t sort_key(T x) {
  if constexpr (std::is_same_v<T, Half> || std::is_same_v<T, BFloat16>) {
    return sort_key(to_float(x));
  } else if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    constexpr Bits sign = Bits(1) << (8 * sizeof(T) - 1);
    if (x != x) return ~Bits(0);
    const Bits bits = std::bit_cast<Bits>(x == T(0) ? T(0) : x);
    return (bits & sign) != 0 ? Bits(~bits) : Bits(bits | sign);
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(x)) ^ (std::uint64_t{1} << 63);
  } else {
    return static_cast<std::uint64_t>(x);
  }
}

/// The entry of element i of line `line`, for a place of that line beyond n one that comes last.
template <class T>
MP_INLINE SortEntry sort_entry(const SortArgs& args, std::int64_t line, std::int64_t i) {
  if (i >= args.n) return {~std::uint64_t{0}, i};
  const T* x = static_cast<const T*>(args.x);
  const std::uint64_t key = sort_key(x[(line / args.inner * args.n + i) * args.inner + line % args.inner]);
  return {args.descending ? ~key : key, i};
}

/// Calls f for the type of a dtype that can be sorted: with_sortable(dtype, [&]<class T>() { ... }).
template <class F>
void with_sortable(DType dtype, const F& f) {
  switch (dtype) {
    case float32:
      return f.template operator()<float>();
    case float64:
      return f.template operator()<double>();
    case int64:
      return f.template operator()<std::int64_t>();
    case int32:
      return f.template operator()<std::int32_t>();
    default:  // uint8, bool
      return f.template operator()<std::uint8_t>();
  }
}

}  // namespace miniparallel::kernels
