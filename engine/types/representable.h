#pragma once

#include <miniparallel/dtype.h>
#include <miniparallel/scalar.h>

#include <cstdint>
#include <iosfwd>

/// Which numbers a dtype has.

namespace miniparallel {

/// As an integer or a real number.
std::ostream& operator<<(std::ostream& stream, Scalar value);

/// Whether `dtype` has the number: an integer dtype after truncation towards 0, a floating one after
/// rounding, where a finite number must stay finite. bool takes every number as true or false.
bool is_representable(Scalar value, DType dtype);

/// Throws, naming `op`, the value, the dtype and its range, unless `is_representable`.
void check_representable(const char* op, Scalar value, DType dtype);

/// As `check_representable` for a number that counts or is counted: bool has 0 and 1 only.
void check_representable_count(const char* op, std::int64_t value, DType dtype);

/// The number of a floating dtype that is nearest to `value`.
double rounded(double value, DType dtype);

/// The greatest number below `value`, which a floating dtype has, in that dtype; likewise the least above it.
double next_below(double value, DType dtype);
double next_above(double value, DType dtype);

/// The greatest integer up to which a floating dtype has every integer.
std::int64_t last_exact_integer(DType dtype);

}  // namespace miniparallel
