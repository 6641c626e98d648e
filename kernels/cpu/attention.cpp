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

/// One matrix of the batch.
template <class T>
struct Head {
  const T *q, *k, *v;
  const void* mask;

  Head(const AttentionArgs& args, std::int64_t index) {
    std::int64_t offsets[4] = {};
    for (int d = args.batch.rank - 1; d >= 0; --d) {
      const std::int64_t i = index % args.batch.sizes[d];
      index /= args.batch.sizes[d];
      for (int k_ = 0; k_ < args.batch.operands; ++k_) offsets[k_] += i * args.batch.strides[k_][d];
    }
    q = static_cast<const T*>(args.q) + offsets[0];
    k = static_cast<const T*>(args.k) + offsets[1];
    v = static_cast<const T*>(args.v) + offsets[2];
    const std::int64_t bytes = args.mask_is_bool ? 1 : sizeof(T);
    mask = args.mask ? static_cast<const std::byte*>(args.mask) + offsets[3] * bytes : nullptr;
  }
};

/// c (rows, columns) = a b + beta c, c without gaps.
template <class T>
void product(std::int64_t rows, std::int64_t columns, std::int64_t inner, Matrix a, Matrix b, T* c,
             std::int64_t c_stride, int beta = 0) {
  MatmulArgs args;
  args.rows = rows;
  args.columns = columns;
  args.inner = inner;
  args.a = a;
  args.b = b;
  args.c = c;
  args.c_stride = c_stride;
  args.beta = beta;
  blas_multiply<T>(args);
}

/// The block of rows that starts at `first`, and how many columns its rows may see.
ScoreBlock block_at(const AttentionArgs& args, const void* mask, std::int64_t first) {
  const std::int64_t rows = std::min(kAttentionRows, args.n - first);
  return {&args, mask, first, rows, args.causal ? std::min(args.m, first + rows) : args.m};
}

template <class T>
void scores_of(const AttentionArgs& args, const Head<T>& head, const ScoreBlock& block, T* scores) {
  product<T>(block.rows, block.columns, args.e, {head.q + block.first * args.q_stride, args.q_stride, false},
             {head.k, args.k_stride, true}, scores, block.columns);
}

template <class T>
void forward_as(const AttentionArgs& args, void* out, void* log_sums) {
  struct Scores;
  const AttentionLoops& loops = attention_loops(dtype_of<T>);
  const std::int64_t blocks = (args.n + kAttentionRows - 1) / kAttentionRows;
  const std::int64_t work = std::max<std::int64_t>(kAttentionRows * args.m * (args.e + args.ev), 1);
  const auto run_block = [&](std::int64_t index, std::int64_t first) {
    const Head<T> head(args, index);
    const ScoreBlock block = block_at(args, head.mask, first);
    T* scores = scratch<Scores, T>(block.rows * block.columns);
    const std::int64_t row = index * args.n + first;
    scores_of(args, head, block, scores);
    loops.probabilities(block, scores, static_cast<T*>(log_sums) + row);
    product<T>(block.rows, args.ev, block.columns, {scores, block.columns, false},
               {head.v, args.v_stride, false}, static_cast<T*>(out) + row * args.ev, args.ev);
  };
  parallel_for(args.batch.numel() * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i)
                   run_block(i / blocks, i % blocks * kAttentionRows);
               });
}

/// Where the gradients of one matrix of the batch go, and what they come from.
template <class T>
struct HeadGradients {
  const T *out, *g, *log_sums;
  T *dq, *dk, *dv;
};

template <class T>
void backward_block(const AttentionArgs& args, const Head<T>& head, const HeadGradients<T>& of,
                    std::int64_t first) {
  struct Scores;
  struct Gradients;
  const ScoreBlock block = block_at(args, head.mask, first);
  const std::int64_t rows = block.rows, columns = block.columns;
  T* scores = scratch<Scores, T>(rows * columns);
  T* dp = scratch<Gradients, T>(rows * columns);
  const T* g = of.g + first * args.ev;
  scores_of(args, head, block, scores);
  product<T>(rows, columns, args.ev, {g, args.ev, false}, {head.v, args.v_stride, true}, dp, columns);
  attention_loops(dtype_of<T>)
      .score_gradients(block, scores, of.log_sums + first, of.out + first * args.ev, g, dp);
  product<T>(columns, args.ev, rows, {scores, columns, true}, {g, args.ev, false}, of.dv, args.ev, 1);
  product<T>(columns, args.e, rows, {dp, columns, true},
             {head.q + first * args.q_stride, args.q_stride, false}, of.dk, args.e, 1);
  product<T>(rows, args.e, columns, {dp, columns, false}, {head.k, args.k_stride, false},
             of.dq + first * args.e, args.e);
}

template <class T>
void backward_as(const AttentionArgs& args, const void* out, const void* log_sums, const void* g, void* dq,
                 void* dk, void* dv) {
  const auto run_head = [&](std::int64_t i) {
    const Head<T> head(args, i);
    const HeadGradients<T> of{
        static_cast<const T*>(out) + i * args.n * args.ev, static_cast<const T*>(g) + i * args.n * args.ev,
        static_cast<const T*>(log_sums) + i * args.n,      static_cast<T*>(dq) + i * args.n * args.e,
        static_cast<T*>(dk) + i * args.m * args.e,         static_cast<T*>(dv) + i * args.m * args.ev};
    std::fill_n(of.dk, args.m * args.e, T(0));  // every block of rows adds to these two
    std::fill_n(of.dv, args.m * args.ev, T(0));
    for (std::int64_t first = 0; first < args.n; first += kAttentionRows)
      backward_block(args, head, of, first);
  };
  const std::int64_t work = std::max<std::int64_t>(args.n * args.m * (args.e + args.ev), 1);
  parallel_for(args.batch.numel(), std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) run_head(i);
               });
}

void forward(DType dtype, const AttentionArgs& args, void* out, void* log_sums, Stream) {
  dtype == float32 ? forward_as<float>(args, out, log_sums) : forward_as<double>(args, out, log_sums);
}

void backward(DType dtype, const AttentionArgs& args, const void* out, const void* log_sums, const void* g,
              void* dq, void* dk, void* dv, Stream) {
  dtype == float32 ? backward_as<float>(args, out, log_sums, g, dq, dk, dv)
                   : backward_as<double>(args, out, log_sums, g, dq, dk, dv);
}

}  // namespace

const Attention& attention() {
  static constexpr Attention launchers{.forward = forward, .backward = backward};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
