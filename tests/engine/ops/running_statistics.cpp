#include "engine/ops/running_statistics.h"

#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

struct Collected final : StatisticsSink {
  void add(const RunningStatistics& to, const BatchStatistics& batch) override {
    running.push_back(to);
    batches.push_back(batch);
  }
  std::vector<RunningStatistics> running;
  std::vector<BatchStatistics> batches;
};

TEST_CASE("running statistics: a thread's sink gets them, and the layer's buffers stay") {
  nn::BatchNorm1d norm(3);
  const Tensor x = randn({8, 3});
  Collected sink;
  {
    const StatisticsScope scope(sink);
    norm(x);
    norm(x + 1);
  }
  CHECK(equal(norm.running_mean, zeros({3})));
  CHECK(norm.num_batches_tracked.item<int>() == 0);
  REQUIRE(sink.batches.size() == 2);
  CHECK(sink.running[0].mean.is_same(norm.running_mean));
  CHECK(sink.batches[0].count == 8);
  CHECK(allclose(sink.batches[0].mean, mean(x, {0}), 1e-6, 1e-6));
  CHECK(allclose(sink.batches[0].variance, var(x, {0}, false), 1e-5, 1e-6));

  nn::BatchNorm1d plain(3);
  plain(x);
  update(sink.running[0], sink.batches[0]);
  CHECK(equal(norm.running_mean, plain.running_mean));
  CHECK(equal(norm.running_var, plain.running_var));
  CHECK(norm.num_batches_tracked.item<int>() == 1);
}

TEST_CASE("running statistics: evaluation and layers without running statistics hand nothing over") {
  Collected sink;
  const StatisticsScope scope(sink);
  nn::BatchNorm1d norm(3), untracked(3, {.track_running_stats = false});
  eval(norm);
  norm(randn({8, 3}));
  untracked(randn({8, 3}));
  CHECK(sink.batches.empty());
}

TEST_CASE("running statistics: without a momentum they are the plain average of all batches") {
  nn::BatchNorm1d norm(2, {.momentum = std::nullopt});
  Tensor mean_sum = zeros({2}), var_sum = zeros({2});
  for (int i = 1; i <= 4; ++i) {
    const Tensor x = randn({16, 2}) + i;
    norm(x);
    mean_sum.add_(mean(x, {0}));
    var_sum.add_(var(x, {0}));
    CHECK(allclose(norm.running_mean, mean_sum / i, 1e-5, 1e-6));
    CHECK(allclose(norm.running_var, var_sum / i, 1e-5, 1e-6));
  }
  CHECK(norm.num_batches_tracked.item<int>() == 4);
}

}  // namespace
}  // namespace miniparallel
