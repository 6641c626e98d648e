#include "kernels/by_dtype.h"
#include "kernels/collective.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/cuda/device/rows.cuh"
#include "kernels/half.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

namespace miniparallel::kernels::cuda {
namespace {

/// What values of T are summed in.
template <class T>
using Accumulator = std::conditional_t<sizeof(T) == 8, double, float>;

/// Packs of 16 bytes of the wider type.
template <class From, class To>
inline constexpr int kPackOfBoth = kPack<From> < kPack<To> ? kPack<From> : kPack<To>;

template <class T, int N>
struct Values : Pack<T, N> {
  MP_INLINE Values() : Pack<T, N>{} {}
  MP_INLINE void operator+=(const Values& other) {
    MP_UNROLL
    for (int k = 0; k < N; ++k) this->at[k] += other.at[k];
  }
};

/// Elements i to i + N of the sum.
template <int N, class Sum, class From, class To>
MP_INLINE void sum_pack(const TreeSumArgs& args, unsigned present, To* y, std::int64_t i) {
  Values<Sum, N> sum;
  sum_tree<kMaxSummands>(
      present, 0,
      [&](int k, Values<Sum, N>& values) {
        const Pack<From, N> x = pack_at<N>(static_cast<const From*>(args.x[k]), i);
        MP_UNROLL
        for (int j = 0; j < N; ++j) values.at[j] = convert<Sum>(x.at[j]);
      },
      sum);
  Pack<To, N> result;
  MP_UNROLL
  for (int j = 0; j < N; ++j) result.at[j] = convert<To>(sum.at[j]);
  pack_at<N>(y, i) = result;
}

/// Pack by pack, then the rest one by one.
template <class Sum, class To, class From>
__global__ void sum_arrays(TreeSumArgs args, unsigned present, std::int64_t packs, To* y) {
  constexpr int pack = kPackOfBoth<From, To>;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (std::int64_t i = first; i < packs; i += step) sum_pack<pack, Sum, From>(args, present, y, i * pack);
  for (std::int64_t i = packs * pack + first; i < args.n; i += step)
    sum_pack<1, Sum, From>(args, present, y, i);
}

template <class From, class To>
void launch_sum(const TreeSumArgs& args, void* y, Stream stream) {
  if (args.n == 0) return;
  constexpr int pack = kPackOfBoth<From, To>;
  const bool aligned =
      are_aligned(16, y) && std::ranges::all_of(args.x, [](const void* x) { return are_aligned(16, x); });
  const std::int64_t packs = aligned ? args.n / pack : 0, items = aligned ? packs + args.n % pack : args.n;
  launch_on(stream, sum_arrays<Accumulator<From>, To, From>, grid_for(items, stream.device), kBlock, args,
            args.present(), packs, out<To>(y));
}

template <class From>
void sum_of_16_bits(DType to, const TreeSumArgs& args, void* y, Stream stream) {
  to == float32 ? launch_sum<From, float>(args, y, stream) : launch_sum<From, From>(args, y, stream);
}

void sum(DType from, DType to, const TreeSumArgs& args, void* y, Stream stream) {
  if (from == float64) return launch_sum<double, double>(args, y, stream);
  if (from == float16) return sum_of_16_bits<Half>(to, args, y, stream);
  if (from == bfloat16) return sum_of_16_bits<BFloat16>(to, args, y, stream);
  if (to == float16) return launch_sum<float, Half>(args, y, stream);
  if (to == bfloat16) return launch_sum<float, BFloat16>(args, y, stream);
  launch_sum<float, float>(args, y, stream);
}

/// What one thread copies at a time: as many bytes as addresses and length are multiples of.
struct UnitRow {
  void* to;
  const void* from;
  std::int64_t n;  // units
  int unit;
};

template <int unit>
__device__ void copy_units(const UnitRow& row, std::int64_t begin, std::int64_t end) {
  using Unit = Pack<std::uint8_t, unit>;
  for (std::int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
    out<Unit>(row.to)[i] = in<Unit>(row.from)[i];
}

template <class Rows>
__global__ void copy_rows(Rows batch) {
  const auto [row, begin, end] = batch.chunk(blockIdx.x);
  if (row.unit == 16)
    copy_units<16>(row, begin, end);
  else if (row.unit == 4)
    copy_units<4>(row, begin, end);
  else
    copy_units<1>(row, begin, end);
}

/// The row in units of 16 bytes, and what is left in smaller ones.
void split_into_units(const CopyRow& row, std::vector<UnitRow>& rows) {
  std::int64_t done = 0;
  for (const int unit : {16, 4, 1}) {
    std::byte* const to = out<std::byte>(row.to) + done;
    const std::byte* const from = in<std::byte>(row.from) + done;
    if (!are_aligned(static_cast<std::uintptr_t>(unit), to, from)) continue;
    const std::int64_t n = (row.n - done) / unit;
    if (n > 0) rows.push_back({to, from, n, unit});
    done += n * unit;
  }
}

void copy(std::span<const CopyRow> rows, Stream stream) {
  std::vector<UnitRow> units;
  for (const CopyRow& row : rows) split_into_units(row, units);
  for_each_batch(std::span<const UnitRow>(units),
                 [&]<class Rows>(const Rows& batch, unsigned blocks, std::int64_t) {
                   launch_on(stream, copy_rows<Rows>, blocks, kBlock, batch);
                 });
}

}  // namespace

const Collective& collective() {
  static constexpr Collective launchers{.sum = sum, .copy = copy};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
