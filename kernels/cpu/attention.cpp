#include "kernels/cpu/attention.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/blas.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>

// Scores are made block of rows by block of rows: a matrix product, a pass over each row, a matrix product.
// The backward makes them again from q and k. (The idea of FlashAttention, Dao et al. 2022; a CPU's cache
// holds whole rows, so that the softmax needs no second stage.)

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 17;  // multiplications per thread at least

/// Rows of a matrix, `stride` apart.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;

  Rows from(std::int64_t row) const { return {data + row * stride, stride}; }
  Matrix matrix(bool transposed = false) const { return {data, stride, transposed}; }
};

/// The call's place in the batch: matrix `index`.
struct Place {
  const AttentionArgs& args;
  std::int64_t index;

  std::int64_t offset(const std::int64_t* steps) const {
    std::int64_t offset = 0, rest = index;
    for (int d = args.batch_rank - 1; d >= 0; --d) {
      offset += rest % args.batch[d] * steps[d];
      rest /= args.batch[d];
    }
    return offset;
  }
  template <class T>
  Rows<T> rows(const MatrixBatch& of) const {
    return {static_cast<T*>(of.data) + offset(of.steps), of.stride};
  }
  const void* mask(DType dtype) const {
    if (args.mask == nullptr) return nullptr;
    const std::size_t bytes = args.mask_is_bool ? sizeof(bool) : size_of(dtype);
    return static_cast<const std::byte*>(args.mask) +
           offset(args.mask_steps) * static_cast<std::int64_t>(bytes);
  }
};

/// c (rows, columns) = a b + beta c.
template <class T>
void product(std::int64_t rows, std::int64_t columns, std::int64_t inner, Matrix a, Matrix b, Rows<T> c,
             int beta = 0) {
  MatmulArgs args;
  args.rows = rows;
  args.columns = columns;
  args.inner = inner;
  args.a = a;
  args.b = b;
  args.c = c.data;
  args.c_stride = c.stride;
  args.beta = beta;
  blas_multiply<T>(args);
}

/// The block of rows that starts at `first`, and how many columns its rows may see.
ScoreBlock block_at(const AttentionArgs& args, const void* mask, std::int64_t first) {
  const std::int64_t rows = std::min(kAttentionRows, args.n - first);
  return {&args, mask, first, rows, args.causal ? std::min(args.m, first + rows) : args.m};
}

template <class T>
void scores_of(const AttentionArgs& args, const Rows<T>& q, const Rows<T>& k, const ScoreBlock& block,
               T* scores) {
  product<T>(block.rows, block.columns, args.e, q.from(block.first).matrix(), k.matrix(true),
             {scores, block.columns});
}

template <class T>
void forward_as(const AttentionArgs& args) {
  struct Scores;
  const AttentionLoops& loops = attention_loops()[dtype_of<T>];
  const std::int64_t blocks = (args.n + kAttentionRows - 1) / kAttentionRows;
  const std::int64_t work = std::max<std::int64_t>(kAttentionRows * args.m * (args.e + args.ev), 1);
  const auto run_block = [&](std::int64_t index, std::int64_t first) {
    const Place place{args, index};
    const ScoreBlock block = block_at(args, place.mask(dtype_of<T>), first);
    T* scores = scratch<Scores, T>(block.rows * block.columns);
    scores_of(args, place.rows<T>(args.q), place.rows<T>(args.k), block, scores);
    loops.probabilities(block, scores, static_cast<T*>(args.log_sums) + index * args.n + first);
    product<T>(block.rows, args.ev, block.columns, {scores, block.columns, false},
               place.rows<T>(args.v).matrix(), place.rows<T>(args.out).from(first));
  };
  parallel_for(args.matrices * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   run_block(i / blocks, i % blocks * kAttentionRows);
               });
}

/// One matrix of the batch in the backward pass.
template <class T>
struct Head {
  Rows<T> q, k, v, out, g, dq, dk, dv;
  const T* log_sums;
  const void* mask;

  Head(const AttentionArgs& args, const AttentionGradients& gradients, std::int64_t index) {
    const Place place{args, index};
    q = place.rows<T>(args.q);
    k = place.rows<T>(args.k);
    v = place.rows<T>(args.v);
    out = place.rows<T>(args.out);
    g = place.rows<T>(gradients.g);
    dq = place.rows<T>(gradients.dq);
    dk = place.rows<T>(gradients.dk);
    dv = place.rows<T>(gradients.dv);
    log_sums = static_cast<T*>(args.log_sums) + index * args.n;
    mask = place.mask(dtype_of<T>);
  }
};

template <class T>
void clear(const Rows<T>& rows, std::int64_t count, std::int64_t width) {
  for (std::int64_t i = 0; i < count; ++i) std::fill_n(rows.from(i).data, width, T(0));
}

template <class T>
void backward_block(const AttentionArgs& args, const Head<T>& head, std::int64_t first) {
  struct Scores;
  struct Gradients;
  const ScoreBlock block = block_at(args, head.mask, first);
  const std::int64_t rows = block.rows, columns = block.columns;
  T* scores = scratch<Scores, T>(rows * columns);
  T* dp = scratch<Gradients, T>(rows * columns);
  const Rows<T> out = head.out.from(first), g = head.g.from(first);
  scores_of(args, head.q, head.k, block, scores);
  product<T>(rows, columns, args.ev, g.matrix(), head.v.matrix(true), {dp, columns});
  attention_loops()[dtype_of<T>].score_gradients(block, scores, head.log_sums + first, {out.data, out.stride},
                                                 {g.data, g.stride}, dp);
  product<T>(columns, args.ev, rows, {scores, columns, true}, g.matrix(), head.dv, 1);
  product<T>(columns, args.e, rows, {dp, columns, true}, head.q.from(first).matrix(), head.dk, 1);
  product<T>(rows, args.e, columns, {dp, columns, false}, head.k.matrix(), head.dq.from(first));
}

template <class T>
void backward_as(const AttentionArgs& args, const AttentionGradients& gradients) {
  const auto run_head = [&](std::int64_t i) {
    const Head<T> head(args, gradients, i);
    clear(head.dk, args.m, args.e);  // every block of rows adds to these two
    clear(head.dv, args.m, args.ev);
    for (std::int64_t first = 0; first < args.n; first += kAttentionRows) backward_block(args, head, first);
  };
  const std::int64_t work = std::max<std::int64_t>(args.n * args.m * (args.e + args.ev), 1);
  parallel_for(args.matrices, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) run_head(i);
               });
}

void forward(DType dtype, const AttentionArgs& args, Stream) {
  with_type(dtype, [&]<class T>() { forward_as<T>(args); });
}

void backward(DType dtype, const AttentionArgs& args, const AttentionGradients& gradients, Stream) {
  with_type(dtype, [&]<class T>() { backward_as<T>(args, gradients); });
}

}  // namespace

const Attention& attention() {
  static constexpr Attention launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
