#include "engine/ops/bag.h"

#include "engine/autograd/trace.h"
#include "engine/ops/indexing.h"

// Sums of rows by bag, and the products that are their gradient by the factors. Each is the other's backward.

namespace miniparallel {
namespace {

kernels::BagArgs make_args(const Bags& bags, const Tensor& table) {
  return {.op = bags.op,
          .rows = table.size(0),
          .width = table.size(1),
          .bags = bags.count,
          .count = bags.index.numel(),
          .index = raw(bags.index),
          .index_dtype = bags.index.dtype(),
          .ends = bags.ends.defined() ? reinterpret_cast<const std::int64_t*>(raw(bags.ends)) : nullptr,
          .skip = bags.skip};
}

/// Bags that a backward needs, the index as it was.
struct SavedBags {
  Bags bags;
  autograd::Saved index;

  explicit SavedBags(const Bags& from) : bags(from), index(save(from.index)) { bags.index = Tensor(); }
  Bags get(Backward& b) const {
    Bags whole = bags;
    whole.index = index.get(b);
    return whole;
  }
};

/// Each index's row of g, that of its bag.
Tensor spread(const Bags& bags, const Tensor& g) {
  if (bags.bag_of.defined()) return index_select(g, 0, bags.bag_of);
  const std::int64_t n = bags.index.numel(), width = g.size(1);
  if (n == 0) return zeros({0, width}, {.dtype = g.dtype(), .device = g.device()});
  return g.unsqueeze(1).expand({bags.count, n / bags.count, width}).reshape({n, width});
}

/// What each index's row has added to, of a table of this shape.
Tensor table_gradient(const Bags& bags, const Tensor& g, const Tensor& factors, const Shape& table) {
  if (!bags.ends.defined() && !recording(g, factors))
    return scatter_bags({bags.op, 0, bags.skip}, g, bags.index, factors, table);
  const Tensor rows = spread(bags, g);
  return scatter_rows({bags.op, 0, bags.skip}, factors.defined() ? rows * factors.unsqueeze(1) : rows,
                      bags.index, table);
}

/// (indices): each index's row of the table times that of its bag in g.
Tensor bag_dots(const Bags& bags, const Tensor& input, const Tensor& gradient) {
  const Tensor table = input.contiguous(), g = gradient.contiguous();
  Tensor y = make_tensor({bags.index.numel()}, table.dtype(), table.device());
  backend(table).bag.dots(table.dtype(), make_args(bags, table), raw(table), raw(g), raw(y), stream(table));
  if (recording(table, g))
    record(bags.op, y, {table, g}, [kept = SavedBags(bags), table = save(table), g = save(g)](Backward& b) {
      const Bags again = kept.get(b);
      const Tensor rows = table.get(b), d = b.grad();
      if (b.needs(0)) b.set(0, table_gradient(again, g.get(b), d, rows.shape()));
      if (b.needs(1)) b.set(1, bag_sums(again, rows, d));
    });
  return y;
}

}  // namespace

Tensor bag_sums(const Bags& bags, const Tensor& input, const Tensor& given_factors) {
  const Tensor table = input.contiguous();
  const Tensor factors = given_factors.defined() ? given_factors.contiguous() : given_factors;
  Tensor y = make_tensor({bags.count, table.size(1)}, table.dtype(), table.device());
  backend(table).bag.sums(table.dtype(), make_args(bags, table), raw(table),
                          factors.defined() ? raw(factors) : nullptr, raw(y), stream(table));
  if (recording(table, factors))
    record(bags.op, y, {table, factors},
           [kept = SavedBags(bags), shape = table.shape(), factors = save(factors),
            table = autograd::is_tracked(factors) ? save(table) : autograd::Saved()](Backward& b) {
             const Bags again = kept.get(b);
             const Tensor f = factors.defined() ? factors.get(b) : Tensor(), g = b.grad();
             if (b.needs(0)) b.set(0, table_gradient(again, g, f, shape));
             if (b.needs(1)) b.set(1, bag_dots(again, table.get(b), g));
           });
  return y;
}

}  // namespace miniparallel
