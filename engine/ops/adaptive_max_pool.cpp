#include "engine/ops/common.h"
#include "engine/ops/native_half.h"

#include <algorithm>

// One dimension after the other, the last one first: so the first of equal elements is the first in memory.

namespace miniparallel {
namespace {

/// Of a window cut into `output` parts along `dim` the largest element of each. Parts are of two lengths: the
/// shorter ones see their last element twice.
Tensor largest(const Tensor& x, int dim, std::int64_t output) {
  const std::int64_t size = x.size(dim);
  const auto begin = [&](std::int64_t i) { return i * size / output; };
  const auto end = [&](std::int64_t i) { return ((i + 1) * size + output - 1) / output; };
  std::int64_t longest = 0;
  for (std::int64_t i = 0; i < output; ++i) longest = std::max(longest, end(i) - begin(i));
  std::vector<std::int64_t> seen;
  for (std::int64_t i = 0; i < output; ++i) {
    for (std::int64_t j = 0; j < longest; ++j) seen.push_back(std::min(begin(i) + j, end(i) - 1));
  }
  const Tensor index = from_data(seen.data(), {std::ssize(seen)}, int64, x.device());
  return max(index_select(x, dim, index).unflatten(dim, {output, longest}), dim + 1).values;
}

/// `x` (n, channels, sizes ...) with `output` for the sizes.
Tensor adaptive(const char* op, const char* form, const Tensor& x, const Shape& output) {
  check_defined(op, x);
  check_floating(op, x);
  if (is_half_on_cpu(x)) return in_float32(adaptive, op, form, x, output);
  check(x.dim() == output.rank() + 2, op, ": input has shape ", x.shape(), "; it must be ", form,
        x.dim() == output.rank() + 1 ? ", so unsqueeze(0)" : "");
  for (int d = 0; d < output.rank(); ++d) {
    check(output[d] > 0, op, ": got output ", output, "; it must be at least 1");
    check(x.size(d + 2) > 0, op, ": input of shape ", x.shape(),
          " has nothing to choose from; sizes must be ", "at least 1");
  }
  if (x.dim() == 4 && x.size(2) % output[0] == 0 && x.size(3) % output[1] == 0)
    return max_pool2d(x, {x.size(2) / output[0], x.size(3) / output[1]});
  Tensor y = x;
  for (int d = output.rank() - 1; d >= 0; --d) y = largest(y, d + 2, output[d]);
  return y;
}

}  // namespace

Tensor adaptive_max_pool1d(const Tensor& x, std::int64_t output) {
  return adaptive("adaptive_max_pool1d", "(n, channels, length)", x, {output});
}
Tensor adaptive_max_pool2d(const Tensor& x, Size2 output) {
  return adaptive("adaptive_max_pool2d", "(n, channels, height, width)", x, {output.height, output.width});
}
Tensor adaptive_max_pool3d(const Tensor& x, Size3 output) {
  return adaptive("adaptive_max_pool3d", "(n, channels, depth, height, width)", x,
                  {output.depth, output.height, output.width});
}

}  // namespace miniparallel
