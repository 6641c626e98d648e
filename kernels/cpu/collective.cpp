#include "kernels/collective.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"
#include "kernels/half.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/collective.cpp"
#include "kernels/cpu/targets.h"

#ifndef MP_COLLECTIVE_TABLE
#define MP_COLLECTIVE_TABLE
namespace miniparallel::kernels::cpu {
/// Elements [begin, end) of the sum.
using SumLoop = void (*)(const TreeSumArgs& args, std::int64_t begin, std::int64_t end, void* y);
struct CollectiveLoops {
  SumLoop (*sum)(DType from, DType to);
};

/// Some elements of one array, which stay in the cache on their way through the tree.
template <class T>
struct Values {
  static constexpr std::int64_t kSize = 512;
  T at[kSize];
  std::int64_t n = 0;
  MP_INLINE void operator+=(const Values& other) {
    MP_IVDEP
    for (std::int64_t i = 0; i < n; ++i) at[i] += other.at[i];
  }
};

/// Reads elements [start, start + n) of an array.
template <class From, class Sum>
struct Load {
  const TreeSumArgs& args;
  std::int64_t start, n;
  MP_INLINE void operator()(int array, Values<Sum>& values) const {
    const From* x = static_cast<const From*>(args.x[array]) + start;
    values.n = n;
    MP_IVDEP
    for (std::int64_t i = 0; i < n; ++i) values.at[i] = convert<Sum>(x[i]);
  }
};
}  // namespace miniparallel::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class From, class To, class Sum>
HWY_ATTR void sum(const TreeSumArgs& args, std::int64_t begin, std::int64_t end, void* y) {
  using Block = Values<Sum>;
  const unsigned present = args.present();
  for (std::int64_t start = begin; start < end; start += Block::kSize) {
    const std::int64_t n = end - start < Block::kSize ? end - start : Block::kSize;
    Block block;
    sum_tree<kMaxSummands>(present, 0, Load<From, Sum>{args, start, n}, block);
    To* out = static_cast<To*>(y) + start;
    MP_IVDEP
    for (std::int64_t i = 0; i < n; ++i) out[i] = convert<To>(block.at[i]);
  }
}

template <class From>
SumLoop sum_of_16_bits(DType to) {
  return to == float32 ? SumLoop(sum<From, float, float>) : SumLoop(sum<From, From, float>);
}

SumLoop sum_loop(DType from, DType to) {
  if (from == float64) return sum<double, double, double>;
  if (from == float16) return sum_of_16_bits<Half>(to);
  if (from == bfloat16) return sum_of_16_bits<BFloat16>(to);
  return to == float16    ? SumLoop(sum<float, Half, float>)
         : to == bfloat16 ? SumLoop(sum<float, BFloat16, float>)
                          : SumLoop(sum<float, float, float>);
}

}  // namespace

const CollectiveLoops& collective_loops() {
  static constexpr CollectiveLoops table{sum_loop};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(CollectiveLoops, collective_loops)

constexpr std::int64_t kGrain = 1 << 14;  // elements per thread at least

void sum(DType from, DType to, const TreeSumArgs& args, void* y, Stream) {
  const SumLoop loop = collective_loops().sum(from, to);
  parallel_for(args.n, kGrain, [&](std::int64_t begin, std::int64_t end) { loop(args, begin, end, y); });
}

void copy(std::span<const CopyRow> rows, Stream) {
  for (const CopyRow& row : rows)
    parallel_for(row.n, 8 * kGrain, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(static_cast<char*>(row.to) + begin, static_cast<const char*>(row.from) + begin,
                  static_cast<std::size_t>(end - begin));
    });
}

}  // namespace

const Collective& collective() {
  static constexpr Collective launchers{.sum = sum, .copy = copy};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
