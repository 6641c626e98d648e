#include "engine/ops/indexing.h"

#include <algorithm>

// What masks pick, and the mask of a number.

namespace miniparallel {
namespace {

/// The places of a mask's true elements, in row-major order: int64, one dimension.
Tensor true_places(const Tensor& mask) {
  const Tensor flat = mask.detach().flatten().contiguous();
  const Tensor ends = cumsum(flat, 0);
  const std::int64_t n = flat.numel();
  const std::int64_t count = n == 0 ? 0 : ends.select(0, n - 1).item<std::int64_t>();
  Tensor places = make_tensor({count}, int64, mask.device());
  if (count > 0)
    backend(flat).indexing.places(reinterpret_cast<const bool*>(raw(flat)),
                                  reinterpret_cast<const std::int64_t*>(raw(ends)), n,
                                  reinterpret_cast<std::int64_t*>(raw(places)), stream(flat));
  return places;
}

}  // namespace

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_defined("masked_select", x);
  check_defined("masked_select", mask);
  check_same_device("masked_select", {x, mask});
  check(mask.dtype() == boolean, "masked_select: the mask is ", mask.dtype(), "; compare to get bool");
  const Shape shape = broadcast_shapes("masked_select", x.shape(), mask.shape());
  return index_select(x.expand(shape).flatten(), 0, true_places(mask.expand(shape)));
}

Tensor nonzero(const Tensor& x) try {
  check_defined("nonzero", x);
  const NoGradGuard no_grad;
  const Tensor places = true_places(x.dtype() == boolean ? x : x != 0);
  const Shape strides = x.shape().row_major_strides();
  std::vector<Tensor> columns;
  for (int d = 0; d < x.dim(); ++d)
    columns.push_back(remainder(floor_divide(places, std::max<std::int64_t>(strides[d], 1)),
                                std::max<std::int64_t>(x.size(d), 1)));
  return columns.empty() ? zeros({places.size(0), 0}, {.dtype = int64, .device = x.device()})
                         : stack(columns, 1);
} catch (const Error& error) {
  rethrow_as("nonzero", error);
}

Tensor one_hot(const Tensor& x, std::int64_t num_classes) {
  check_defined("one_hot", x);
  check(x.dtype() == int64 || x.dtype() == int32, "one_hot: got ", x.dtype(),
        "; convert it to int64 or int32");
  check(num_classes >= 0 || x.numel() > 0, "one_hot: nothing tells the number of classes of shape ",
        x.shape(), "; give num_classes");
  const std::int64_t classes = num_classes < 0 ? bound_of("one_hot", x) : num_classes;
  positions_of("one_hot", {classes}, 0, x.flatten());  // notices an index out of range
  const Tensor hot = x.unsqueeze(-1) == arange(classes, {.dtype = x.dtype(), .device = x.device()});
  return hot.to(int64);
}

}  // namespace miniparallel
