#pragma once

#include "kernels/cuda/attention/head.cuh"

#include <cmath>

// A block makes some rows of a result, and a chunk of their columns, from tiles of the scores that it makes
// on the way: never are more of them in memory. The forward scales what it has whenever a row's maximum
// rises, and keeps the logarithm of the sum of exponentials, from which the backward makes the probabilities
// again. (Dao et al.: "FlashAttention", 2022; Milakov, Gimelshein: "Online normalizer calculation for
// softmax", 2018.) One pass of the backward makes dq, with queries as rows, and one dk and dv, with keys as
// rows: every element is summed by one thread, in order. Exponentials are powers of two, which are one
// instruction: the scale brings scores to that base.

namespace miniparallel::kernels::cuda {

/// The softmax of the thread's rows, as far as it has seen them; each thread sums the columns that it has.
template <class Tile>
struct OnlineSoftmax {
  using T = typename Tile::T;
  T high[Tile::kThreadRows], sum[Tile::kThreadRows];

  __device__ OnlineSoftmax() {
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) high[i] = kMasked<T>, sum[i] = 0;
  }
  /// Makes scores exponentials. What was summed before has to be multiplied by `factors`.
  __device__ void add(typename Tile::Values& scores, T (&factors)[Tile::kThreadRows]) {
    const auto larger = [](T a, T b) { return b > a ? b : a; };
    MP_UNROLL
    for (int i = 0; i < Tile::kThreadRows; ++i) {
      T top = scores.row[i].at[0];
      MP_UNROLL
      for (int j = 1; j < Tile::kVector; ++j) top = larger(top, scores.row[i].at[j]);
      top = larger(high[i], combine_over_columns(top, larger));
      const T shift = top == kMasked<T> ? T(0) : top;
      factors[i] = std::exp2(high[i] - shift);
      high[i] = top;
      sum[i] *= factors[i];
      MP_UNROLL
      for (int j = 0; j < Tile::kVector; ++j) {
        scores.row[i].at[j] = std::exp2(scores.row[i].at[j] - shift);
        sum[i] += scores.row[i].at[j];
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
                      const typename Tile::Sums& sums) {
  products.for_each_pack(sums, [&](int i, int at, Pack<T, Tile::kVector> pack) {
    MP_UNROLL
    for (int c = 0; c < Tile::kVector; ++c) pack.at[c] *= scale;
    to.store(products.row(i), column + at, pack);
  });
}

template <class Tile>
__device__ void make_forward(const AttentionCall& call) {
  using T = typename Tile::T;
  const AttentionPlace<Tile> place(call, call.args.causal);
  const AttentionHead<Tile> head(call, place.index);
  const Rows<Tile> q = head.q.from(place.row), out = head.out.from(place.row);
  const int end = place.end_of_keys(call);
  Products<Tile> products;
  OnlineSoftmax<Tile> softmax;
  typename Tile::Sums sums{};
  products.begin_scores(q, head.k);
  for (int key = 0; key < end; key += Tile::kColumns) {
    const Rows<Tile> k = head.k.from(key), v = head.v.from(key);
    auto scores = products.scores(q, k, [&] { products.begin_sums(v, place.column); });
    head.template scale_and_mask<false>(products, place.row, key, scores);
    T factors[Tile::kThreadRows];
    softmax.add(scores, factors);
    products.scale(factors, sums);
    for_each_value<Tile>([&](int i, int j) { products.weight(i, j) = scores.row[i].at[j]; });
    products.add(v, place.column, sums, [&] {
      if (key + Tile::kColumns < end) products.begin_scores(q, k.from(Tile::kColumns));
    });
  }
  T factors[Tile::kThreadRows];
  MP_UNROLL
  for (int i = 0; i < Tile::kThreadRows; ++i) {
    const T total = softmax.total(i);
    factors[i] = total == 0 ? T(0) : 1 / total;
    if (place.column == 0 && products.x == 0 && products.row(i) < out.count)
      head.log_sums[place.row + products.row(i)] =
          total == 0 ? -kMasked<T> : softmax.high[i] + std::log2(total);
  }
  products.for_each_pack(sums, [&](int i, int at, Pack<T, Tile::kVector> pack) {
    MP_UNROLL
    for (int c = 0; c < Tile::kVector; ++c) pack.at[c] *= factors[i];
    out.store(products.row(i), place.column + at, pack);
  });
}

template <class Tile>
__device__ void make_dq(const AttentionCall& call) {
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
  typename Tile::Sums dq{};
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

/// Reads what `make_dq` has written to `row_products`.
template <class Tile>
__device__ void make_dk_dv(const AttentionCall& call) {
  using T = typename Tile::T;
  const AttentionPlace<Tile> place(call, false);
  const AttentionHead<Tile> head(call, place.index);
  const Rows<Tile> k = head.k.from(place.row), v = head.v.from(place.row);
  const int begin = call.args.causal ? place.row : 0, end = call.n;
  Products<Tile> products;
  typename Tile::Sums dk{}, dv{};
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

}  // namespace miniparallel::kernels::cuda
