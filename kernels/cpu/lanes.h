#pragma once

#include "kernels/cpu/scratch.h"
#include "kernels/reductions.h"

#include <cstdint>
#include <limits>
#include <type_traits>

/// Reductions of a row in a fixed number of lanes, which gives the same result on every instruction set.
/// Forced inline: they become part of a loop that is compiled per instruction set.

namespace miniparallel::kernels::cpu {

inline constexpr int kLanes = 16, kBlockLanes = 64;

/// Halves `lanes` until one is left; each number of them has its own loop, which the compiler writes out.
template <class F, int count>
MP_INLINE typename F::Accumulator join_lanes(typename F::Accumulator* lanes) {
  if constexpr (count == 1) {
    return lanes[0];
  } else {
    constexpr int half = count / 2;
    for (int l = 0; l < half; ++l) lanes[l] = F::combine(lanes[l], lanes[l + half]);
    return join_lanes<F, half>(lanes);
  }
}

/// Asks for what is read 16 KB after `count` elements at x: beyond a page the processor foresees nothing.
template <class T>
MP_INLINE void prefetch_ahead(const T* x, int count) {
  for (int i = 0; i < count; i += 64 / static_cast<int>(sizeof(T)))
    __builtin_prefetch(x + i + 16384 / static_cast<int>(sizeof(T)));
}

/// Combines n values of element(i): element i goes to lane i % kLanes, most of them four at a time, as
/// four(i, apart) combines those at i, i + apart and so on. A function that compares goes through blocks of
/// four times kBlockLanes first: GCC vectorises a comparison only in a loop that it does not unroll. Before
/// `count` elements from i on ahead(i, count) is called.
template <class F, class Element, class Four, class Ahead>
MP_INLINE typename F::Accumulator fold_lanes(std::int64_t n, Element element, Four four, Ahead ahead) {
  using Accumulator = typename F::Accumulator;
  Accumulator lanes[kLanes];
  for (int l = 0; l < kLanes; ++l) lanes[l] = F::initial;
  std::int64_t i = 0;
  if (F::in_blocks && n >= 4 * kBlockLanes) {
    Accumulator block[kBlockLanes];
    for (int l = 0; l < kBlockLanes; ++l) block[l] = F::initial;
    for (; i + 4 * kBlockLanes <= n; i += 4 * kBlockLanes) {
      ahead(i, 4 * kBlockLanes);
      for (int l = 0; l < kBlockLanes; ++l) block[l] = F::combine(block[l], four(i + l, kBlockLanes));
    }
    lanes[0] = join_lanes<F, kBlockLanes>(block);
  }
  if (!F::in_blocks)
    for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
      ahead(i, 4 * kLanes);
      for (int l = 0; l < kLanes; ++l) lanes[l] = F::combine(lanes[l], four(i + l, kLanes));
    }
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; ++l) lanes[l] = F::combine(lanes[l], element(i + l));
  for (int l = 0; i + l < n; ++l) lanes[l] = F::combine(lanes[l], element(i + l));
  return join_lanes<F, kLanes>(lanes);
}

struct PackedRow;

/// n elements `stride` apart as an array, valid until the thread's next one.
template <class T>
MP_INLINE const T* packed_row(const T* x, std::int64_t stride, std::int64_t n) {
  if (stride == 1) return x;
  T* const row = scratch<PackedRow, T>(n);
  for (std::int64_t i = 0; i < n; ++i) row[i] = x[i * stride];
  return row;
}

template <class F>
MP_INLINE typename F::Accumulator fold_row(const typename F::Input* x, std::int64_t n,
                                           typename F::Input center = {}) {
  return fold_lanes<F>(
      n, [=](std::int64_t i) __attribute__((always_inline)) { return F::load(x[i], center); },
      [=](std::int64_t i, std::int64_t apart) __attribute__((always_inline)) {
        return F::load_four(x[i], x[i + apart], x[i + 2 * apart], x[i + 3 * apart], center);
      },
      [=](std::int64_t i, int count) __attribute__((always_inline)) { prefetch_ahead(x + i, count); });
}

/// Sum of element(i), which are float64.
template <class T, class Element>
MP_INLINE double sum_lanes(std::int64_t n, Element element) {
  return fold_lanes<SumOf<T>>(
      n, element,
      [=](std::int64_t i, std::int64_t apart) __attribute__((always_inline)) {
        return (element(i) + element(i + apart)) + (element(i + 2 * apart) + element(i + 3 * apart));
      },
      [](std::int64_t, int) __attribute__((always_inline)) {});
}

/// Sum of a[i] b[i].
template <class T>
MP_INLINE double dot_row(const T* a, const T* b, std::int64_t n) {
  return sum_lanes<T>(n, [=](std::int64_t i) __attribute__((always_inline)) {
    return static_cast<double>(a[i]) * static_cast<double>(b[i]);
  });
}

/// Sum of x[i] as of float64, for one that cancels out.
template <class T>
MP_INLINE double exact_sum_row(const T* x, std::int64_t n) {
  return sum_lanes<T>(
      n, [=](std::int64_t i) __attribute__((always_inline)) { return static_cast<double>(x[i]); });
}

}  // namespace miniparallel::kernels::cpu
