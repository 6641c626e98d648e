#pragma once

#include <miniparallel/ops.h>

#include <functional>
#include <string>
#include <vector>

/// THE table of ops: a row per way to call one. op_table.cpp runs every check over every row,
/// op_headers.cpp finds ops without one;
/// data/op_rows/ has PyTorch's expression for each, by the same name.

namespace miniparallel::testing {

/// How an argument is made. Real numbers are spread evenly over [low, high] in scrambled order: no two are
/// equal and none is a whole number, so that no kink is near.
struct Input {
  enum class Kind {
    real,      ///< the op is differentiated by it
    constant,  ///< real, but no gradient is asked for
    whole,     ///< int64 in [low, high)
    flag,      ///< bool
  };
  Shape shape;
  double low = -2, high = 2;
  Kind kind = Kind::real;
};

struct OpCase {
  std::string name;  ///< the name in ops.h, or of the method in tensor.h; after a colon what is special
  std::function<Tensor(const std::vector<Tensor>&)> function;
  std::vector<Input> inputs;
  unsigned traits = 0;

  bool has(unsigned trait) const { return (traits & trait) != 0; }
  std::string op() const { return name.substr(0, name.find(':')); }
};

/// Traits of a row.
enum : unsigned {
  elementwise = 1,       ///< every element by itself: any shape does
  no_gradient = 2,       ///< the result has none
  no_second = 4,         ///< the gradient cannot be differentiated
  no_golden = 8,         ///< large or random: PyTorch's values are not kept
  full_precision = 16,   ///< takes neither float16 nor bfloat16
  contiguous_only = 32,  ///< an error for strides that need a copy
  no_integers = 64,      ///< need not take the integers that PyTorch's op takes
  may_alias = 128,       ///< the result may share elements with an argument
  no_differences = 256,  ///< finite differences do not show the gradient: by rounding, or by intent
  random = 1024,         ///< other numbers in another dtype
  blas = 512,            ///< the order of its sums depends on the number of threads
};

const std::vector<OpCase>& op_cases();

/// The arguments of a row; floating ones of `dtype`. Requires no grad.
std::vector<Tensor> make_inputs(const OpCase& row, DType dtype = float64, Device device = {});
/// Such an argument with another shape. `position`: among the arguments.
Tensor make_input(const Input& input, int position, DType dtype = float64, Device device = {});

}  // namespace miniparallel::testing
