#include "kernels/copy_plan.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

namespace miniparallel::kernels {
namespace {

constexpr std::int64_t kWidest = 16;

/// The dimensions from far to near as the output has them, so
/// that dimensions near in both merge and are written in order.
Layout in_order_of_output(const Layout& layout) {
  int order[kMaxRank];
  std::iota(order, order + layout.rank, 0);
  const std::int64_t* strides = layout.strides[0];
  std::sort(order, order + layout.rank,
            [&](int a, int b) { return strides[a] != strides[b] ? strides[a] > strides[b] : a < b; });
  Shape sizes, y, x;
  for (int d = 0; d < layout.rank; ++d) {
    sizes.push_back(layout.sizes[order[d]]);
    y.push_back(layout.strides[0][order[d]]);
    x.push_back(layout.strides[1][order[d]]);
  }
  return make_layout(sizes, {y, x});
}

/// The largest word size, in bytes, that divides every run along the last dimension and every start address;
/// that of an element where a side has no runs.
std::int64_t word_of(const ElementwiseArgs& args, std::int64_t bytes) {
  const Layout& layout = args.layout;
  const int last = layout.rank - 1;
  if (last < 0 || layout.strides[0][last] != 1 || layout.strides[1][last] != 1) return bytes;
  std::uint64_t multiples = static_cast<std::uint64_t>(kWidest | layout.sizes[last] * bytes);
  for (int k = 0; k < 2; ++k) {
    multiples |= reinterpret_cast<std::uintptr_t>(args.operands[k]);
    for (int d = 0; d < last; ++d) multiples |= static_cast<std::uint64_t>(layout.strides[k][d] * bytes);
  }
  return static_cast<std::int64_t>(multiples & (~multiples + 1));
}

/// The layout, whose last dimension is contiguous on both sides, of words instead of elements.
Layout in_words(const Layout& layout, std::int64_t bytes, std::int64_t word) {
  const int last = layout.rank - 1;
  Shape sizes, strides[2];
  for (int d = 0; d < layout.rank; ++d) {
    sizes.push_back(d == last ? layout.sizes[d] * bytes / word : layout.sizes[d]);
    for (int k = 0; k < 2; ++k) strides[k].push_back(d == last ? 1 : layout.strides[k][d] * bytes / word);
  }
  return make_layout(sizes, {strides[0], strides[1]});
}

}  // namespace

CopyPlan::CopyPlan(const ElementwiseArgs& copy, std::size_t bytes)
    : args(copy), word(static_cast<int>(bytes)) {
  const std::int64_t element = static_cast<std::int64_t>(bytes);
  args.layout = in_order_of_output(copy.layout);
  const std::int64_t wide = word_of(args, element);
  if (wide != element) args.layout = in_words(args.layout, element, wide);
  word = static_cast<int>(wide);
  const Layout& layout = args.layout;
  const int last = layout.rank - 1;
  if (last < 1 || layout.strides[0][last] != 1 || layout.strides[1][last] == 1) return;
  if (layout.strides[1][last] == 0) return;  // a row of one element is written as it is
  for (int d = 0; d < last; ++d)
    if (layout.strides[1][d] == 1) across = d;
}

}  // namespace miniparallel::kernels
