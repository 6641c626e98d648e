#pragma once

#include <miniparallel/ops.h>

#include <cstdint>

namespace miniparallel {

/// Places of a sorted line, from the first to before the other.
struct Places {
  std::int64_t begin, end;
};

/// What `sort` has at these places of dimension `dim`, of a tensor with dimensions; the others are not put in
/// order. Errors name `op`.
ValuesAndIndices sorted_places(const char* op, const Tensor& x, int dim, bool descending, Places places);

}  // namespace miniparallel
