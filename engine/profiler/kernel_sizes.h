#pragma once

#include "engine/profiler/span.h"
#include "kernels/backend.h"

#include <initializer_list>

/// What a launcher's arguments say about the size of its work. An argument that is not listed says nothing.

namespace miniparallel::profiler {

inline void set_sizes(Span& span, const char* labels, std::initializer_list<std::int64_t> sizes) {
  span.set_sizes(labels, {sizes.begin(), sizes.size()});
}

template <class Argument>
void describe(Span&, const Argument&) {}

inline void describe(Span& span, DType dtype) { span.set_dtype(dtype); }

/// The shape as the kernel walks it: neighbouring dimensions are one where that is possible.
inline void describe(Span& span, const kernels::ElementwiseArgs& args) {
  span.set_sizes(nullptr, {args.layout.sizes, static_cast<std::size_t>(args.layout.rank)});
}
inline void describe(Span& span, const kernels::ReduceArgs& args) {
  set_sizes(span, "kept reduced", {args.kept.numel(), args.reduced.numel()});
}
inline void describe(Span& span, const kernels::MatmulArgs& args) {
  set_sizes(span, "batch rows inner columns", {args.batch.numel(), args.rows, args.inner, args.columns});
}
inline void describe(Span& span, const kernels::Conv2dGeometry& g) {
  set_sizes(
      span, "n in_channels in_h in_w out_channels kernel_h kernel_w stride groups",
      {g.n, g.in_channels, g.in_h, g.in_w, g.out_channels, g.kernel_h, g.kernel_w, g.stride_h, g.groups});
}
inline void describe(Span& span, const kernels::Pool2dGeometry& g) {
  set_sizes(span, "planes in_h in_w out_h out_w",
            {g.planes, g.rows.size, g.columns.size, g.rows.outputs, g.columns.outputs});
}
inline void describe(Span& span, const kernels::BatchNormGeometry& g) {
  set_sizes(span, "n channels inner", {g.n, g.channels, g.inner});
}
inline void describe(Span& span, const kernels::SoftmaxArgs& args) {
  set_sizes(span, "outer n inner", {args.outer, args.n, args.inner});
}
inline void describe(Span& span, const kernels::CrossEntropyArgs& args) {
  set_sizes(span, "outer classes inner", {args.outer, args.classes, args.inner});
}
inline void describe(Span& span, const kernels::PointwiseLossArgs& args) {
  set_sizes(span, nullptr, {args.n});
}
inline void describe(Span& span, const kernels::IndexArgs& args) {
  set_sizes(span, "outer rows inner count", {args.outer, args.rows, args.inner, args.count});
}
inline void describe(Span& span, const kernels::AttentionArgs& args) {
  set_sizes(span, "batch n m e ev", {args.matrices, args.n, args.m, args.e, args.ev});
}
template <class Row>
void describe(Span& span, const std::span<const Row>& rows) {
  std::int64_t elements = 0;
  for (const Row& row : rows) elements += row.n;
  set_sizes(span, "tensors elements", {static_cast<std::int64_t>(rows.size()), elements});
}

}  // namespace miniparallel::profiler
