#include "kernels/cpu/panel_product.h"

#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

// The product that takes the BLAS's place, where the BLAS is for older processors, against sums in float64.

namespace miniparallel::testing {
namespace {

struct Sizes {
  std::int64_t rows, columns, inner;
};

/// A matrix whose rows are `gap` elements further apart than they are long.
template <class T>
struct Stored {
  std::vector<T> data;
  std::int64_t stride;
  bool transposed;

  Stored(std::int64_t rows, std::int64_t columns, bool turned, std::int64_t gap)
      : stride((turned ? rows : columns) + gap), transposed(turned) {
    const std::int64_t n = stride * (turned ? columns : rows);
    const std::vector<double> values = randn({n}, float64).to_vector<double>();
    data.assign(values.begin(), values.end());
  }
  double at(std::int64_t row, std::int64_t column) const {
    return static_cast<double>(
        data[static_cast<std::size_t>(transposed ? column * stride + row : row * stride + column)]);
  }
  kernels::Matrix matrix() const { return {data.data(), stride, transposed}; }
};

/// What the sums begin with.
enum class Begin { zeros, c, bias };

template <class T>
void check_product(const Sizes& sizes, bool a_turned, bool b_turned, Begin begin) {
  const auto& [rows, columns, inner] = sizes;
  const Stored<T> a(rows, inner, a_turned, 3), b(inner, columns, b_turned, 5);
  const Stored<T> before(rows, columns, false, 2), bias(1, columns, false, 0);
  std::vector<T> c = before.data;
  kernels::MatmulArgs args;
  args.rows = rows, args.columns = columns, args.inner = inner;
  args.beta = begin == Begin::c;
  if (begin == Begin::bias) args.bias = bias.data.data();
  args.a = a.matrix(), args.b = b.matrix();
  args.c = c.data(), args.c_stride = before.stride;
  kernels::cpu::panel_product<T>(args);
  const double tolerance = (sizeof(T) == 4 ? 2e-6 : 1e-14) * static_cast<double>(inner + 10);
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < before.stride; ++j) {
      const auto got = static_cast<double>(c[static_cast<std::size_t>(i * before.stride + j)]);
      double expected = before.at(i, j);
      if (j < columns) {
        expected = begin == Begin::c ? expected : begin == Begin::bias ? bias.at(0, j) : 0;
        for (std::int64_t k = 0; k < inner; ++k) expected += a.at(i, k) * b.at(k, j);
      }
      if (!(std::abs(got - expected) <= (j < columns ? tolerance : 0))) ++wrong;
    }
  CHECK(wrong == 0);
}

TEST_CASE("products by panels: any sizes, layouts and strides, what is between rows stays") {
  manual_seed(21);
  for (const Sizes& sizes :
       {Sizes{1, 1, 1}, Sizes{5, 40, 0}, Sizes{5, 3, 2}, Sizes{9, 40, 1}, Sizes{6, 32, 7}, Sizes{7, 33, 128},
        Sizes{13, 70, 129}, Sizes{97, 40, 20}, Sizes{200, 17, 300}, Sizes{8, 530, 260}, Sizes{100, 514, 257}})
    for (const bool a_turned : {false, true})
      for (const bool b_turned : {false, true})
        for (const Begin begin : {Begin::zeros, Begin::c, Begin::bias}) {
          INFO(sizes.rows, " x ", sizes.columns, " x ", sizes.inner, ", a turned: ", a_turned,
               ", b turned: ", b_turned, ", begins with ", static_cast<int>(begin));
          check_product<float>(sizes, a_turned, b_turned, begin);
          check_product<double>(sizes, a_turned, b_turned, begin);
        }
}

}  // namespace
}  // namespace miniparallel::testing
