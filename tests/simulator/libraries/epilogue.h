#pragma once
// The steps between the sums of a matrix product and the
// memory of D. `values` is m x n, column-major and packed.
#include "matmul.h"

#include <vector>

namespace miniparallel::simulator {

/// values += beta * C.
template <class Compute>
void add(const Matrix& c, Compute beta, std::vector<Compute>& values);

/// The epilogue of the operation, with the auxiliary memory that it reads or writes.
template <class Compute>
void apply(const Matmul& op, std::vector<Compute>& values);

/// D = values, rounded to D's type.
template <class Compute>
void store(const std::vector<Compute>& values, const Matrix& d);

}  // namespace miniparallel::simulator
