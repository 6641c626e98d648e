#pragma once
// Small matrices with known values, and straightforward
// reference loops in double, for the tests of cuBLAS and NCCL.
#include "../libraries/matmul.h"
#include "../libraries/number.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

namespace miniparallel::simulator::testing {

template <class T>
inline constexpr cudaDataType_t type_of = CUDA_R_32F;
template <>
inline constexpr cudaDataType_t type_of<double> = CUDA_R_64F;
template <>
inline constexpr cudaDataType_t type_of<__half> = CUDA_R_16F;
template <>
inline constexpr cudaDataType_t type_of<__nv_bfloat16> = CUDA_R_16BF;

/// Memory of a batch of matrices with a leading dimension, filled with NaN until an element is set.
template <class T>
struct HostMatrix {
  HostMatrix(std::int64_t rows_, std::int64_t cols_, std::int64_t padding = 0, bool row_major_ = false,
             std::int64_t batch_ = 1)
      : rows(rows_),
        cols(cols_),
        ld(std::max<std::int64_t>(1, (row_major_ ? cols_ : rows_) + padding)),
        row_major(row_major_),
        batch(batch_),
        data(batch_ * stride(), convert<T>(std::numeric_limits<float>::quiet_NaN())) {}

  std::int64_t stride() const { return ld * (row_major ? rows : cols); }
  std::int64_t at(std::int64_t i, std::int64_t j, std::int64_t matrix = 0) const {
    return matrix * stride() + (row_major ? i * ld + j : i + j * ld);
  }
  double value(std::int64_t i, std::int64_t j, std::int64_t matrix = 0) const {
    return convert<double>(data[at(i, j, matrix)]);
  }
  void set(std::int64_t i, std::int64_t j, double x, std::int64_t matrix = 0) {
    data[at(i, j, matrix)] = convert<T>(static_cast<float>(x));
  }

  /// Small integers: their products and sums are exact in every type that is tested.
  HostMatrix& fill(unsigned seed) {
    std::minstd_rand random(seed + 1);
    for (std::int64_t matrix = 0; matrix < batch; ++matrix) {
      for (std::int64_t j = 0; j < cols; ++j) {
        for (std::int64_t i = 0; i < rows; ++i) set(i, j, static_cast<int>(random() % 5) - 2, matrix);
      }
    }
    return *this;
  }

  Matrix view() { return {data.data(), type_of<T>, rows, cols, row_major ? ld : 1, row_major ? 1 : ld}; }

  std::int64_t rows, cols, ld;
  bool row_major;
  std::int64_t batch;
  std::vector<T> data;
};

/// alpha * sum over p of a(i, p) * b(p, j) + beta * c(i,
/// j), without reading what a factor of 0 makes irrelevant.
inline double reference(std::int64_t k, double alpha, const std::function<double(std::int64_t)>& a,
                        const std::function<double(std::int64_t)>& b, double beta,
                        const std::function<double()>& c) {
  double sum = 0;
  if (alpha != 0) {
    for (std::int64_t p = 0; p < k; ++p) sum += a(p) * b(p);
  }
  return alpha * sum + (beta == 0 ? 0 : beta * c());
}

/// True if both are NaN or the number is the expected one.
inline bool same(double expected, double got) {
  return expected == got || (expected != expected && got != got);
}

}  // namespace miniparallel::simulator::testing
