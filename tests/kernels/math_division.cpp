#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

// fmod, remainder and floor_divide of float32 are exact.

using namespace miniparallel;

namespace {

using Values = std::vector<float>;

bool same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}
float remainder_of(float a, float b) {
  const float rest = std::fmod(a, b);
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

void check(const Values& a, const Values& b) {
  const Tensor x = tensor(a), y = tensor(b);
  const Values rests = fmod(x, y).to_vector<float>(), positive = remainder(x, y).to_vector<float>(),
               quotients = floor_divide(x, y).to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i]);
    CAPTURE(b[i]);
    const float rest = remainder_of(a[i], b[i]);
    CHECK(same(rests[i], std::fmod(a[i], b[i])));
    CHECK(same(positive[i], rest));
    const double exact = static_cast<double>(a[i]) / static_cast<double>(b[i]);
    if (std::isfinite(b[i]) && b[i] != 0 && std::abs(exact) < 4e6)
      CHECK(same(quotients[i], static_cast<float>(std::floor(exact))));
  }
}

}  // namespace

TEST_CASE("math: what division leaves is exact") {
  manual_seed(4);
  Values a = (rand({30'000}) * 2 - 1).to_vector<float>(), b = (rand({30'000}) * 2 - 1).to_vector<float>();
  for (std::size_t i = 0; i < a.size(); ++i) {
    const int shift = static_cast<int>(i) % 28;
    if (i % 3 != 0) a[i] = std::ldexp(a[i], shift);
    if (i % 3 == 1) a[i] = b[i] * std::nearbyint(a[i]);  // near a multiple
    if (i % 6 == 1) a[i] = std::nextafter(a[i], 0.f);
    if (i % 7 == 0) {  // subnormal numbers
      a[i] = std::ldexp(a[i], -126);
      b[i] = std::ldexp(b[i], -126);
    }
  }
  check(a, b);
}

TEST_CASE("math: division at the edges, and of numbers that are far apart") {
  const float inf = std::numeric_limits<float>::infinity();
  const Values edges{0,       -0.f,       1,           -1,          inf,   -inf,   std::nanf(""),
                     2,       -3,         0.3f,        -0.3f,       3e38f, -3e38f, 1e-45f,
                     -1e-45f, 16777216.f, 268435456.f, 268435472.f, 1e20f};
  for (const float one : edges) {  // each with itself: blocks of both kinds
    check(Values(edges.size(), one), edges);
    for (const float other : edges) check({one}, {other});
  }
  CHECK(same(floor_divide(tensor({-1.f}), tensor({inf})).item<float>(), -1));
  CHECK(same(floor_divide(tensor({1.f}), tensor({0.f})).item<float>(), inf));
  CHECK(same(floor_divide(tensor({-0.f}), tensor({2.f})).item<float>(), -0.f));
  CHECK(same(floor_divide(tensor({5.f}), tensor({-2.f})).item<float>(), -3));
}
