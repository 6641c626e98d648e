#pragma once

#include "engine/autograd/node.h"

#include <utility>

/// Views and their histories. A view shows elements of its base; when a recorded op writes to the base, its
/// views follow at their next use.

namespace miniparallel::autograd {

/// An alias that follows the writes to `base`; no history yet.
Tensor make_view(const Tensor& base, const Shape& shape, const Shape& strides, std::int64_t offset);

/// The alias, recorded with `backward(g)` giving the gradient of the base.
template <class F>
Tensor record_view(const char* name, const Tensor& base, const Shape& shape, const Shape& strides,
                   std::int64_t offset, F backward) {
  Tensor view = make_view(base, shape, strides, offset);
  if (recording(base))
    record(name, view, {base},
           [backward = std::move(backward)](Backward& b) { b.set(0, backward(b.take_grad())); });
  return view;
}

/// Which elements of its base, which is contiguous, a view shows.
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

}  // namespace miniparallel::autograd
