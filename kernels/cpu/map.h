#pragma once

#include "kernels/elementwise.h"

#include <array>
#include <initializer_list>

namespace miniparallel::kernels::cpu {

/// n elements of every operand, each a plain array.
struct LoopArgs {
  void* out;
  const void* in[kMaxOperands - 1];
  std::int64_t n;
  double p, q;

  template <class T>
  T* output() const {
    return static_cast<T*>(out);
  }
  template <class T>
  const T* input(int i) const {
    return static_cast<const T*>(in[i]);
  }
};
using Loop = void (*)(const LoopArgs&);

/// The loops of one function, by DType.
using DTypeRow = std::array<Loop, 8>;

struct ElementwiseLoops {
  std::array<DTypeRow, static_cast<int>(Unary::count)> unary, unary_backward;
  std::array<DTypeRow, static_cast<int>(Binary::count)> binary, binary_backward[2];
  /// Of float32, [i] where operand i of the two is one element for all the others; null for most functions.
  std::array<Loop, static_cast<int>(Binary::count)> binary_with_one[2];
  std::array<DTypeRow, static_cast<int>(Ternary::count)> ternary;
  std::array<DTypeRow, static_cast<int>(Compare::count)> compare;
  DTypeRow where;
  std::array<DTypeRow, 8> convert;  ///< [from][to]; null where they are equal
};

/// Those of `convert`.
const std::array<DTypeRow, 8>& convert_loops();

/// What a loop takes of an operand of float16 or bfloat16.
enum class Halves { as_float32, as_stored };

/// Runs `loop` over the layout, in parallel. Operands that are not plain arrays, or are to be converted, go
/// through blocks in the cache. `dtypes`: of each operand.
void map(Loop loop, const ElementwiseArgs& args, std::initializer_list<DType> dtypes,
         Halves halves = Halves::as_float32);

/// Runs a loop for which operand `one` is one element in each row of the innermost dimension, the other
/// operands arrays, all of float32.
void map_with_one(Loop loop, const ElementwiseArgs& args, int operands, int one);
/// The operand that is one element in each row, where that is so of one, the rows are not short and the other
/// operands arrays; else 0.
int one_in_rows(const ElementwiseArgs& args, int operands);

void fill(DType dtype, const ElementwiseArgs& args, const void* value, Stream stream);
void sequence(const Sequence<std::int64_t>& values, std::int64_t* y, std::int64_t n, Stream stream);
void real_sequence(const Sequence<double>& values, double* y, std::int64_t n, Stream stream);

}  // namespace miniparallel::kernels::cpu
