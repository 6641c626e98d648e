#pragma once

#include <miniparallel/dtype.h>
#include <miniparallel/elementwise.h>

#include "kernels/functors/activations.h"
#include "kernels/functors/binary.h"
#include "kernels/functors/parametrised.h"
#include "kernels/functors/ternary.h"
#include "kernels/functors/unary.h"
#include "kernels/layout.h"
#include "kernels/sequence.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

/// The lists of the elementwise functions, which are in kernels/functors/, and their launchers. To add one: a
/// functor there, and in miniparallel/elementwise.h a row in its list and the declaration.

namespace miniparallel::kernels {

// --- the lists: name of the op, its functor

/// The public ops, of miniparallel/elementwise.h, and what others are made of.
#define MP_UNARY_ARITHMETIC(X) MINIPARALLEL_UNARY_ARITHMETIC(X)
#define MP_UNARY_FLOATING(X)     \
  MINIPARALLEL_UNARY_FLOATING(X) \
  X(gelu_erf, GeluErf)           \
  X(gelu_tanh, GeluTanh)

/// With parameters: each row defines `Tensor name(const
/// Tensor&, double p, double q)` for the ops that need it.
#define MP_PARAMETRIC_ARITHMETIC(X) \
  X(add_scalar, AddScalar)          \
  X(scalar_minus, ScalarMinus)      \
  X(mul_scalar, MulScalar)          \
  X(clamp_between, Clamp)

#define MP_PARAMETRIC_FLOATING(X) \
  X(div_scalar, DivScalar)        \
  X(scalar_over, ScalarOver)      \
  X(pow_scalar, PowScalar)        \
  X(leaky_relu_by, LeakyRelu)     \
  X(elu_by, Elu)                  \
  X(celu_by, Celu)                \
  X(softplus_by, Softplus)

#define MP_ALL_UNARY_ARITHMETIC(X) MP_UNARY_ARITHMETIC(X) MP_PARAMETRIC_ARITHMETIC(X)
#define MP_ALL_UNARY_FLOATING(X) MP_UNARY_FLOATING(X) MP_PARAMETRIC_FLOATING(X)

#define MP_BINARY_ARITHMETIC(X) MINIPARALLEL_BINARY_ARITHMETIC(X)
#define MP_BINARY_FLOATING(X)     \
  MINIPARALLEL_BINARY_FLOATING(X) \
  X(prelu_broadcast, Prelu)
#define MP_BINARY_INTEGER(X) MINIPARALLEL_BINARY_INTEGER(X)
#define MP_TERNARY_FLOATING(X) \
  X(addcmul, Addcmul)          \
  X(addcdiv, Addcdiv)          \
  X(lerp, Lerp)
#define MP_COMPARE(X) MINIPARALLEL_COMPARE(X)

#define MP_NAME(name, functor) name,
enum class Unary { MP_ALL_UNARY_ARITHMETIC(MP_NAME) MP_ALL_UNARY_FLOATING(MP_NAME) count };
enum class Binary {
  MP_BINARY_ARITHMETIC(MP_NAME) MP_BINARY_FLOATING(MP_NAME) MP_BINARY_INTEGER(MP_NAME) count
};
enum class Ternary { MP_TERNARY_FLOATING(MP_NAME) count };
enum class Compare { MP_COMPARE(MP_NAME) count };
#undef MP_NAME

// --- the launchers

/// One elementwise call. Operand 0 is the output; it may
/// be one of the inputs when both have the same strides.
struct ElementwiseArgs {
  Layout layout;
  void* operands[kMaxOperands] = {};
  double p = 0, q = 0;  ///< the parameters of a parametrised function
  bool accumulate =
      false;  ///< add to the output instead of replacing it (floating dtypes, backward functions)
};
/// The shape as the kernel walks it: neighbouring dimensions are one where that is possible.
inline Sizes sizes(const ElementwiseArgs& args) {
  return {nullptr, std::span(args.layout.sizes, static_cast<std::size_t>(args.layout.rank))};
}

/// The caller asks `supported` before: a dtype that a function does not have is a null call.
struct Elementwise {
  void (*unary)(Unary function, DType dtype, const ElementwiseArgs& args, Stream stream);  ///< y, x
  void (*unary_backward)(Unary function, DType dtype, const ElementwiseArgs& args,
                         Stream stream);                                                     ///< dx, g, saved
  void (*binary)(Binary function, DType dtype, const ElementwiseArgs& args, Stream stream);  ///< y, a, b
  void (*binary_backward)(Binary function, int side, DType dtype, const ElementwiseArgs& args,
                          Stream stream);  ///< da (side 0) or db, g, a, b
  void (*ternary)(Ternary function, DType dtype, const ElementwiseArgs& args,
                  Stream stream);  ///< y, a, b, c; floating
  void (*compare)(Compare function, DType dtype, const ElementwiseArgs& args,
                  Stream stream);                                          ///< bool y, a, b
  void (*where)(DType dtype, const ElementwiseArgs& args, Stream stream);  ///< y, bool condition, a, b
  void (*convert)(DType from, DType to, const ElementwiseArgs& args, Stream stream);  ///< y, x; also copies
  void (*fill)(DType dtype, const ElementwiseArgs& args, const void* value,
               Stream stream);  ///< y; value on the host
  /// y[i] = values(i) for a plain array.
  void (*sequence)(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream stream);
  void (*real_sequence)(const Sequence<double>& values, double* y, std::int64_t n, Stream stream);
};

/// Floating dtypes, those of 16 bits computed with as float32; for functions of the arithmetic lists also
/// int64, int32 and uint8, for binary ones but `sub` bool. Functions of the integer list: these alone, shifts
/// without bool.
constexpr bool supported(Unary function, DType dtype) {
#define MP_IS(name, functor) function == Unary::name ||
  const bool arithmetic = MP_ALL_UNARY_ARITHMETIC(MP_IS) false;
#undef MP_IS
  return is_floating(dtype) || (arithmetic && (dtype == int64 || dtype == int32 || dtype == uint8));
}
constexpr bool supported(Binary function, DType dtype) {
#define MP_IS(name, functor) function == Binary::name ||
  const bool arithmetic = MP_BINARY_ARITHMETIC(MP_IS) false;
  const bool integer = MP_BINARY_INTEGER(MP_IS) false;
#undef MP_IS
  const bool shifts = function == Binary::bitwise_left_shift || function == Binary::bitwise_right_shift;
  return (is_floating(dtype) && !integer) ||
         ((arithmetic || integer) && (dtype == int64 || dtype == int32 || dtype == uint8)) ||
         ((arithmetic || integer) && dtype == boolean && function != Binary::sub && !shifts);
}

}  // namespace miniparallel::kernels
