#pragma once

#include <miniparallel/state_dict.h>

#include <string>
#include <string_view>

namespace miniparallel::testing {

/// The tensors of a safetensors file under tests/data, read once and kept.
const StateDict& goldens(std::string_view file);

/// One of them; throws, naming file and tensor, when there is none.
Tensor golden(const std::string& file, const std::string& name);

/// The largest |a - b| over all elements, in float64; infinity where shapes differ or only one is NaN.
double largest_difference(const Tensor& a, const Tensor& b);
/// The largest |x|, 0 for an empty tensor.
double largest_magnitude(const Tensor& x);

/// Whether every bit agrees, and shape and dtype.
bool identical(const Tensor& a, const Tensor& b);

}  // namespace miniparallel::testing
