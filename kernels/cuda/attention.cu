#include "kernels/attention.h"

#include "kernels/cuda/attention_tiles.cuh"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/by_dtype.h"
#include "kernels/cuda/launch_on.cuh"
#include "kernels/math.h"

#include <algorithm>
#include <limits>

// A block makes kRows rows of a result, and of them kColumns columns, from tiles of the scores that it makes
// on the way: never are more of them in memory. The forward scales what it has whenever a row's maximum
// rises, and keeps the log of the sum of exponentials, from which the backward makes the probabilities again.
// (Dao et al.: "FlashAttention", 2022; Milakov, Gimelshein: "Online normalizer calculation for softmax",
// 2018.) dq, dk and dv are passes of their own: every element is summed by one thread, in order.

namespace miniparallel::kernels::cuda {
namespace {

enum class Pass { forward, dq, dk, dv };

template <class T>
struct AttentionCall {
  AttentionArgs args;
  const T *out = nullptr, *sums = nullptr, *g = nullptr;  ///< `sums`: the logs of the sums
  T *result = nullptr, *new_sums = nullptr;
  std::int64_t tiles = 0, chunks = 0;  ///< of the result's rows and columns
};

template <class T>
constexpr T kNothing = -std::numeric_limits<T>::infinity();  // the score of what is not seen

/// One matrix of the batch.
template <class T>
struct Head {
  const AttentionArgs& args;
  Rows<T> q, k, v, out, g;
  const void* mask;
  const T* sums;

  __device__ Head(const AttentionCall<T>& call, std::int64_t index) : args(call.args) {
    std::int64_t offsets[4] = {}, rest = index;
    for (int d = args.batch.rank - 1; d >= 0; --d) {
      const std::int64_t i = rest % args.batch.sizes[d];
      rest /= args.batch.sizes[d];
      MP_UNROLL
      for (int operand = 0; operand < 4; ++operand) offsets[operand] += i * args.batch.strides[operand][d];
    }
    q = {static_cast<const T*>(args.q) + offsets[0], args.q_stride, args.n};
    k = {static_cast<const T*>(args.k) + offsets[1], args.k_stride, args.m};
    v = {static_cast<const T*>(args.v) + offsets[2], args.v_stride, args.m};
    const std::int64_t bytes = args.mask_is_bool ? 1 : sizeof(T);
    mask = args.mask == nullptr ? nullptr : static_cast<const char*>(args.mask) + offsets[3] * bytes;
    out = {call.out + index * args.n * args.ev, args.ev, args.n};
    g = {call.g + index * args.n * args.ev, args.ev, args.n};
    sums = call.sums + index * args.n;
  }

  /// What the softmax sees of the product of a query and a key.
  __device__ T score(T product, std::int64_t query, std::int64_t key) const {
    if (query >= args.n || key >= args.m || (args.causal && key > query)) return kNothing<T>;
    const T scaled = product * static_cast<T>(args.scale);
    if (mask == nullptr) return scaled;
    const std::int64_t at = query * args.mask_strides[0] + key * args.mask_strides[1];
    if (!args.mask_is_bool) return scaled + static_cast<const T*>(mask)[at];
    return static_cast<const bool*>(mask)[at] ? scaled : kNothing<T>;
  }
};

template <class T>
__device__ Rows<T> from_row(const Rows<T>& rows, std::int64_t first) {
  return {rows.data + first * rows.stride, rows.stride, rows.count - first};
}

template <class T>
__device__ T exponential(T score, T shift) {
  return score == kNothing<T> ? T(0) : math::exp(score - shift);
}

/// The softmax of the thread's four rows, as far as it has seen them.
template <class T>
struct OnlineSoftmax {
  T high[4] = {kNothing<T>, kNothing<T>, kNothing<T>, kNothing<T>}, sum[4] = {};

  /// Makes scores exponentials, and what has been summed of the same scale.
  __device__ void add(Scores<T>& scores, Accumulated<T>& sums) {
    MP_UNROLL
    for (int i = 0; i < 4; ++i) {
      const auto larger = [](T a, T b) { return b > a ? b : a; };
      const T next = larger(high[i], combine_side(larger(scores[i][0], scores[i][1]), larger));
      const T shift = next == kNothing<T> ? T(0) : next, factor = exponential(high[i], shift);
      high[i] = next;
      scores[i][0] = exponential(scores[i][0], shift);
      scores[i][1] = exponential(scores[i][1], shift);
      const T added = combine_side(scores[i][0] + scores[i][1], [](T a, T b) { return a + b; });
      sum[i] = sum[i] * factor + added;
      MP_UNROLL
      for (int p = 0; p < kPacks; ++p) {
        MP_UNROLL
        for (int c = 0; c < Pack<T>::size; ++c) sums[i][p].at[c] *= factor;
      }
    }
  }
};

/// The products of rows `first` and following of `out` and `g`, which are those of probabilities and their
/// gradients. There are kRows, and 4 threads work on each.
template <class T>
__device__ void write_row_products(const Head<T>& head, std::int64_t first, T* products) {
  const int thread = static_cast<int>(threadIdx.y * kSide + threadIdx.x), row = thread / 4;
  double sum = 0;
  if (first + row < head.args.n)
    for (std::int64_t c = thread % 4; c < head.args.ev; c += 4)
      sum += static_cast<double>(from_row(head.out, first).load(row, c, head.args.ev)) *
             static_cast<double>(from_row(head.g, first).load(row, c, head.args.ev));
  sum += __shfl_xor_sync(0xffffffffu, sum, 2);
  sum += __shfl_xor_sync(0xffffffffu, sum, 1);
  if (thread % 4 == 0) products[row] = static_cast<T>(sum);
}

/// The block's tile of the probabilities' or the scores' gradients, with keys as rows in the passes for dk
/// and dv.
template <class T, Pass pass>
__device__ void write_weights(const Head<T>& head, std::int64_t row, std::int64_t column, const T* products,
                              Scores<T>& scores, const Weights<T>& weights) {
  constexpr bool rows_are_keys = pass == Pass::dk || pass == Pass::dv;
  Scores<T> gradients;
  if constexpr (pass == Pass::dq)
    multiply_rows(from_row(head.g, row), from_row(head.v, column), head.args.ev, gradients);
  if constexpr (pass == Pass::dk)
    multiply_rows(from_row(head.v, row), from_row(head.g, column), head.args.ev, gradients);
  MP_UNROLL
  for (int i = 0; i < 4; ++i) {
    MP_UNROLL
    for (int j = 0; j < 2; ++j) {
      const int in_row = 4 * static_cast<int>(threadIdx.y) + i;
      const int in_column = static_cast<int>(threadIdx.x) + kSide * j;
      T weight = scores[i][j];
      if constexpr (pass != Pass::forward) {
        const std::int64_t query = rows_are_keys ? column + in_column : row + in_row;
        weight = weight == kNothing<T> ? T(0) : math::exp(weight - head.sums[query]);
        if constexpr (pass != Pass::dv)
          weight *= (gradients[i][j] - products[rows_are_keys ? in_column : in_row]) *
                    static_cast<T>(head.args.scale);
      }
      weights.at(in_row, in_column) = weight;
    }
  }
}

template <class T, Pass pass>
__global__ void __launch_bounds__(kSide* kSide, sizeof(T) == 4 ? 2 : 1)
    attention_pass(AttentionCall<T> call) {
  constexpr bool rows_are_keys = pass == Pass::dk || pass == Pass::dv;
  const std::int64_t chunk = blockIdx.x % call.chunks, tile = blockIdx.x / call.chunks % call.tiles;
  const std::int64_t index = blockIdx.x / call.chunks / call.tiles;
  const Head<T> head(call, index);
  const AttentionArgs& args = call.args;
  const std::int64_t row = tile * kRows, result_column = chunk * kColumns<T>;
  const std::int64_t rows = rows_are_keys ? args.m : args.n, inner = rows_are_keys ? args.n : args.m;
  const std::int64_t begin = rows_are_keys && args.causal ? row : 0;
  const std::int64_t end = !rows_are_keys && args.causal && row + kRows < inner ? row + kRows : inner;
  const std::int64_t width = pass == Pass::forward || pass == Pass::dv ? args.ev : args.e;
  const Rows<T>& left = rows_are_keys ? head.k : head.q;
  const Rows<T>& right = rows_are_keys ? head.q : head.k;
  const Rows<T>& summed = pass == Pass::forward ? head.v
                          : pass == Pass::dq    ? head.k
                          : pass == Pass::dk    ? head.q
                                                : head.g;

  const Weights<T> weights;
  auto& products = miniparallel::cuda::shared_array<T, kRows>();
  Accumulated<T> sums = {};
  OnlineSoftmax<T> softmax;
  if constexpr (pass == Pass::dq) write_row_products(head, row, products);
  for (std::int64_t column = begin; column < end; column += kInner) {
    if constexpr (pass == Pass::dk) write_row_products(head, column, products);
    Scores<T> scores;
    multiply_rows(from_row(left, row), from_row(right, column), args.e, scores);
    MP_UNROLL
    for (int i = 0; i < 4; ++i) {
      MP_UNROLL
      for (int j = 0; j < 2; ++j) {
        const std::int64_t r = row + 4 * threadIdx.y + i, c = column + threadIdx.x + kSide * j;
        scores[i][j] = head.score(scores[i][j], rows_are_keys ? c : r, rows_are_keys ? r : c);
      }
    }
    if constexpr (pass == Pass::forward) softmax.add(scores, sums);
    write_weights<T, pass>(head, row, column, products, scores, weights);
    add_weighted_rows(weights, from_row(summed, column), result_column, width, sums);
  }

  for_each_sum<T>(sums, result_column, width, [&](int i, std::int64_t at, T sum) {
    const std::int64_t r = row + 4 * threadIdx.y + i;
    if (r >= rows) return;
    const T value = pass != Pass::forward ? sum : softmax.sum[i] == 0 ? T(0) : sum / softmax.sum[i];
    call.result[(index * rows + r) * width + at] = value;
  });
  if constexpr (pass == Pass::forward)
    if (chunk == 0 && threadIdx.x == 0) {
      MP_UNROLL
      for (int i = 0; i < 4; ++i) {
        const std::int64_t r = row + 4 * threadIdx.y + i;
        const T sum = softmax.sum[i];
        if (r < rows)
          call.new_sums[index * rows + r] = sum == 0 ? -kNothing<T> : softmax.high[i] + math::log(sum);
      }
    }
}

template <class T, Pass pass>
void run(AttentionCall<T> call, std::int64_t rows, std::int64_t width, T* result, Stream stream) {
  call.result = result;
  call.tiles = (rows + kRows - 1) / kRows;
  call.chunks = (width + kColumns<T> - 1) / kColumns<T>;
  if constexpr (pass == Pass::forward) call.chunks = std::max<std::int64_t>(call.chunks, 1);  // for the sums
  const std::int64_t blocks = call.args.batch.numel() * call.tiles * call.chunks;
  if (blocks > 0)
    launch_blocks(stream, attention_pass<T, pass>, dim3(static_cast<unsigned>(blocks)), dim3(kSide, kSide),
                  call);
}

void forward(DType dtype, const AttentionArgs& args, void* result, void* log_sums, Stream stream) {
  with_type(dtype, [&]<class T>(T) {
    AttentionCall<T> call{.args = args, .new_sums = out<T>(log_sums)};
    run<T, Pass::forward>(call, args.n, args.ev, out<T>(result), stream);
  });
}

void backward(DType dtype, const AttentionArgs& args, const void* result, const void* log_sums, const void* g,
              void* dq, void* dk, void* dv, Stream stream) {
  with_type(dtype, [&]<class T>(T) {
    const AttentionCall<T> call{.args = args, .out = in<T>(result), .sums = in<T>(log_sums), .g = in<T>(g)};
    run<T, Pass::dq>(call, args.n, args.e, out<T>(dq), stream);
    run<T, Pass::dk>(call, args.m, args.e, out<T>(dk), stream);
    run<T, Pass::dv>(call, args.m, args.ev, out<T>(dv), stream);
  });
}

}  // namespace

const Attention& attention() {
  static constexpr Attention launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
