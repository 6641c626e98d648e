#pragma once

#include <miniparallel/shape.h>

#include <optional>

namespace miniparallel {

/// `dim` counted from the front. Throws, naming `op`, unless -rank <= dim < rank (a tensor without dimensions
/// has rank 1).
int normalize_dim(const char* op, std::int64_t dim, int rank);

/// Throws, naming `op`, for a negative size.
void check_shape(const char* op, const Shape& shape);

/// The shape that both broadcast to, if they do.
std::optional<Shape> broadcast_sizes(const Shape& a, const Shape& b);
/// The same; throws, naming `op` and both shapes.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

}  // namespace miniparallel
