#include <miniparallel/miniparallel.h>

#include "engine/random/generator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <numeric>

namespace miniparallel {
namespace {

struct Moments {
  double mean = 0, variance = 0, kurtosis = 0;
};

Moments moments(const Tensor& x) {
  const std::vector<double> values = x.to_vector<double>();
  const double n = static_cast<double>(values.size());
  Moments m;
  for (const double v : values) m.mean += v / n;
  double fourth = 0;
  for (const double v : values) {
    const double square = (v - m.mean) * (v - m.mean);
    m.variance += square / n;
    fourth += square * square / n;
  }
  m.kurtosis = fourth / (m.variance * m.variance);
  return m;
}

TEST_CASE("random: rand is word i of Philox's stream for (seed, ordinal)") {
  manual_seed(0x1234567890abcdef);
  (void)rand({3});  // ordinal 0
  const std::vector<float> single = rand({2003}).to_vector<float>();
  const std::vector<double> wide = rand({1001}, {.dtype = float64}).to_vector<double>();
  for (std::uint64_t i = 0; i < single.size(); ++i) {
    const std::uint32_t word = kernels::philox(0x1234567890abcdef, i / 4, 1).word[i % 4];
    REQUIRE(single[i] == static_cast<float>(word >> 8) * 0x1p-24f);
  }
  for (std::uint64_t i = 0; i < wide.size(); ++i) {
    const kernels::PhiloxBlock block = kernels::philox(0x1234567890abcdef, i / 2, 2);
    const std::uint64_t bits =
        static_cast<std::uint64_t>(block.word[i % 2 * 2]) << 32 | block.word[i % 2 * 2 + 1];
    REQUIRE(wide[i] == static_cast<double>(bits >> 11) * 0x1p-53);
  }
}

TEST_CASE("random: a state that is set again gives the same numbers") {
  manual_seed(7);
  const Tensor first = randn({10});
  const RandomState state = random_state();
  CHECK(state == RandomState{.seed = 7, .ordinal = 1});
  const Tensor second = randn({10});
  CHECK_FALSE(equal(first, second));
  set_random_state(state);
  CHECK(equal(randn({10}), second));
  manual_seed(7);
  CHECK(equal(randn({10}), first));
  manual_seed(8);
  CHECK_FALSE(equal(randn({10}), first));
}

TEST_CASE("random: the numbers do not depend on the number of threads or on what follows them") {
  const int threads = num_threads();
  const auto draw = [](int count, std::int64_t n) {
    set_num_threads(count);
    manual_seed(11);
    return std::vector<Tensor>{rand({n}), randn({n}), randn({n}, {.dtype = float64}), randint(-5, 1000, {n}),
                               dropout(ones({n}), 0.3)};
  };
  const std::vector<Tensor> one = draw(1, 100'003), three = draw(3, 100'003), shorter = draw(2, 70'001);
  for (std::size_t i = 0; i < one.size(); ++i) {
    CHECK(equal(one[i], three[i]));
    CHECK(equal(one[i].narrow(0, 0, 70'001), shorter[i]));
  }
  set_num_threads(threads);
}

TEST_CASE("random: moments of the distributions") {
  manual_seed(1);
  const std::int64_t n = 1'000'000;  // standard error of a mean: 0.001 standard deviations
  for (const DType dtype : {float32, float64}) {
    const Moments uniform = moments(rand({n}, {.dtype = dtype}));
    CHECK(uniform.mean == doctest::Approx(0.5).epsilon(0.003));
    CHECK(uniform.variance == doctest::Approx(1.0 / 12).epsilon(0.005));
    const Moments normal = moments(randn({n}, {.dtype = dtype}));
    CHECK(std::abs(normal.mean) < 0.004);
    CHECK(normal.variance == doctest::Approx(1).epsilon(0.006));
    CHECK(normal.kurtosis == doctest::Approx(3).epsilon(0.02));
    Tensor scaled = empty({n}, {.dtype = dtype});
    CHECK(moments(scaled.uniform_(-3, 5)).mean == doctest::Approx(1).epsilon(0.01));
    CHECK(moments(scaled.normal_(2, 0.5)).variance == doctest::Approx(0.25).epsilon(0.006));
  }
  const std::vector<float> z = randn({n}).to_vector<float>();
  const auto beyond = [&](float bound) {
    return static_cast<double>(std::count_if(z.begin(), z.end(), [=](float v) { return v > bound; })) / n;
  };
  CHECK(beyond(1) == doctest::Approx(0.158655).epsilon(0.01));
  CHECK(beyond(3) == doctest::Approx(0.0013499).epsilon(0.1));
  CHECK(*std::max_element(z.begin(), z.end()) < 7);
}

TEST_CASE("random: randint covers its range evenly") {
  manual_seed(3);
  const std::vector<std::int64_t> values = randint(-2, 5, {70'000}).to_vector<std::int64_t>();
  std::array<int, 7> counts{};
  for (const std::int64_t v : values) {
    REQUIRE(v >= -2);
    REQUIRE(v < 5);
    ++counts[static_cast<std::size_t>(v + 2)];
  }
  for (const int count : counts) CHECK(std::abs(count - 10'000) < 400);  // four standard deviations
  CHECK(randint(0, 10, {4}).dtype() == int64);
  CHECK(randint(0, 10, {4}, {.dtype = float32}).dtype() == float32);
  const std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = -(low + 1);
  const std::vector<std::int64_t> wide = randint(low, high, {1000}).to_vector<std::int64_t>();
  const auto negative = std::count_if(wide.begin(), wide.end(), [](std::int64_t v) { return v < 0; });
  CHECK(std::abs(negative - 500) < 80);
}

TEST_CASE("random: randperm is a permutation, and every place gets every number") {
  manual_seed(5);
  std::vector<std::int64_t> order = randperm(1000).to_vector<std::int64_t>();
  CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  for (std::int64_t i = 0; i < 1000; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
  int counts[3][3] = {};
  for (int trial = 0; trial < 6000; ++trial) {
    const std::vector<std::int64_t> three = randperm(3).to_vector<std::int64_t>();
    for (std::size_t i = 0; i < 3; ++i) ++counts[i][three[i]];
  }
  for (const auto& row : counts)
    for (const int count : row) CHECK(std::abs(count - 2000) < 150);
  CHECK(randperm(8, {.dtype = float32}).dtype() == float32);
  CHECK(randperm(0).numel() == 0);
  CHECK(randperm(1).item<int>() == 0);
}

TEST_CASE("random: every order of four is as likely in randperm") {
  manual_seed(5);
  std::map<std::vector<int>, int> counts;
  for (int trial = 0; trial < 24'000; ++trial) ++counts[randperm(4).to_vector<int>()];
  CHECK(counts.size() == 24);
  double chi_square = 0;  // of 23 degrees of freedom
  for (const auto& [order, count] : counts) chi_square += (count - 1000.0) * (count - 1000.0) / 1000;
  CHECK(chi_square < 23 + 4 * std::sqrt(2 * 23.0));
}

TEST_CASE("random: half of randperm's orders are odd, also of a power of two") {
  manual_seed(5);
  int odd = 0;
  for (int trial = 0; trial < 400; ++trial) {
    const std::vector<int> order = randperm(256).to_vector<int>();
    bool is_odd = false;
    for (std::size_t i = 0; i < 256; ++i)
      for (std::size_t j = i + 1; j < 256; ++j) is_odd ^= order[i] > order[j];
    odd += is_odd ? 1 : 0;
  }
  CHECK(std::abs(odd - 200) < 40);  // four standard deviations
}

TEST_CASE("random: replicas draw permutations of their own") {
  manual_seed(5);
  const RandomState start = random_state();
  const Tensor whole = randperm(100);
  std::vector<Tensor> parts;
  for (const std::int64_t first : {0, 1, 2}) {
    const RowRandomScope scope(start, first, 1);
    parts.push_back(randperm(100));
  }
  CHECK(equal(parts[0], whole));
  CHECK_FALSE(equal(parts[1], whole));
  CHECK_FALSE(equal(parts[2], whole));
  CHECK_FALSE(equal(parts[1], parts[2]));
}

TEST_CASE("random: rows drawn apart are the rows of the whole batch") {
  manual_seed(9);
  const RandomState start = random_state();
  const auto draw = [](std::int64_t rows) {
    return std::vector<Tensor>{rand({rows, 5}), randn({rows, 3}), randn({rows, 3}, {.dtype = float64}),
                               dropout(ones({rows * 2, 7}), 0.5)};
  };
  const std::vector<Tensor> whole = draw(10);
  std::int64_t first = 0;
  for (const std::int64_t rows : {3, 1, 6}) {
    const RowRandomScope scope(start, first, rows);
    const std::vector<Tensor> part = draw(rows);
    for (std::size_t i = 0; i < 3; ++i) CHECK(equal(part[i], whole[i].narrow(0, first, rows)));
    CHECK(equal(part[3], whole[3].narrow(0, 2 * first, 2 * rows)));
    CHECK(scope.state().ordinal == start.ordinal + 4);
    first += rows;
  }
  CHECK(random_state().ordinal == start.ordinal + 4);  // the scopes had their own
}

TEST_CASE("random: where the batch is not outermost, row ranges get streams of their own") {
  manual_seed(9);
  const RandomState start = random_state();
  std::vector<Tensor> draws{rand({7})};
  for (const std::int64_t first : {0, 2}) {
    const RowRandomScope scope(start, first, 2);
    draws.push_back(rand({7}));
  }
  CHECK_FALSE(equal(draws[0], draws[1]));
  CHECK_FALSE(equal(draws[1], draws[2]));
}

TEST_CASE("random: uniform_ and normal_ write through views, and not into leaves that require grad") {
  Tensor base = zeros({4, 6});
  base.transpose(0, 1).slice(0, 0, 6, 2).uniform_(1, 2);
  const Tensor columns = base.slice(1, 0, 6, 2);
  CHECK(amin(columns).item() >= 1);
  CHECK(sum(abs(base.slice(1, 1, 6, 2))).item() == 0);
  Tensor leaf = zeros({3}, {.requires_grad = true});
  CHECK_THROWS_AS(leaf.normal_(), Error);
  const NoGradGuard guard;
  CHECK_NOTHROW(leaf.normal_());
}

TEST_CASE("dropout: mask, scale and gradient") {
  manual_seed(2);
  Tensor x = ones({1000, 100}, {.requires_grad = true});
  const Tensor y = dropout(x, 0.25);
  const std::vector<float> values = y.to_vector<float>();
  const auto zeros_count = std::count(values.begin(), values.end(), 0.f);
  CHECK(std::abs(static_cast<double>(zeros_count) - 25'000) < 600);
  const auto kept = std::count(values.begin(), values.end(), static_cast<float>(1 / 0.75));
  CHECK(kept + zeros_count == 100'000);
  sum(y).backward();
  CHECK(equal(x.grad(), y));  // of ones: the mask itself
  sum(dropout(x, 0.5)).backward();
  CHECK_FALSE(equal(x.grad(), y));  // accumulated
  CHECK(dropout(x, 0.5, false).is_same(x));
  CHECK(dropout(x, 0).is_same(x));
  CHECK(sum(abs(dropout(x, 1))).item() == 0);
  CHECK(dropout(zeros({0, 3}), 0.5).numel() == 0);
}

TEST_CASE("dropout: first and second derivatives") {
  const auto function = [](const std::vector<Tensor>& in) {
    manual_seed(4);
    const Tensor y = dropout(in[0], 0.4);
    return y * y * in[0];
  };
  const std::vector<Tensor> inputs{randn({5, 7}, {.dtype = float64, .requires_grad = true})};
  CHECK(autograd::gradcheck(function, inputs) == "");
  CHECK(autograd::gradgradcheck(function, inputs) == "");
}

TEST_CASE("dropout2d: channels go as a whole, the others are scaled") {
  for (const Shape& shape : {Shape{50, 20, 3, 2}, Shape{50, 20, 6}}) {
    manual_seed(9);
    const Tensor y = dropout2d(ones(shape), 0.25).view({50, 20, 6}), kept = amax(y, {2});
    CHECK(equal(y, kept.unsqueeze(2).expand(y.shape())));
    CHECK(allclose(kept * (kept - 1 / 0.75), zeros_like(kept)));
    CHECK(mean(kept).item() == doctest::Approx(1).epsilon(0.05));
  }
}

TEST_CASE("bernoulli: 0 and 1 in the shares asked for") {
  manual_seed(3);
  const Tensor p = tensor({0.0, 0.1, 0.5, 1.0}), trials = bernoulli(p.expand({40'000, 4}));
  CHECK(trials.dtype() == float32);
  const std::vector<double> shares = mean(trials, {0}).to_vector<double>();
  CHECK(shares[0] == 0);
  CHECK(shares[1] == doctest::Approx(0.1).epsilon(0.06));
  CHECK(shares[2] == doctest::Approx(0.5).epsilon(0.02));
  CHECK(shares[3] == 1);
  CHECK(equal(trials, trials * trials));
  const Tensor x = zeros({40'000}, int64);
  CHECK(mean(bernoulli(x, 0.3).to(float32)).item() == doctest::Approx(0.3).epsilon(0.04));
  CHECK(sum(x).item() == 0);
  CHECK(sum(zeros({7}, boolean).bernoulli_(1)).item() == 7);
  CHECK(equal(zeros({2, 4}).bernoulli_(tensor({0.0, 1.0, 1.0, 0.0})),
              tensor({{0., 1., 1., 0.}, {0., 1., 1., 0.}})));
  CHECK(bernoulli(zeros({0, 3})).shape() == Shape{0, 3});
}

/// How often each of the classes was drawn, as a share.
std::vector<double> shares_of(const Tensor& drawn, std::int64_t classes) {
  return mean(one_hot(drawn.flatten(), classes).to(float64), {0}).to_vector<double>();
}

TEST_CASE("multinomial: with replacement each class comes by its weight, row by row") {
  manual_seed(6);
  const Tensor weights = tensor({{1.0, 0.0, 3.0, 4.0}, {0.0, 5.0, 0.0, 0.0}});
  const Tensor drawn = multinomial(weights, 40'000, true);
  CHECK(drawn.shape() == Shape{2, 40'000});
  CHECK(drawn.dtype() == int64);
  const std::vector<double> shares = shares_of(drawn[0], 4);
  CHECK(shares[0] == doctest::Approx(0.125).epsilon(0.04));
  CHECK(shares[1] == 0);
  CHECK(shares[2] == doctest::Approx(0.375).epsilon(0.02));
  CHECK(shares[3] == doctest::Approx(0.5).epsilon(0.02));
  CHECK(equal(drawn[1], ones({40'000}, int64)));
}

TEST_CASE("multinomial: without replacement no class comes twice, and the first by its weight") {
  manual_seed(7);
  const Tensor drawn = multinomial(tensor({1.0, 0.0, 3.0, 4.0}).expand({30'000, 4}), 3);
  CHECK(equal(sort(drawn, 1).values, tensor({0, 2, 3}).expand({30'000, 3})));
  const std::vector<double> first = shares_of(drawn.select(1, 0), 4),
                            second = shares_of(drawn.select(1, 1), 4);
  CHECK(first[0] == doctest::Approx(0.125).epsilon(0.05));
  CHECK(first[3] == doctest::Approx(0.5).epsilon(0.03));
  // After 2, whose share is 3 / 8, it is 0 with 1 / 5; after 3 with 1 / 4.
  CHECK(second[0] == doctest::Approx(0.375 / 5 + 0.5 / 4).epsilon(0.04));
  CHECK(multinomial(tensor({0.0, 2.0}), 1).item() == 1);
}

TEST_CASE("bernoulli, multinomial: what has no probability is an error") {
  CHECK_THROWS_WITH_AS(bernoulli(tensor({0.5, 1.5})),
                       "bernoulli: got probabilities from 0.5 to 1.5; they must be in [0, 1]", Error);
  CHECK_THROWS_WITH_AS(bernoulli(ones({2}, int64)),
                       "bernoulli: got probabilities of dtype int64; convert them to a floating one", Error);
  CHECK_THROWS_WITH_AS(zeros({2}).bernoulli_(-1), "bernoulli_: got the probability -1; it must be in [0, 1]",
                       Error);
  CHECK_THROWS_WITH_AS(zeros({2}).bernoulli_(ones({3, 2})),
                       "bernoulli_: probabilities of shape [3, 2] do not broadcast to [2]; reshape them",
                       Error);
  CHECK_THROWS_WITH_AS(multinomial(tensor({1.0, -1.0}), 1),
                       "multinomial: a weight is negative, infinite or NaN; each must be a number that is at "
                       "least 0",
                       Error);
  CHECK_THROWS_WITH_AS(
      multinomial(tensor({1.0, 0.0}), 2),
      "multinomial: a row of shape [2] has 1 weights above 0 for 2 samples; there must be as "
      "many, or draw with replacement",
      Error);
  CHECK_THROWS_WITH_AS(multinomial(zeros({2, 3}), 2, true),
                       "multinomial: a row of shape [2, 3] has 0 weights above 0 for 2 samples; it needs one",
                       Error);
  CHECK_THROWS_WITH_AS(
      multinomial(ones({3}), 4),
      "multinomial: got 4 samples of 3 classes; there must be at least 1, without replacement "
      "at most 3",
      Error);
  CHECK_THROWS_WITH_AS(
      dropout2d(ones({2, 3})),
      "dropout2d: got shape [2, 3]; it must be (n, channels, height, width) or (n, channels, "
      "length)",
      Error);
}

TEST_CASE("random: errors name the op and the remedy") {
  CHECK_THROWS_WITH_AS(randint(3, 3, {2}), doctest::Contains("randint"), Error);
  CHECK_THROWS_WITH_AS(rand({2}, {.dtype = int64}), doctest::Contains("int64"), Error);
  CHECK_THROWS_WITH_AS(randperm(-1), doctest::Contains("randperm"), Error);
  CHECK_THROWS_WITH_AS(zeros({2}).uniform_(2, 1), doctest::Contains("uniform_"), Error);
  CHECK_THROWS_WITH_AS(zeros({2}).normal_(0, -1), doctest::Contains("normal_"), Error);
  CHECK_THROWS_WITH_AS(dropout(zeros({2}), 1.5), doctest::Contains("[0, 1]"), Error);
  CHECK_THROWS_WITH_AS(dropout(randint(0, 2, {2}), 0.5), doctest::Contains("dropout"), Error);
}

}  // namespace
}  // namespace miniparallel
