#include "engine/ops/sort.h"

#include "engine/ops/common.h"
#include "engine/ops/indexing.h"
#include "engine/ops/native_half.h"

#include <optional>

// sort, argsort and topk: a kernel finds the order, `gather` the elements.

namespace miniparallel {
namespace {

/// Where the elements of each line come from that sorting brings to `places`; to all, when not given.
Tensor order_of(const char* op, const Tensor& input, int dim, bool descending,
                std::optional<Places> places = {}) {
  check_defined(op, input);
  if (is_half_on_cpu(input)) return order_of(op, widened(input.detach()), dim, descending, places);
  const int axis = normalize_dim(op, dim, input.dim());
  const Tensor x = input.detach().contiguous();
  Tensor indices = make_tensor(x.shape(), int64, x.device());
  kernels::SortArgs args;
  for (int d = 0; d < x.dim(); ++d) (d < axis ? args.outer : d == axis ? args.n : args.inner) *= x.size(d);
  args.begin = places ? places->begin : 0;
  args.end = places ? places->end : args.n;
  args.descending = descending;
  args.x = raw(x);
  const Tensor scratch = make_tensor({args.lines() * args.padded(), 2}, int64, x.device());
  args.scratch = reinterpret_cast<kernels::SortEntry*>(raw(scratch));
  backend(x).sort.argsort(x.dtype(), args, reinterpret_cast<std::int64_t*>(raw(indices)), stream(x));
  return places ? indices.narrow(axis, args.begin, args.end - args.begin).contiguous() : indices;
}

/// The elements at these places of dimension `dim`.
ValuesAndIndices taken(const Tensor& x, int dim, const Tensor& indices) {
  return {x.dim() == 0 ? x.clone() : gather_once(x, dim, indices), indices};
}

}  // namespace

ValuesAndIndices sorted_places(const char* op, const Tensor& x, int dim, bool descending, Places places) {
  return taken(x, dim, order_of(op, x, dim, descending, places));
}

Tensor argsort(const Tensor& x, int dim, bool descending) { return order_of("argsort", x, dim, descending); }

ValuesAndIndices sort(const Tensor& x, int dim, bool descending) {
  return taken(x, dim, order_of("sort", x, dim, descending));
}

ValuesAndIndices topk(const Tensor& x, std::int64_t k, int dim, bool largest) {
  check_defined("topk", x);
  const int axis = normalize_dim("topk", dim, x.dim());
  const std::int64_t n = x.dim() == 0 ? 1 : x.size(axis);
  check(k >= 0 && k <= n, "topk: k is ", k, " for dimension ", dim, " of ", x.shape(),
        "; it must be at least 0 and at most its size");
  return x.dim() == 0 ? sort(x, dim, largest) : sorted_places("topk", x, dim, largest, {0, k});
}

}  // namespace miniparallel
