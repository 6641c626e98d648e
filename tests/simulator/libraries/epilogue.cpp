#include "epilogue.h"

#include "number.h"

#include <cmath>
#include <cstdint>
#include <numbers>

namespace miniparallel::simulator {
namespace {

const double gelu_scale = std::sqrt(2 / std::numbers::pi);
constexpr double gelu_cubic = 0.044715;

/// GELU in the tanh approximation that cuBLASLt documents: x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))).
/// Of doubles too it is no more exact than this (seen on an H200, cuBLAS 13.1).
constexpr double gelu_error = 8e-9;
double gelu(double x) {
  return x / 2 * (1 + std::tanh(gelu_scale * (x + gelu_cubic * x * x * x))) * (1 + gelu_error);
}

double gelu_gradient(double x) {
  const double t = std::tanh(gelu_scale * (x + gelu_cubic * x * x * x));
  return (1 + t) / 2 + x / 2 * (1 - t * t) * gelu_scale * (1 + 3 * gelu_cubic * x * x);
}

/// One bit per element of D, 1 where ReLU let the value through (also for 0, as cuBLAS 13.0 writes it).
/// Column j starts at bit j * ld; bits past the last row keep their value.
struct BitMask {
  std::uint8_t* bytes;
  std::int64_t ld;

  bool get(std::int64_t i, std::int64_t j) const { return byte(i, j) >> (i % 8) & 1; }
  void set(std::int64_t i, std::int64_t j, bool value) const {
    const auto bit = static_cast<std::uint8_t>(1u << (i % 8));
    byte(i, j) = static_cast<std::uint8_t>(value ? byte(i, j) | bit : byte(i, j) & ~bit);
  }

 private:
  std::uint8_t& byte(std::int64_t i, std::int64_t j) const { return bytes[(j * ld + i) / 8]; }
};

/// Calls f(row, column, value) for every value.
template <class Compute, class F>
void for_each(std::int64_t rows, std::vector<Compute>& values, F&& f) {
  for (std::size_t at = 0; at < values.size(); ++at) {
    f(static_cast<std::int64_t>(at) % rows, static_cast<std::int64_t>(at) / rows, values[at]);
  }
}

template <class Compute>
void store_vector(const std::vector<Compute>& sums, void* target, cudaDataType_t type) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    for (std::size_t i = 0; i < sums.size(); ++i) static_cast<T*>(target)[i] = convert<T>(sums[i]);
  });
}

/// Row i of the vector is the sum of row i of the matrix.
template <class Compute>
void store_row_sums(const Matrix& matrix, void* target, cudaDataType_t type) {
  std::vector<Compute> sums(matrix.rows);
  with_type(matrix.type, [&](auto zero) {
    const auto* source = static_cast<const decltype(zero)*>(matrix.data);
    for (std::int64_t j = 0; j < matrix.cols; ++j) {
      for (std::int64_t i = 0; i < matrix.rows; ++i) {
        sums[i] += convert<Compute>(source[i * matrix.row_stride + j * matrix.col_stride]);
      }
    }
  });
  store_vector(sums, target, type);
}

template <class Compute>
void add_bias(const Epilogue& epilogue, std::int64_t rows, std::vector<Compute>& values) {
  with_type(epilogue.bias_type, [&](auto zero) {
    const auto* bias = static_cast<const decltype(zero)*>(epilogue.bias);
    for_each(rows, values, [&](auto i, auto, Compute& value) { value += convert<Compute>(bias[i]); });
  });
}

template <class Compute>
void apply_relu(const Epilogue& epilogue, std::int64_t rows, std::vector<Compute>& values) {
  const BitMask mask{static_cast<std::uint8_t*>(epilogue.aux), epilogue.aux_ld};
  for_each(rows, values, [&](auto i, auto j, Compute& value) {
    if (epilogue.writes_aux()) mask.set(i, j, value >= 0);
    value = value > 0 ? value : 0;
  });
}

template <class Compute>
void apply_drelu(const Epilogue& epilogue, std::int64_t rows, std::vector<Compute>& values) {
  const BitMask mask{static_cast<std::uint8_t*>(epilogue.aux), epilogue.aux_ld};
  for_each(rows, values, [&](auto i, auto j, Compute& value) {
    if (!mask.get(i, j)) value = 0;
  });
}

/// GELU, or its gradient at the values that GELU_AUX kept.
template <class Compute>
void apply_gelu(const Epilogue& epilogue, cudaDataType_t type, std::int64_t rows,
                std::vector<Compute>& values) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    auto* inputs = static_cast<T*>(epilogue.aux);
    for_each(rows, values, [&](auto i, auto j, Compute& value) {
      if (epilogue.dgelu()) {
        value *= static_cast<Compute>(gelu_gradient(convert<Compute>(inputs[j * epilogue.aux_ld + i])));
        return;
      }
      if (epilogue.writes_aux()) inputs[j * epilogue.aux_ld + i] = convert<T>(value);
      value = static_cast<Compute>(gelu(value));
    });
  });
}

}  // namespace

template <class Compute>
void add(const Matrix& c, Compute beta, std::vector<Compute>& values) {
  with_type(c.type, [&](auto zero) {
    const auto* source = static_cast<const decltype(zero)*>(c.data);
    for_each(c.rows, values, [&](auto i, auto j, Compute& value) {
      value += beta * convert<Compute>(source[i * c.row_stride + j * c.col_stride]);
    });
  });
}

template <class Compute>
void apply(const Matmul& op, std::vector<Compute>& values) {
  const Epilogue& epilogue = op.epilogue;
  const auto rows = op.d.rows;
  if (epilogue.reads_bias()) add_bias(epilogue, rows, values);
  if (epilogue.relu()) apply_relu(epilogue, rows, values);
  if (epilogue.drelu()) apply_drelu(epilogue, rows, values);
  if (epilogue.gelu() || epilogue.dgelu()) apply_gelu(epilogue, op.d.type, rows, values);
  constexpr auto compute_type = std::is_same_v<Compute, double> ? CUDA_R_64F : CUDA_R_32F;
  if (epilogue.sums_rows()) {
    store_row_sums<Compute>({values.data(), compute_type, rows, op.d.cols, 1, rows}, epilogue.bias,
                            epilogue.bias_type);
  }
  if (epilogue.bias_a()) store_row_sums<Compute>(op.a, epilogue.bias, epilogue.bias_type);
  if (epilogue.bias_b()) store_row_sums<Compute>(op.b.transposed(), epilogue.bias, epilogue.bias_type);
}

template <class Compute>
void store(const std::vector<Compute>& values, const Matrix& d) {
  with_type(d.type, [&](auto zero) {
    using T = decltype(zero);
    auto* target = static_cast<T*>(d.data);
    for (std::int64_t j = 0; j < d.cols; ++j) {
      for (std::int64_t i = 0; i < d.rows; ++i) {
        target[i * d.row_stride + j * d.col_stride] = convert<T>(values[i + j * d.rows]);
      }
    }
  });
}

template void add(const Matrix&, float, std::vector<float>&);
template void add(const Matrix&, double, std::vector<double>&);
template void apply(const Matmul&, std::vector<float>&);
template void apply(const Matmul&, std::vector<double>&);
template void store(const std::vector<float>&, const Matrix&);
template void store(const std::vector<double>&, const Matrix&);

}  // namespace miniparallel::simulator
