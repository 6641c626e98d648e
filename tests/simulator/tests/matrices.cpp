// Matrix operations of a warp compute what tensor cores do, and misuse is reported.

#include "kernels/matrices.h"

#include "kernels/half.h"
#include "modes.h"

#include <cmath>

using namespace simulator_tests;
using miniparallel::BFloat16;
using miniparallel::Half;
using miniparallel::kernels::convert;
using sim::Finding;

namespace {

constexpr int kSide = 16;

template <class T>
std::vector<T> numbers(int seed, float unit) {
  std::vector<T> values(kSide * kSide);
  for (int i = 0; i < kSide * kSide; ++i)
    values[static_cast<std::size_t>(i)] =
        convert<T>(static_cast<float>((i * 37 + seed * 11) % 23 - 11) * unit);
  return values;
}

/// c = a b + 1 in float64, which is exact for these numbers.
template <class T>
double expected(const std::vector<T>& a, const std::vector<T>& b, int row, int column, bool by_columns) {
  const auto at = [&](const std::vector<T>& x, int i, int j) {
    return convert<double>(x[static_cast<std::size_t>(by_columns ? j * kSide + i : i * kSide + j)]);
  };
  double sum = 1;
  for (int k = 0; k < kSide; ++k) sum += at(a, row, k) * at(b, k, column);
  return sum;
}

template <class T>
std::vector<float> product(const std::vector<T>& a, const std::vector<T>& b, bool by_columns = false) {
  const DeviceBuffer<T> left(a), right(b);
  const DeviceBuffer<float> out(std::vector<float>(a.size(), 1.0f));
  multiply_matrices(left.data(), right.data(), out.data(), by_columns);
  return out.download();
}

template <class T>
void check_product(float unit) {
  const auto a = numbers<T>(1, unit), b = numbers<T>(2, unit);
  for (const bool by_columns : {false, true})
    in_every_mode(1, [&] {
      const auto result = product(a, b, by_columns);
      for (int row = 0; row < kSide; ++row)
        for (int column = 0; column < kSide; ++column)
          REQUIRE(result[static_cast<std::size_t>(row * kSide + column)] ==
                  expected(a, b, row, column, by_columns));
    });
}

template <typename Bug>
void is_reported(Finding finding, const std::string& part, Bug&& bug) {
  for (const auto order : {sim::Order::forward, sim::Order::reverse, sim::Order::shuffled}) {
    CAPTURE(static_cast<int>(order));
    const FreshMachine fresh(machine(1, 0, order));
    const DeviceBuffer<__half> a(std::vector<__half>(kSide * kSide, __half(1.0f)));
    const DeviceBuffer<float> c(std::vector<float>(1024, 0.0f));
    bug(a.data(), c.data());
    CHECK(cudaDeviceSynchronize() != cudaSuccess);
    const auto reports = sim::take_reports();
    REQUIRE(!reports.empty());
    INFO(reports[0].text);
    CHECK(reports[0].finding == finding);
    CHECK(contains(reports[0].text, part));
  }
}

}  // namespace

TEST_CASE("tensor cores: products of float16, bfloat16 and TF32, stored by rows and by columns") {
  check_product<Half>(0.25f);
  check_product<BFloat16>(0.5f);
  check_product<float>(0.125f);
}

TEST_CASE("tensor cores: float16's smallest and largest numbers are exact") {
  std::vector<Half> a(kSide * kSide, Half{0}), b = a;
  a[0] = b[1] = convert<Half>(65504.0f), b[0] = convert<Half>(0x1p-24f);
  const FreshMachine fresh(machine(1));
  const auto result = product(a, b);
  CHECK(result[0] == 65504.0f * 0x1p-24f + 1);
  CHECK(result[1] == 65504.0f * 65504.0f + 1);
}

TEST_CASE("tensor cores: TF32 keeps 10 bits, ties away from zero") {
  std::vector<float> a(kSide * kSide, 0.0f), b = a;
  const float half_unit = 0x1p-11f;
  a[0] = 1 + half_unit, a[16] = -1 - half_unit, a[32] = 1 + half_unit - 0x1p-23f;
  a[48] = 0x1p100f * (2 - 0x1p-23f), a[64] = INFINITY;
  b[0] = 1;
  const FreshMachine fresh(machine(1));
  const auto result = product(a, b);
  CHECK(result[0] == 2 + 0x1p-10f);
  CHECK(result[16] == -0x1p-10f);
  CHECK(result[32] == 2);
  CHECK(result[48] == 0x1p101f);
  CHECK(result[64] == INFINITY);
}

TEST_CASE("planted bug: half of a warp multiplies matrices") {
  is_reported(Finding::absent_lane, "not all lanes", bugs::half_a_warp_multiplies);
}

TEST_CASE("planted bug: a warp loads a matrix in two places") {
  is_reported(Finding::absent_lane, "matrices.cu:", bugs::warp_loads_in_two_places);
}

TEST_CASE("planted bug: a matrix is loaded from a misaligned address") {
  is_reported(Finding::trap, "multiple of 32 bytes", bugs::load_misaligned);
}

TEST_CASE("planted bug: a warp loads a matrix that its lanes wrote, without __syncwarp") {
  if (is_checked()) is_reported(Finding::race, "load_without_syncwarp_kernel", bugs::load_without_syncwarp);
}

TEST_CASE("planted bug: a matrix is loaded from past the end") {
  if (is_checked())
    is_reported(Finding::out_of_bounds, "bytes past the end of the 512-byte allocation",
                bugs::load_past_the_end);
}

TEST_CASE("planted bug: a lane reads what its warp stored, without __syncwarp") {
  if (!is_checked()) return;
  is_reported(Finding::race, "read_stored_without_syncwarp_kernel",
              [](const __half*, float* c) { bugs::read_stored_without_syncwarp(c); });
}
