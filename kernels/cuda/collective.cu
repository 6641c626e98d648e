#include "kernels/by_dtype.h"
#include "kernels/collective.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/half.h"

#include <algorithm>
#include <type_traits>

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

}  // namespace

const Collective& collective() {
  static constexpr Collective launchers{.sum = sum};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
