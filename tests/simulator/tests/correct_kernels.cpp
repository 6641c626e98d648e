// Correct kernels compute what they should, and nothing is reported, in every mode.

#include "kernels/correct.h"
#include "modes.h"

#include <cmath>
#include <numeric>

using namespace simulator_tests;

namespace {

std::vector<float> ramp(int n, int period) {
  std::vector<float> values(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) values[static_cast<std::size_t>(i)] = static_cast<float>(i % period);
  return values;
}

float sum(const std::vector<float>& values) { return std::accumulate(values.begin(), values.end(), 0.0f); }

}  // namespace

TEST_CASE("correct kernel: transpose") {
  const int rows = 37, columns = 50;
  const auto values = ramp(rows * columns, 1 << 20);
  in_every_mode(1, [&] {
    const DeviceBuffer<float> in(values), out(values.size());
    transpose(in.data(), out.data(), rows, columns);
    const auto result = out.download();
    for (int r = 0; r < rows; ++r) {
      for (int c = 0; c < columns; ++c) {
        REQUIRE(result[static_cast<std::size_t>(c * rows + r)] == static_cast<float>(r * columns + c));
      }
    }
  });
}

TEST_CASE("correct kernel: scan") {
  const std::vector<int> values(128, 3);
  in_every_mode(1, [&] {
    const DeviceBuffer<int> in(values), out(values.size());
    scan(in.data(), out.data(), 128);
    const auto result = out.download();
    for (int i = 0; i < 128; ++i) REQUIRE(result[static_cast<std::size_t>(i)] == 3 * (i + 1));
  });
}

TEST_CASE("correct kernel: sum by shuffles") {
  const auto values = ramp(1000, 7);
  in_every_mode(1, [&] {
    const DeviceBuffer<float> in(values), out(std::vector<float>{0});
    shuffle_sum(in.data(), out.data(), 1000);
    CHECK(out.download()[0] == sum(values));
  });
}

TEST_CASE("correct kernel: histogram") {
  std::vector<unsigned char> values(1000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<unsigned char>(i * i % 64);
  std::vector<unsigned> wanted(64);
  for (const auto value : values) ++wanted[value];
  in_every_mode(1, [&] {
    const DeviceBuffer<unsigned char> in(values);
    const DeviceBuffer<unsigned> counts(std::vector<unsigned>(64, 0));
    histogram(in.data(), counts.data(), 1000);
    CHECK(counts.download() == wanted);
  });
}

TEST_CASE("correct kernel: tiled matmul") {
  const auto a = ramp(32 * 32, 5), b = ramp(32 * 32, 3);
  in_every_mode(1, [&] {
    const DeviceBuffer<float> left(a), right(b), out(a.size());
    matmul(left.data(), right.data(), out.data(), 32);
    const auto result = out.download();
    for (std::size_t r = 0; r < 32; ++r) {
      for (std::size_t c = 0; c < 32; ++c) {
        float wanted = 0;
        for (std::size_t k = 0; k < 32; ++k) wanted += a[r * 32 + k] * b[k * 32 + c];
        REQUIRE(result[r * 32 + c] == wanted);
      }
    }
  });
}

TEST_CASE("correct kernel: softmax") {
  const auto values = ramp(7 * 64, 11);
  in_every_mode(1, [&] {
    const DeviceBuffer<float> in(values), out(values.size());
    softmax(in.data(), out.data(), 7);
    const auto result = out.download();
    for (std::size_t row = 0; row < 7; ++row) {
      float total = 0;
      for (std::size_t i = 0; i < 64; ++i) total += result[row * 64 + i];
      CHECK(total == doctest::Approx(1));
    }
    CHECK(result[1] / result[0] == doctest::Approx(std::exp(1.0f)));
  });
}

TEST_CASE("correct kernel: sum in one launch by fence and ticket") {
  const auto values = ramp(1000, 9);
  in_every_mode(1, [&] {
    const DeviceBuffer<float> in(values), partial(8), out(1);
    const DeviceBuffer<unsigned> ticket(std::vector<unsigned>{0});
    for (int run = 0; run < 2; ++run) fence_sum(in.data(), partial.data(), ticket.data(), out.data(), 1000);
    CHECK(out.download()[0] == sum(values));
  });
}

TEST_CASE("correct kernel: cooperative copy") {
  const auto values = ramp(512, 1 << 20);
  in_every_mode(1, [&] {
    const DeviceBuffer<float> in(values), out(values.size());
    cooperative_copy(in.data(), out.data(), 512);
    const auto result = out.download();
    for (std::size_t i = 0; i < 512; ++i) REQUIRE(result[i] == values[i / 256 * 256 + 255 - i % 256]);
  });
}
