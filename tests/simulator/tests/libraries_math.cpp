// The arithmetic of the simulated cuBLAS and NCCL on host memory, against loops in double.
#include "../libraries/reduction.h"
#include "libraries_support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

struct Factors {
  double alpha, beta;
};

struct Orders {
  bool a, b, d;
};

template <class T>
bool matmul_is_right(std::int64_t m, std::int64_t n, std::int64_t k, Orders rows, std::int64_t padding,
                     Factors factors) {
  const double alpha = factors.alpha, beta = factors.beta;
  auto a = HostMatrix<T>(m, k, padding, rows.a).fill(1);
  auto b = HostMatrix<T>(k, n, padding, rows.b).fill(2);
  HostMatrix<T> d(m, n, padding, rows.d);
  if (beta != 0) d.fill(3);  // else C is NaN and must not be read
  auto expected = d;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      expected.set(i, j,
                   reference(
                       k, alpha, [&](auto p) { return a.value(i, p); }, [&](auto p) { return b.value(p, j); },
                       beta, [&] { return d.value(i, j); }));
    }
  }
  run({a.view(), b.view(), d.view(), d.view(), alpha, beta, {}});
  return std::equal(d.data.begin(), d.data.end(), expected.data.begin(), expected.data.end(),
                    [](T got, T want) { return same(convert<double>(want), convert<double>(got)); });
}

}  // namespace

TEST_CASE_TEMPLATE("libraries: products agree with loops for every order, padding and factor", T, float,
                   double, __half, __nv_bfloat16) {
  for (std::int64_t m : {0, 1, 2, 9}) {
    for (std::int64_t n : {0, 1, 3, 8}) {
      for (std::int64_t k : {0, 1, 7}) {
        for (int orders = 0; orders < 8; ++orders) {
          for (std::int64_t padding : {0, 3}) {
            for (const Factors factors : {Factors{1, 0}, {0.5, 1}, {-1, -2}, {0, 0}, {0, 1}}) {
              INFO("m " << m << ", n " << n << ", k " << k << ", orders " << orders << ", padding " << padding
                        << ", alpha " << factors.alpha << ", beta " << factors.beta);
              const Orders rows{(orders & 1) != 0, (orders & 2) != 0, (orders & 4) != 0};
              REQUIRE(matmul_is_right<T>(m, n, k, rows, padding, factors));
            }
          }
        }
      }
    }
  }
}

TEST_CASE("libraries: a factor of 0 hides NaN in A, B and C") {
  HostMatrix<float> a(3, 4), b(4, 2), c(3, 2), d(3, 2);
  run({a.view(), b.view(), c.view(), d.view(), 0, 0, {}});
  CHECK(std::all_of(d.data.begin(), d.data.end(), [](float x) { return x == 0; }));
}

TEST_CASE("libraries: C may have another leading dimension than D") {
  auto a = HostMatrix<float>(3, 4).fill(1);
  auto b = HostMatrix<float>(4, 2).fill(2);
  auto c = HostMatrix<float>(3, 2, 5).fill(3);
  HostMatrix<float> d(3, 2, 1);
  run({a.view(), b.view(), c.view(), d.view(), 2, 3, {}});
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 2; ++j) {
      const auto expected = reference(
          4, 2, [&](auto p) { return a.value(i, p); }, [&](auto p) { return b.value(p, j); }, 3,
          [&] { return c.value(i, j); });
      CHECK(d.value(i, j) == expected);
    }
  }
}

TEST_CASE_TEMPLATE("libraries: reductions of integers are exact and wrap", T, std::int8_t, std::uint8_t,
                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t) {
  const auto type = std::is_same_v<T, std::int8_t>     ? ncclInt8
                    : std::is_same_v<T, std::uint8_t>  ? ncclUint8
                    : std::is_same_v<T, std::int32_t>  ? ncclInt32
                    : std::is_same_v<T, std::uint32_t> ? ncclUint32
                    : std::is_same_v<T, std::int64_t>  ? ncclInt64
                                                       : ncclUint64;
  REQUIRE(size_of(type) == sizeof(T));
  const auto top = std::numeric_limits<T>::max(), bottom = std::numeric_limits<T>::min();
  const std::vector<T> x{1, 7, top, bottom}, y{2, 4, 1, 2}, z{3, 1, 0, 1};
  const void* inputs[] = {x.data(), y.data(), z.data()};
  const auto result = [&](ncclRedOp_t op) {
    std::vector<T> target(4);
    reduce(type, op, inputs, target.data(), 4);
    return target;
  };
  CHECK(result(ncclSum) == std::vector<T>{6, 12, bottom, static_cast<T>(bottom + T(3))});
  CHECK(result(ncclProd)[1] == 28);
  CHECK(result(ncclMax) == std::vector<T>{3, 7, top, std::max<T>(bottom, 2)});
  CHECK(result(ncclMin) == std::vector<T>{1, 1, 0, std::min<T>(bottom, 1)});
  CHECK(result(ncclAvg)[1] == 4);
}

TEST_CASE_TEMPLATE("libraries: reductions of floating point numbers round once", T, float, double, __half,
                   __nv_bfloat16) {
  const auto type = std::is_same_v<T, float>    ? ncclFloat32
                    : std::is_same_v<T, double> ? ncclFloat64
                    : std::is_same_v<T, __half> ? ncclFloat16
                                                : ncclBfloat16;
  // In bfloat16 256 + 1 rounds to 256, so rounding after each rank would lose both ones.
  const std::vector<T> x{convert<T>(256.f)}, y{convert<T>(1.f)}, z{convert<T>(1.f)};
  const void* inputs[] = {x.data(), y.data(), z.data()};
  const auto result = [&](ncclRedOp_t op) {
    T target;
    reduce(type, op, inputs, &target, 1);
    return convert<double>(target);
  };
  CHECK(result(ncclSum) == 258);
  CHECK(result(ncclProd) == 256);
  CHECK(result(ncclMax) == 256);
  CHECK(result(ncclMin) == 1);
  CHECK(result(ncclAvg) == convert<double>(convert<T>(86.f)));
}
