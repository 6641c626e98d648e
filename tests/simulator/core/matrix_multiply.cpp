#include "core/matrix_multiply.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <bit>
#include <cstdint>

namespace miniparallel::simulator {
namespace {

constexpr int kSide = 16, kLanes = 32;

float to_float(__half x) { return __half2float(x); }
float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }
/// Tensor cores do not see the last 13 bits of a float.
float to_float(float x) { return std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & ~0x1fffu); }

template <typename Number>
void multiply(const MatrixShare* const (&shares)[kLanes]) {
  const MatrixShare& all = *shares[0];
  const int depth = all.depth, each = kSide * depth / kLanes, sums = kSide * kSide / kLanes;
  float a[kSide][kSide], b[kSide][kSide], c[kSide][kSide];  // a[row][k], b[k][column]
  for (int i = 0; i < kSide * depth; ++i) {
    const float left = to_float(static_cast<const Number*>(shares[i / each]->a)[i % each]);
    const float right = to_float(static_cast<const Number*>(shares[i / each]->b)[i % each]);
    (all.a_by_columns ? a[i % kSide][i / kSide] : a[i / depth][i % depth]) = left;
    (all.b_by_columns ? b[i % depth][i / depth] : b[i / kSide][i % kSide]) = right;
  }
  for (int i = 0; i < kSide * kSide; ++i) c[i / kSide][i % kSide] = shares[i / sums]->c[i % sums];
  for (int row = 0; row < kSide; ++row)
    for (int k = 0; k < depth; ++k)
      for (int column = 0; column < kSide; ++column) c[row][column] += a[row][k] * b[k][column];
  for (int i = 0; i < kSide * kSide; ++i) shares[i / sums]->c[i % sums] = c[i / kSide][i % kSide];
}

}  // namespace

void multiply_matrices(const MatrixShare* const (&shares)[kLanes]) {
  switch (shares[0]->element) {
    case MatrixElement::float16:
      return multiply<__half>(shares);
    case MatrixElement::bfloat16:
      return multiply<__nv_bfloat16>(shares);
    case MatrixElement::tf32:
      return multiply<float>(shares);
  }
}

}  // namespace miniparallel::simulator
