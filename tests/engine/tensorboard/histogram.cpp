#include "engine/tensorboard/histogram.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace miniparallel::tensorboard {
namespace {

TEST_CASE("histogram: every finite value is in the bucket whose limits enclose it") {
  const double infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {-3, -1e-30, 0,         1e-30,    0.5,         0.5,
                                      7,  1e30,   -infinity, infinity, std::nan("")};
  const Histogram h = make_histogram(values);
  CHECK(h.min == -3);
  CHECK(h.max == 1e30);
  CHECK(h.count == 8);
  CHECK(h.sum == doctest::Approx(1e30));
  CHECK(h.sum_squares == doctest::Approx(1e60));
  REQUIRE(h.limits.size() == h.counts.size());
  CHECK(h.counts.front() == 0);
  CHECK(h.counts.back() == 1);
  for (std::size_t i = 1; i < h.limits.size(); ++i) {
    CHECK(h.limits[i - 1] < h.limits[i]);
    const auto within = std::ranges::count_if(
        values, [&](double value) { return h.limits[i - 1] < value && value <= h.limits[i]; });
    CHECK(h.counts[i] == static_cast<double>(within));
  }
  CHECK(std::accumulate(h.counts.begin(), h.counts.end(), 0.0) == 8);
}

TEST_CASE("histogram: one value, and none that is finite") {
  const Histogram one = make_histogram(std::vector{2.0});
  REQUIRE(one.limits.size() == 2);
  CHECK(one.limits[0] < 2);
  CHECK(one.limits[1] >= 2);
  CHECK(one.limits[1] / one.limits[0] == doctest::Approx(1.1));
  CHECK(one.counts == std::vector<double>{0, 1});
  const Histogram none = make_histogram(std::vector{std::nan("")});
  CHECK(none.count == 0);
  CHECK(none.min == 0);
  CHECK(none.limits.size() == none.counts.size());
}

}  // namespace
}  // namespace miniparallel::tensorboard
