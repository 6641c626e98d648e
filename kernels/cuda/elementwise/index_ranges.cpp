#include "kernels/cuda/elementwise/index_ranges.h"

#include "kernels/cuda/device/pack.cuh"

#include <algorithm>
#include <cstdint>

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::int64_t kLimit = std::int64_t{1} << 31;

/// How far apart the elements of a dimension are, of the operand that steps widest.
std::int64_t extent(const Layout& layout, int dim) {
  std::int64_t widest = 0;
  for (int k = 0; k < layout.operands; ++k) widest = std::max(widest, layout.strides[k][dim]);
  return (layout.sizes[dim] - 1) * widest;
}

bool is_small(const Layout& layout) {
  if (layout.numel() >= kLimit) return false;
  std::int64_t reach = 0;
  for (int d = 0; d < layout.rank; ++d) reach += extent(layout, d);
  return reach < kLimit;
}

}  // namespace

void for_each_small_part(const ElementwiseArgs& args, std::initializer_list<std::size_t> bytes,
                         const std::function<void(const ElementwiseArgs&)>& run) {
  const Layout& layout = args.layout;
  if (layout.numel() == 0) return;
  if (is_small(layout)) return run(args);
  int widest = 0;
  for (int d = 1; d < layout.rank; ++d)
    if (std::max(extent(layout, d), layout.sizes[d]) > std::max(extent(layout, widest), layout.sizes[widest]))
      widest = d;
  ElementwiseArgs low = args, high = args;
  const std::int64_t middle = layout.sizes[widest] / 2;
  low.layout.sizes[widest] = middle;
  high.layout.sizes[widest] -= middle;
  for (int k = 0; k < layout.operands; ++k)
    high.operands[k] = static_cast<std::byte*>(args.operands[k]) +
                       middle * layout.strides[k][widest] * static_cast<std::int64_t>(bytes.begin()[k]);
  for_each_small_part(low, bytes, run);
  for_each_small_part(high, bytes, run);
}

bool has_rows_of_packs(const ElementwiseArgs& args, int pack, std::size_t bytes) {
  const Layout& layout = args.layout;
  const int last = layout.rank - 1;
  if (last < 0 || layout.strides[0][last] != 1 || layout.sizes[last] % pack != 0) return false;
  for (int k = 0; k < layout.operands; ++k) {
    if (layout.strides[k][last] != 1) continue;
    if (!are_aligned(static_cast<std::uintptr_t>(pack) * bytes, args.operands[k])) return false;
    for (int d = 0; d < last; ++d)
      if (layout.strides[k][d] % pack != 0) return false;
  }
  return true;
}

}  // namespace miniparallel::kernels::cuda
