#include <miniparallel/error.h>

#include "kernels/attention.h"
#include "kernels/cuda/attention/head.cuh"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"

#include <algorithm>
#include <cmath>
#include <string>

// A block makes some rows of a result, and a chunk of their columns, from tiles of the scores that it makes
// on the way: never are more of them in memory. The forward scales what it has whenever a row's maximum
// rises, and keeps the logarithm of the sum of exponentials, from which the backward makes the probabilities
// again. (Dao et al.: "FlashAttention", 2022; Milakov, Gimelshein: "Online normalizer calculation for
// softmax", 2018.) One pass of the backward makes dq, with queries as rows, and one dk and dv, with keys as
// rows: every element is summed by one thread, in order. Exponentials are powers of two, which are one
// instruction: the scale brings scores to that base.

namespace miniparallel::kernels::cuda {
namespace {

/// The softmax of the thread's rows, as far as it has seen them; each thread sums the columns that it has.
template <class Tile>
struct OnlineSoftmax {
  using T = typename Tile::T;
  T high[Tile::kThreadRows], sum[Tile::kThreadRows];

  __device__ OnlineSoftmax() {
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) high[i] = kMasked<T>, sum[i] = 0;
  }
  /// Makes scores exponentials, and gives the running sums the same scale.
  __device__ void add(typename Tile::Values& scores, typename Tile::Values& sums) {
    const auto larger = [](T a, T b) { return b > a ? b : a; };
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) {
      T top = scores.row[i].at[0];
      MP_UNROLL
      for (int j = 1; j < Tile::kVector; ++j) top = larger(top, scores.row[i].at[j]);
      top = larger(high[i], combine_over_columns(top, larger));
      const T shift = top == kMasked<T> ? T(0) : top, factor = std::exp2(high[i] - shift);
      high[i] = top;
      sum[i] *= factor;
      MP_UNROLL
      for (int j = 0; j < Tile::kVector; ++j) {
        scores.row[i].at[j] = std::exp2(scores.row[i].at[j] - shift);
        sum[i] += scores.row[i].at[j];
        sums.row[i].at[j] *= factor;
      }
    }
  }
  /// All columns' sum, in every thread of the row.
  __device__ T total(int i) const {
    return combine_over_columns(sum[i], [](T a, T b) { return a + b; });
  }
};

/// The products of the thread's rows of `out` and of its
/// gradient, which are those of the probabilities and theirs.
template <class Tile, class T = typename Tile::T>
__device__ void sum_row_products(const Products<Tile>& products, const Rows<Tile>& out, const Rows<Tile>& g,
                                 T (&sums)[Tile::kThreadRows]) {
  for (int c = products.x * Tile::kVector; c < g.width; c += Tile::kColumns) {
    Pack<typename Tile::Number, Tile::kVector> a[Tile::kThreadRows], b[Tile::kThreadRows];
    out.load(products.row(0), Tile::kThreadsY, c, a);
    g.load(products.row(0), Tile::kThreadsY, c, b);
    for_each_value<Tile>([&](int i, int j) { sums[i] += convert<T>(a[i].at[j]) * convert<T>(b[i].at[j]); });
  }
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i)
    sums[i] = combine_over_columns(sums[i], [](T a, T b) { return a + b; });
}

/// The scaled sums to the thread's columns of `to`, from `column` on.
template <class Tile, class T = typename Tile::T>
__device__ void write(const Products<Tile>& products, const Rows<Tile>& to, int column, T scale,
                      typename Tile::Values sums) {
  for_each_value<Tile>([&](int i, int j) { sums.row[i].at[j] *= scale; });
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i)
    to.store(products.row(i), column + products.x * Tile::kVector, sums.row[i]);
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_forward(AttentionCall call) {
  using T = typename Tile::T;
  const AttentionPlace<Tile> place(call, call.args.causal);
  const AttentionHead<Tile> head(call, place.index);
  const Rows<Tile> q = head.q.from(place.row), out = head.out.from(place.row);
  const int end = place.end_of_keys(call);
  Products<Tile> products;
  OnlineSoftmax<Tile> softmax;
  typename Tile::Values sums = {};
  products.begin_scores(q, head.k);
  for (int key = 0; key < end; key += Tile::kColumns) {
    const Rows<Tile> k = head.k.from(key), v = head.v.from(key);
    auto scores = products.scores(q, k, [&] { products.begin_sums(v, place.column); });
    head.template scale_and_mask<false>(products, place.row, key, scores);
    softmax.add(scores, sums);
    for_each_value<Tile>([&](int i, int j) { products.weight(i, j) = scores.row[i].at[j]; });
    products.add(v, place.column, sums, [&] {
      if (key + Tile::kColumns < end) products.begin_scores(q, k.from(Tile::kColumns));
    });
  }
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) {
    const T total = softmax.total(i), factor = total == 0 ? T(0) : 1 / total;
    MP_UNROLL
    for (int c = 0; c < Tile::kVector; ++c) sums.row[i].at[c] *= factor;
    out.store(products.row(i), place.column + products.x * Tile::kVector, sums.row[i]);
    if (place.column == 0 && products.x == 0 && products.row(i) < out.count)
      head.log_sums[place.row + products.row(i)] =
          total == 0 ? -kMasked<T> : softmax.high[i] + std::log2(total);
  }
}

template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_dq(AttentionCall call) {
  using T = typename Tile::T;
  const AttentionPlace<Tile> place(call, call.args.causal);
  const AttentionHead<Tile> head(call, place.index);
  const Rows<Tile> q = head.q.from(place.row), out = head.out.from(place.row), g = head.g.from(place.row);
  const int end = place.end_of_keys(call);
  Products<Tile> products;
  products.begin_scores(q, head.k);
  auto& log_sums = miniparallel::cuda::shared_array<T, Tile::kRows, 1>();
  auto& row_products = miniparallel::cuda::shared_array<T, Tile::kRows, 2>();
  T sums[Tile::kThreadRows] = {};
  sum_row_products(products, out, g, sums);
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) {
    const int row = products.row(i);
    if (products.x != 0) continue;
    row_products[row] = sums[i];
    log_sums[row] = row < g.count ? head.log_sums[place.row + row] : T(0);
    if (place.column == 0 && row < g.count) head.row_products[place.row + row] = sums[i];
  }
  typename Tile::Values dq = {};
  for (int key = 0; key < end; key += Tile::kColumns) {
    const Rows<Tile> k = head.k.from(key), v = head.v.from(key);
    auto scores = products.scores(q, k, [&] { products.begin_scores(g, v); });
    head.template scale_and_mask<false>(products, place.row, key, scores);
    for_each_value<Tile>([&](int i, int j) {
      products.weight(i, j) = std::exp2(scores.row[i].at[j] - log_sums[products.row(i)]);
    });
    const auto dp = products.scores(g, v, [&] { products.begin_sums(k, place.column); });
    for_each_value<Tile>(
        [&](int i, int j) { products.weight(i, j) *= dp.row[i].at[j] - row_products[products.row(i)]; });
    products.add(k, place.column, dq, [&] {
      if (key + Tile::kColumns < end) products.begin_scores(q, k.from(Tile::kColumns));
    });
  }
  write(products, head.dq.from(place.row), place.column, static_cast<T>(call.args.scale), dq);
}

/// Reads what `attention_dq` has written to `row_products`.
template <class Tile>
__global__ void __launch_bounds__(Tile::kThreads, 2) attention_dk_dv(AttentionCall call) {
  using T = typename Tile::T;
  const AttentionPlace<Tile> place(call, false);
  const AttentionHead<Tile> head(call, place.index);
  const Rows<Tile> k = head.k.from(place.row), v = head.v.from(place.row);
  const int begin = call.args.causal ? place.row : 0, end = call.n;
  Products<Tile> products;
  typename Tile::Values dk = {}, dv = {};
  products.begin_scores(k, head.q.from(begin));
  for (int query = begin; query < end; query += Tile::kColumns) {
    const Rows<Tile> q = head.q.from(query), g = head.g.from(query);
    T of_queries[Tile::kVector];  // log_sums, then row_products
    const auto read = [&](const T* from) {
      MP_UNROLL
      for (int j = 0; j < Tile::kVector; ++j)
        of_queries[j] = products.column(j) < q.count ? from[query + products.column(j)] : T(0);
    };
    auto scores = products.scores(k, q, [&] {
      products.begin_sums(g, place.column);
      read(head.log_sums);
    });
    head.template scale_and_mask<true>(products, place.row, query, scores);
    for_each_value<Tile>(
        [&](int i, int j) { products.weight(i, j) = std::exp2(scores.row[i].at[j] - of_queries[j]); });
    products.add(g, place.column, dv, [&] { products.begin_scores(v, g); });
    const auto dp = products.scores(v, g, [&] {
      products.begin_sums(q, place.column);
      read(head.row_products);
    });
    for_each_value<Tile>([&](int i, int j) { products.weight(i, j) *= dp.row[i].at[j] - of_queries[j]; });
    products.add(q, place.column, dk, [&] {
      if (query + Tile::kColumns < end) products.begin_scores(k, q.from(Tile::kColumns));
    });
  }
  write(products, head.dk.from(place.row), place.column, static_cast<T>(call.args.scale), dk);
  write(products, head.dv.from(place.row), place.column, T(1), dv);
}

// --- launchers

int to_int(std::int64_t size) {
  if (size > kMaxRows)
    throw Error("scaled_dot_product_attention: a size of " + std::to_string(size) +
                " is more than its CUDA kernels take (2^30); split the operand");
  return static_cast<int>(size);
}

/// Whether rows of `width` elements of T can be read and written 16 bytes at once.
template <class T>
bool is_packed(const AttentionArgs& args, const MatrixBatch& matrices, std::int64_t width) {
  const auto whole = [](std::int64_t elements) { return elements % kPack<T> == 0; };
  return whole(width) && whole(matrices.stride) && are_aligned(16, static_cast<const T*>(matrices.data)) &&
         std::all_of(matrices.steps, matrices.steps + args.batch_rank, whole);
}

/// Runs `kernel_of(tile)` for results of `rows` rows, `width` wide: of tall tiles, which read less from
/// shared memory, where their blocks are enough for the device.
template <class T, class KernelOf>
void run(const AttentionArgs& args, const AttentionGradients& gradients, std::int64_t rows,
         std::int64_t width, Stream stream, const KernelOf& kernel_of) {
  using Short = AttentionTile<T, 4, false>;
  const AttentionCall call{
      args,
      gradients,
      to_int(args.n),
      to_int(args.m),
      to_int(args.e),
      to_int(args.ev),
      static_cast<unsigned>(std::max<std::int64_t>((width + Short::kColumns - 1) / Short::kColumns, 1))};
  const auto blocks = [&](std::int64_t tile_rows) {
    return (rows + tile_rows - 1) / tile_rows * args.matrices * call.chunks;
  };
  const auto launch = [&]<class Tile>(Tile) {
    if (const std::int64_t count = blocks(Tile::kRows); count > 0)
      launch_blocks(stream, kernel_of(Tile()), dim3(static_cast<unsigned>(count)), dim3(Tile::kThreads),
                    call);
  };
  if constexpr (sizeof(T) == 4) {
    using Tall = AttentionTile<T, 8, true>;
    const auto& [g, dq, dk, dv, row_products] = gradients;
    const bool packed = is_packed<T>(args, args.q, args.e) && is_packed<T>(args, args.k, args.e) &&
                        is_packed<T>(args, args.v, args.ev) && is_packed<T>(args, args.out, args.ev) &&
                        is_packed<T>(args, g, args.ev) && is_packed<T>(args, dq, args.e) &&
                        is_packed<T>(args, dk, args.e) && is_packed<T>(args, dv, args.ev);
    if (packed)
      return blocks(Tall::kRows) >= multiprocessors(stream.device) ? launch(Tall())
                                                                   : launch(AttentionTile<T, 4, true>());
  }
  launch(Short());
}

void forward(DType dtype, const AttentionArgs& args, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    run<T>(args, {}, args.n, args.ev, stream, []<class Tile>(Tile) { return attention_forward<Tile>; });
  });
}

void backward(DType dtype, const AttentionArgs& args, const AttentionGradients& gradients, Stream stream) {
  with_stored_type(dtype, [&]<class T>() {
    run<T>(args, gradients, args.n, args.e, stream, []<class Tile>(Tile) { return attention_dq<Tile>; });
    run<T>(args, gradients, args.m, std::max(args.e, args.ev), stream,
           []<class Tile>(Tile) { return attention_dk_dv<Tile>; });
  });
}

}  // namespace

const Attention& attention() {
  static constexpr Attention launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
