#include "kernels/bag.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/check_indices.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bag.cpp"
#include "kernels/cpu/targets.h"
// After targets.h, once per instruction set:
#include "kernels/cpu/tile.h"

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements of the table per thread at least
constexpr std::int64_t kColumns = 128;  // whose sums stay in the L1 cache
constexpr int kRows = 4;                // that are added before they are widened, or multiplied together
constexpr int kSums = 16;               // of a product, on every instruction set

/// Calls f(first, last) for parts of the bags, on several threads.
template <class F>
void for_bags(const BagArgs& args, const F& f) {
  check_indices(args.op, "index", args.index, args.index_dtype, args.count, args.rows);
  if (args.bags == 0) return;
  const std::int64_t work = std::max<std::int64_t>(args.count / args.bags * args.width, 1);
  parallel_for(args.bags, std::max<std::int64_t>(kGrain / work, 1), f);
}

/// Asks for the row of an entry some way behind this one: the processor does not foresee where it is.
template <class T>
MP_INLINE void prefetch_row(const BagArgs& args, const T* table, std::int64_t entry) {
  constexpr std::int64_t kAhead = 32, kLine = 64 / sizeof(T), kMost = 4 * kLine;
  if (entry + kAhead >= args.count) return;
  const T* const row = table + index_at(args.index, args.index_dtype, entry + kAhead) * args.width;
  for (std::int64_t i = 0; i < std::min(args.width, kMost); i += kLine) __builtin_prefetch(row + i);
}

/// Adds `rows` rows times their factors to the sums.
template <int rows, class T>
MP_INLINE void add_rows(const T* const* row, const T* factor, std::int64_t width, double* sums) {
  constexpr int last = rows - 1;  // `rows` is 1 or kRows
  const T* const x[] = {row[0], row[std::min(1, last)], row[std::min(2, last)], row[last]};
  const T f[] = {factor[0], factor[std::min(1, last)], factor[std::min(2, last)], factor[last]};
  MP_IVDEP
  for (std::int64_t c = 0; c < width; ++c) {
    T sum = f[0] * x[0][c];
    if (rows > 1) sum = (sum + f[1] * x[1][c]) + (f[2] * x[2][c] + f[3] * x[3][c]);
    sums[c] += static_cast<double>(sum);
  }
}

/// Columns [begin, end) of one bag.
template <class T>
HWY_ATTR void sum_bag(const BagArgs& args, const T* table, const T* factors, std::int64_t bag,
                      std::int64_t begin, std::int64_t end, T* y) {
  double sums[kColumns] = {};
  const T* row[kRows];
  T factor[kRows];
  int n = 0;
  for (std::int64_t i = args.begin(bag), last = args.end(bag); i < last; ++i) {
    prefetch_row(args, table, i);
    const std::int64_t index = index_at(args.index, args.index_dtype, i);
    if (index == args.skip) continue;
    row[n] = table + index * args.width + begin;
    factor[n] = factors == nullptr ? T(1) : factors[i];
    if (++n < kRows) continue;
    add_rows<kRows>(row, factor, end - begin, sums);
    n = 0;
  }
  for (int k = 0; k < n; ++k) add_rows<1>(row + k, factor + k, end - begin, sums);
  for (std::int64_t c = begin; c < end; ++c) y[bag * args.width + c] = static_cast<T>(sums[c - begin]);
}

void sums(DType dtype, const BagArgs& args, const void* table, const void* factors, void* y, Stream) {
  with_type(dtype, [&]<class T>() {
    for_bags(args, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t bag = first; bag < last; ++bag)
        for (std::int64_t column = 0; column < args.width; column += kColumns)
          sum_bag(args, in<T>(table), in<T>(factors), bag, column, std::min(args.width, column + kColumns),
                  out<T>(y));
    });
  });
}

/// products[r] = the sum of row[r][c] g[c], of `rows` rows; those of kColumns in T, which is exact enough.
template <int rows, class T>
MP_INLINE void dot_rows(const T* const* row, const T* g, std::int64_t width, T* products) {
  constexpr int lanes = kVectorLanes<T>, vectors = kSums / lanes;
  double totals[rows] = {};
  for (std::int64_t begin = 0; begin < width; begin += kColumns) {
    const std::int64_t end = std::min(width, begin + kColumns);
    Vector<T> sums[rows][vectors] = {}, factor, value;
    std::int64_t c = begin;
    for (; c + kSums <= end; c += kSums) {
      MP_WRITE_OUT
      for (int v = 0; v < vectors; ++v) {
        load(g + c + v * lanes, factor);
        MP_WRITE_OUT
        for (int r = 0; r < rows; ++r) {
          load(row[r] + c + v * lanes, value);
          sums[r][v] += value * factor;
        }
      }
    }
    T parts[rows][kSums];
    MP_WRITE_OUT
    for (int r = 0; r < rows; ++r) MP_WRITE_OUT
    for (int v = 0; v < vectors; ++v) store(sums[r][v], parts[r] + v * lanes);
    for (int k = 0; c < end; ++c, ++k)
      for (int r = 0; r < rows; ++r) parts[r][k] += row[r][c] * g[c];
    for (int half = kSums / 2; half > 0; half /= 2)
      for (int r = 0; r < rows; ++r)
        for (int k = 0; k < half; ++k) parts[r][k] += parts[r][k + half];
    for (int r = 0; r < rows; ++r) totals[r] += static_cast<double>(parts[r][0]);
  }
  for (int r = 0; r < rows; ++r) products[r] = static_cast<T>(totals[r]);
}

template <class T>
HWY_ATTR void dot_bag(const BagArgs& args, const T* table, const T* g, std::int64_t bag, T* products) {
  const T* row[kRows];
  const std::int64_t end = args.end(bag);
  for (std::int64_t i = args.begin(bag), n; i < end; i += n) {
    n = std::min<std::int64_t>(kRows, end - i);
    for (std::int64_t k = 0; k < n; ++k) {
      prefetch_row(args, table, i + k);
      const std::int64_t index = index_at(args.index, args.index_dtype, i + k);
      row[k] = table + (index == args.skip ? 0 : index * args.width);
    }
    if (n == kRows)
      dot_rows<kRows>(row, g + bag * args.width, args.width, products + i);
    else
      for (std::int64_t k = 0; k < n; ++k)
        dot_rows<1>(row + k, g + bag * args.width, args.width, products + i + k);
    for (std::int64_t k = 0; k < n; ++k)
      if (index_at(args.index, args.index_dtype, i + k) == args.skip) products[i + k] = T(0);
  }
}

void dots(DType dtype, const BagArgs& args, const void* table, const void* g, void* products, Stream) {
  with_type(dtype, [&]<class T>() {
    for_bags(args, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t bag = first; bag < last; ++bag)
        dot_bag(args, in<T>(table), in<T>(g), bag, out<T>(products));
    });
  });
}

}  // namespace

const Bag& bag() {
  static constexpr Bag launchers{.sums = sums, .dots = dots};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {

MP_DISPATCH(Bag, bag)

}  // namespace miniparallel::kernels::cpu
#endif
