#include "kernels/cpu/attention.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/panels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/scratch.h"

#include <algorithm>

// Scores are made block of rows by block of rows: a matrix product, a pass over each row, a matrix product.
// The backward makes them again from q and k. (The idea of FlashAttention, Dao et al. 2022; a CPU's cache
// holds whole rows, so that the softmax needs no second stage.) Of causal scores a half is left out.

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 1 << 17;  // multiplications per thread at least

/// Rows of a matrix, `stride` apart.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;

  Rows from(std::int64_t row) const { return {data + row * stride, stride}; }
  Left<T> left() const { return {data, {stride}, {1}}; }

  /// The first `rows` of them, `columns` long, as panels in scratch memory; the same of the transpose.
  template <class Tag>
  const T* panels(std::int64_t rows, std::int64_t columns) const {
    const PanelLoops<T>& loops = panel_loops<T>();
    T* const packed = scratch<Tag, T>(rows * loops.whole(columns));
    loops.pack(data, stride, rows, columns, packed);
    return packed;
  }
  template <class Tag>
  const T* turned_panels(std::int64_t rows, std::int64_t columns) const {
    const PanelLoops<T>& loops = panel_loops<T>();
    T* const packed = scratch<Tag, T>(loops.whole(rows) * columns);
    loops.pack_turned(data, stride, rows, columns, packed);
    return packed;
  }
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

/// A block of rows of the scores, of which row r sees the columns before r + reach.
template <class T>
struct Block : ScoreBlock {
  std::int64_t reach;

  Block(const AttentionArgs& call, const void* of_mask, std::int64_t from)
      : ScoreBlock{&call, of_mask, from, std::min(kAttentionRows, call.n - from), call.m, 0},
        reach(call.causal ? from + 1 : Wedge::all) {
    if (call.causal) columns = std::min(call.m, first + rows);
    stride = panel_loops<T>().whole(columns);
  }
  std::int64_t size() const { return rows * stride; }

  /// scores = a b^T, where they are seen.
  void scores(const Rows<T>& a, std::int64_t inner, const T* b_panels, T* result) const {
    panel_loops<T>().multiply(a.left(), rows, b_panels, inner, stride, result, stride, {},
                              {.columns = reach});
  }
  /// result = scores b.
  void times(const T* scores, const T* b_panels, std::int64_t width, const Rows<T>& result) const {
    panel_loops<T>().multiply({scores, {stride}, {1}}, rows, b_panels, args->m, width, result.data,
                              result.stride, {}, {.ahead = reach});
  }
  /// result += scores^T b.
  void add_turned(const T* scores, const T* b_panels, std::int64_t width, const Rows<T>& result) const {
    panel_loops<T>().multiply({scores, {1}, {stride}}, columns, b_panels, rows, width, result.data,
                              result.stride, {result.data, result.stride},
                              {.behind = args->causal ? first : Wedge::all});
  }
};

template <class T>
void forward_as(const AttentionArgs& args) {
  struct Keys;
  struct Values;
  struct Scores;
  const AttentionLoops& loops = attention_loops()[dtype_of<T>];
  const std::int64_t blocks = (args.n + kAttentionRows - 1) / kAttentionRows;
  const std::int64_t work = std::max<std::int64_t>(kAttentionRows * args.m * (args.e + args.ev), 1);
  parallel_for(args.matrices * blocks, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 const T *keys = nullptr, *values = nullptr;
                 for (std::int64_t i = begin; i < end; ++i) {
                   const Place place{args, i / blocks};
                   if (i == begin || i % blocks == 0) {
                     keys = place.rows<T>(args.k).template turned_panels<Keys>(args.m, args.e);
                     values = place.rows<T>(args.v).template panels<Values>(args.m, args.ev);
                   }
                   const std::int64_t first = i % blocks * kAttentionRows;
                   const Block<T> block(args, place.mask(dtype_of<T>), first);
                   T* const scores = scratch<Scores, T>(block.size());
                   block.scores(place.rows<T>(args.q).from(first), args.e, keys, scores);
                   loops.probabilities(block, scores,
                                       static_cast<T*>(args.log_sums) + place.index * args.n + first);
                   block.times(scores, values, args.ev, place.rows<T>(args.out).from(first));
                 }
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
void backward_head(const AttentionArgs& args, const Head<T>& head) {
  struct Keys;
  struct TurnedKeys;
  struct TurnedValues;
  struct Queries;
  struct Gradients;
  struct Scores;
  struct ScoreGradients;
  const T* const turned_keys = head.k.template turned_panels<TurnedKeys>(args.m, args.e);
  const T* const turned_values = head.v.template turned_panels<TurnedValues>(args.m, args.ev);
  const T* const keys = head.k.template panels<Keys>(args.m, args.e);
  clear(head.dk, args.m, args.e);  // every block of rows adds to these two
  clear(head.dv, args.m, args.ev);
  for (std::int64_t first = 0; first < args.n; first += kAttentionRows) {
    const Block<T> block(args, head.mask, first);
    const Rows<T> q = head.q.from(first), out = head.out.from(first), g = head.g.from(first);
    T* const scores = scratch<Scores, T>(block.size());
    T* const dp = scratch<ScoreGradients, T>(block.size());
    block.scores(q, args.e, turned_keys, scores);
    block.scores(g, args.ev, turned_values, dp);
    attention_loops()[dtype_of<T>].score_gradients(block, scores, head.log_sums + first,
                                                   {out.data, out.stride}, {g.data, g.stride}, dp);
    block.add_turned(scores, g.template panels<Gradients>(block.rows, args.ev), args.ev, head.dv);
    block.add_turned(dp, q.template panels<Queries>(block.rows, args.e), args.e, head.dk);
    block.times(dp, keys, args.e, head.dq.from(first));
  }
}

template <class T>
void backward_as(const AttentionArgs& args, const AttentionGradients& gradients) {
  const std::int64_t work = std::max<std::int64_t>(args.n * args.m * (args.e + args.ev), 1);
  parallel_for(args.matrices, std::max<std::int64_t>(kGrain / work, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) backward_head(args, Head<T>(args, gradients, i));
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
