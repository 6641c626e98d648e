#pragma once

#include <miniparallel/tensor.h>

namespace miniparallel {

/// Where a view lies in its base, which is contiguous.
struct ViewGeometry {
  Shape shape, strides;
  std::int64_t offset;

  /// The same part of another tensor of the base's shape, as a differentiable view of it (of a copy, where it
  /// is not contiguous).
  Tensor of(const Tensor& whole) const;
};

/// Throws where the base of the view is not contiguous.
ViewGeometry geometry_of(const Tensor& view);

/// Zeros of `shape` with `piece` at the place of the view: the gradient of taking the view.
Tensor paste(const Tensor& piece, const Shape& shape, const ViewGeometry& where);

/// Gives the view the history that its base has now.
void refresh_view(const Tensor& view);

}  // namespace miniparallel
