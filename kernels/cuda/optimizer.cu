#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/cuda/device/rows.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/math.h"
#include "kernels/optimizer.h"

#include <algorithm>
#include <bit>
#include <utility>

// All tensors of a call in one launch (device/rows.cuh).

namespace miniparallel::kernels::cuda {
namespace {

static_assert(kRowChunk == kNormChunk);

template <class Formula>
__device__ bool is_aligned(const UpdateRow<Formula>& row) {
  bool aligned = are_aligned(16, row.parameter, row.gradient);
  MP_UNROLL
  for (std::size_t k = 0; k < Formula::states; ++k) aligned = aligned && are_aligned(16, row.state[k]);
  return aligned;
}
/// A pack and a block of random bits are of the same elements.
static_assert(kPack<BFloat16> == kShortsOfBlock);
__device__ bool is_aligned(const UpdateRow<updates::RoundedAdam>& row) {
  return row.first % kShortsOfBlock == 0 && is_aligned<updates::RoundedAdam>(row);
}
__device__ bool is_aligned(const GradientRow& row) { return are_aligned(16, row.gradient); }
__device__ bool is_aligned(const SumRow& row) { return are_aligned(16, row.sum, row.addend); }

/// What the elements of a row have in common, read once.
template <class Formula>
__device__ UpdateRule<Formula> common_of(const UpdateRow<Formula>& row) {
  return row.rule();
}
struct Nothing {};
__device__ Nothing common_of(const GradientRow&) { return {}; }
__device__ Nothing common_of(const SumRow&) { return {}; }

__device__ bool is_skipped(const RuleHead& rule) { return rule.skip; }
__device__ bool is_skipped(Nothing) { return false; }

/// f.update<N>(row, common, i) for elements i to i + N, until every element from `begin` to before `end` was
/// in one.
template <class F, class Row>
__device__ void update_chunk(const Row& row, std::int64_t begin, std::int64_t end, const F& f) {
  constexpr int pack = kPack<typename F::Element>;
  const std::int64_t packed = is_aligned(row) ? begin + (end - begin) / pack * pack : begin;
  const auto common = common_of(row);
  if (is_skipped(common)) return;
  for (std::int64_t i = begin + threadIdx.x * pack; i < packed; i += blockDim.x * pack)
    f.template update<pack>(row, common, i);
  for (std::int64_t i = packed + threadIdx.x; i < end; i += blockDim.x) f.template update<1>(row, common, i);
}

/// The same for every element of every row.
template <class F, class Rows>
__global__ void __launch_bounds__(kBlock, 2) update_rows(Rows batch, F f) {
  const auto [row, begin, end] = batch.chunk(blockIdx.x);
  update_chunk(row, begin, end, f);
}

/// How the results of elements are rounded to the type T in which they are stored.
struct ToNearest {
  template <class T>
  __device__ T round(Computed<T> value, int) const {
    return convert<T>(value);
  }
};
struct WithNoise {
  PhiloxBlock noise;
  int first;  ///< element of the block
  template <class T>
  __device__ T round(float value, int k) const {
    return to_bfloat16(value, random_short(noise, first + k));
  }
};
template <int N, class Formula>
__device__ ToNearest rounding_of(const UpdateRow<Formula>&, const UpdateRule<Formula>&, std::int64_t) {
  return {};
}
template <int N>
__device__ WithNoise rounding_of(const UpdateRow<updates::RoundedAdam>& row,
                                 const UpdateRule<updates::RoundedAdam>& rule, std::int64_t i) {
  const std::int64_t element = row.first + i;
  return {rule.formula.noise(element / kShortsOfBlock),
          N == 1 ? static_cast<int>(element % kShortsOfBlock) : 0};
}

/// Stores N elements as one pack. One of 16 bytes takes one instruction, into which the compiler would not
/// join elements of 16 bits, nor any where a store on a condition follows.
template <int N, class T, class Rounding>
__device__ void store(T* array, std::int64_t i, const Pack<Computed<T>, N>& values,
                      const Rounding& rounding) {
  Pack<T, N> stored;
  MP_UNROLL
  for (int k = 0; k < N; ++k) stored.at[k] = rounding.template round<T>(values.at[k], k);
#ifdef __CUDA_ARCH__
  if constexpr (N == kPack<T>) {
    const uint4 words = std::bit_cast<uint4>(stored);
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(array + i)),
                 "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
    return;
  }
#endif
  pack_at<N>(array, i) = stored;
}

template <class Formula, class T>
struct Update {
  using Element = T;
  template <int N>
  using Values = Pack<Computed<T>, N>;
  template <int N>
  __device__ void update(const UpdateRow<Formula>& row, const UpdateRule<Formula>& rule,
                         std::int64_t i) const {
    update<N>(row, rule, i, std::make_index_sequence<Formula::states>());
  }

 private:
  template <int N, std::size_t... k>
  __device__ void update(const UpdateRow<Formula>& row, const UpdateRule<Formula>& rule, std::int64_t i,
                         std::index_sequence<k...>) const {
    Values<N> p = read_pack<N>(static_cast<const T*>(row.parameter), i);
    const Values<N> gradient = read_pack<N>(static_cast<const T*>(row.gradient), i);
    Values<N> state[] = {read_state<N, k>(row, i)...};
    MP_UNROLL
    for (int j = 0; j < N; ++j) rule.update(p.at[j], gradient.at[j], state[k].at[j]...);
    const auto rounding = rounding_of<N>(row, rule, i);
    store<N>(static_cast<T*>(row.parameter), i, p, rounding);
    (write_state<N, k>(row, i, state[k], rounding), ...);
  }
  template <int N, std::size_t k>
  __device__ Values<N> read_state(const UpdateRow<Formula>& row, std::int64_t i) const {
    Values<N> state = {};
    if (row.has(k)) state = read_pack<N>(static_cast<const T*>(row.state[k]), i);
    return state;
  }
  template <int N, std::size_t k, class Rounding>
  __device__ void write_state(const UpdateRow<Formula>& row, std::int64_t i, const Values<N>& state,
                              const Rounding& rounding) const {
    if (row.has(k)) store<N>(static_cast<T*>(row.state[k]), i, state, rounding);
  }
};

/// The same of float16 or bfloat16, which is known at run time: a kernel for both.
template <class Formula>
struct UpdateHalf {
  using Element = Half;
  bool is_bfloat;
  template <int N>
  __device__ void update(const UpdateRow<Formula>& row, const UpdateRule<Formula>& rule,
                         std::int64_t i) const {
    if (is_bfloat)
      Update<Formula, BFloat16>{}.template update<N>(row, rule, i);
    else
      Update<Formula, Half>{}.template update<N>(row, rule, i);
  }
};

/// g = f(g) for gradients.
template <int N, class T, class F>
__device__ void change(const GradientRow& row, std::int64_t i, const F& f) {
  T* const gradient = static_cast<T*>(row.gradient);
  Pack<Computed<T>, N> g = read_pack<N>(gradient, i);
  MP_UNROLL
  for (int k = 0; k < N; ++k) g.at[k] = f(g.at[k]);
  store<N>(gradient, i, g, ToNearest{});
}

template <class T>
struct ScaleToNorm {
  using Element = T;
  const double* norm;
  double max_norm;
  template <int N>
  __device__ void update(const GradientRow& row, Nothing, std::int64_t i) const {
    const double factor = clip_factor(*norm, max_norm);
    if (!(factor >= 1))
      change<N, T>(row, i, functors::ScaleGradient<Computed<T>>{static_cast<Computed<T>>(factor)});
  }
};

template <class T>
struct ClampValue {
  using Element = T;
  Computed<T> limit;
  template <int N>
  __device__ void update(const GradientRow& row, Nothing, std::int64_t i) const {
    change<N, T>(row, i, functors::ClampGradient<Computed<T>>{limit});
  }
};

template <class T>
struct Add {
  using Element = T;
  template <int N>
  __device__ void update(const SumRow& row, Nothing, std::int64_t i) const {
    Pack<T, N>& sum = pack_at<N>(static_cast<T*>(row.sum), i);
    Pack<T, N> s = sum;
    const Pack<T, N> addend = pack_at<N>(static_cast<const T*>(row.addend), i);
    MP_UNROLL
    for (int k = 0; k < N; ++k) s.at[k] = sum_of_two(s.at[k], addend.at[k]);
    sum = s;
  }
};

/// By the dtype of a row, which is the same for all threads of a block.
struct AddAny {};
__device__ void update_chunk(const SumRow& row, std::int64_t begin, std::int64_t end, const AddAny&) {
  if (row.dtype == float32)
    update_chunk(row, begin, end, Add<float>{});
  else if (row.dtype == float64)
    update_chunk(row, begin, end, Add<double>{});
  else if (row.dtype == float16)
    update_chunk(row, begin, end, Add<Half>{});
  else
    update_chunk(row, begin, end, Add<BFloat16>{});
}

template <class T, class Parts, class Rows>
__global__ void norm_chunks(Rows batch, NormKind kind, double* partials) {
  const auto [row, begin, end] = batch.chunk(blockIdx.x);
  double mine = 0;
  for (std::int64_t i = begin + threadIdx.y; i < end; i += blockDim.y)
    mine = Parts::combine(mine, norm_part(kind, convert<double>(static_cast<const T*>(row.gradient)[i])));
  const double total = combine_over_y<Parts>(mine);
  if (threadIdx.y == 0) partials[blockIdx.x] = total;
}

template <class Parts>
__global__ void norm_result(const double* partials, std::int64_t count, NormKind kind, double* result) {
  double mine = 0;
  for (std::int64_t i = threadIdx.y; i < count; i += blockDim.y) mine = Parts::combine(mine, partials[i]);
  const double total = combine_over_y<Parts>(mine);
  if (threadIdx.y == 0) *result = norm_of_total(kind, total);
}

template <class F, class Row>
void update(const F& f, std::span<const Row> rows, Stream stream) {
  for_each_batch(rows, [&]<class Rows>(const Rows& batch, unsigned blocks, std::int64_t) {
    launch_on(stream, update_rows<F, Rows>, blocks, kBlock, batch, f);
  });
}

template <class Formula>
void update_by(DType dtype, std::span<const UpdateRow<Formula>> rows, Stream stream) {
  if (is_half(dtype)) return update(UpdateHalf<Formula>{dtype == bfloat16}, rows, stream);
  with_type(dtype, [&]<class T>() { update(Update<Formula, T>{}, rows, stream); });
}

#define MP_UPDATE(name, Formula)                                                             \
  void name(DType dtype, std::span<const UpdateRow<updates::Formula>> rows, Stream stream) { \
    update_by<updates::Formula>(dtype, rows, stream);                                        \
  }
MP_UPDATES(MP_UPDATE)
#undef MP_UPDATE

void rounded_adam(DType, std::span<const UpdateRow<updates::RoundedAdam>> rows, Stream stream) {
  update(Update<updates::RoundedAdam, BFloat16>{}, rows, stream);
}

void clip_norm(DType dtype, std::span<const GradientRow> rows, const double* norm, double max_norm,
               Stream stream) {
  with_stored_type(dtype, [&]<class T>() { update(ScaleToNorm<T>{norm, max_norm}, rows, stream); });
}
void clip_value(DType dtype, std::span<const GradientRow> rows, double limit, Stream stream) {
  with_stored_type(dtype,
                   [&]<class T>() { update(ClampValue<T>{static_cast<Computed<T>>(limit)}, rows, stream); });
}

void accumulate(std::span<const SumRow> rows, Stream stream) { update(AddAny{}, rows, stream); }

template <class T, class Parts>
void norm_as(NormKind kind, std::span<const GradientRow> rows, double* partials, double* result,
             Stream stream) {
  for_each_batch(rows, [&]<class Rows>(const Rows& batch, unsigned blocks, std::int64_t before) {
    launch_blocks(stream, norm_chunks<T, Parts, Rows>, dim3(blocks), dim3(1, kBlock), batch, kind,
                  partials + before);
  });
  launch_blocks(stream, norm_result<Parts>, dim3(1), dim3(1, kBlock), partials, norm_partials(rows), kind,
                result);
}
void gradient_norm(DType dtype, NormKind kind, std::span<const GradientRow> rows, double* partials,
                   double* result, Stream stream) {
  const bool largest = kind == NormKind::infinity;
  with_stored_type(dtype, [&]<class T>() {
    (largest ? norm_as<T, MaxParts> : norm_as<T, SumParts>)(kind, rows, partials, result, stream);
  });
}

}  // namespace

const Optimizer& optimizer() {
#define MP_LAUNCHER_OF(name, Formula) .name = name,
  static constexpr Optimizer launchers{MP_UPDATES(MP_LAUNCHER_OF).rounded_adam = rounded_adam,
                                       .norm = gradient_norm, .clip_norm = clip_norm,
                                       .clip_value = clip_value, .accumulate = accumulate};
#undef MP_LAUNCHER_OF
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
