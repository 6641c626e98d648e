#pragma once

#include <miniparallel/shape.h>

namespace miniparallel {

/// `dim` counted from the front. Throws, naming `op`, unless -rank <= dim < rank (a tensor without dimensions
/// has rank 1).
int normalize_dim(const char* op, int dim, int rank);

/// The shape that both broadcast to. Throws, naming `op` and both shapes.
Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b);

}  // namespace miniparallel
