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
  update({{{sink.running[0], sink.batches[0]}}});
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

TEST_CASE("running statistics: the parts of a batch, of several layers at once, count as the whole") {
  for (const DType dtype : {float32, float64}) {
    CAPTURE(dtype);
    const double tolerance = dtype == float32 ? 1e-6 : 1e-13;
    const std::vector<Tensor> inputs{randn({10, 3}, {.dtype = dtype}) + 2,
                                     randn({10, 70}, {.dtype = dtype}) * 3};
    nn::BatchNorm1d small(3, {.momentum = 0.3}), large(70, {.momentum = std::nullopt});
    nn::BatchNorm1d small_whole = clone(small), large_whole = clone(large);
    for (nn::BatchNorm1d* const norm : {&small, &large, &small_whole, &large_whole}) to(*norm, dtype);
    const std::vector<std::int64_t> sizes{4, 1, 5};
    const BatchParts parts{{0.4, 0.1, 0.5}, 2 * 73};
    const Tensor all = zeros({3, 2 * 73}, {.dtype = dtype});  // a row per part: means, then variances
    std::vector<StatisticsUpdate> updates;
    std::int64_t first = 0;
    for (std::size_t layer = 0; layer < 2; ++layer) {
      const std::int64_t channels = inputs[layer].size(1);
      Tensor means = all.narrow(1, first, channels), variances = all.narrow(1, 73 + first, channels);
      std::int64_t row = 0;
      for (std::int64_t part = 0; part < 3; ++part) {
        const Tensor rows = inputs[layer].narrow(0, row, sizes[static_cast<std::size_t>(part)]);
        means[part].copy_(mean(rows, {0}));
        variances[part].copy_(var(rows, {0}, false));
        row += rows.size(0);
      }
      const nn::BatchNorm1d& norm = layer == 0 ? small : large;
      updates.push_back(
          {{norm.running_mean, norm.running_var, norm.num_batches_tracked, norm.options.momentum},
           {means[0], variances[0], 10}});
      first += channels;
    }
    for (int step = 1; step <= 3; ++step) {
      update(updates, parts);
      small_whole(inputs[0]);
      large_whole(inputs[1]);
      CHECK(allclose(small.running_mean, small_whole.running_mean, tolerance, tolerance));
      CHECK(allclose(small.running_var, small_whole.running_var, tolerance, tolerance));
      CHECK(allclose(large.running_mean, large_whole.running_mean, tolerance, tolerance));
      CHECK(allclose(large.running_var, large_whole.running_var, tolerance, tolerance));
      CHECK(small.num_batches_tracked.item<int>() == step);
      CHECK(large.num_batches_tracked.item<int>() == step);
    }
  }
}

TEST_CASE("running statistics: buffers whose elements do not follow one another") {
  const Tensor both = zeros({3, 2}), x = randn({8, 3});
  nn::BatchNorm1d norm(3);
  norm(x);
  norm.running_var.fill_(1);
  const std::uint32_t version = both.version();
  batch_norm(x, {}, {}, both.select(1, 0), both.select(1, 1), {.training = true});
  CHECK(equal(both.select(1, 0), norm.running_mean));
  CHECK(both.version() > version);
}

TEST_CASE("running statistics: errors") {
  nn::BatchNorm1d norm(3, {.momentum = std::nullopt});
  norm.num_batches_tracked = nn::Buffer(zeros({}, {.dtype = int32}));
  CHECK_THROWS_WITH_AS(norm(randn({4, 3})), "batch_norm: num_batches_tracked is int32; it must be int64",
                       Error);
  norm.num_batches_tracked = nn::Buffer();
  CHECK_THROWS_WITH_AS(
      norm(randn({4, 3})),
      "batch_norm: without a momentum num_batches_tracked is undefined; it must be an int64 tensor", Error);
}

}  // namespace
}  // namespace miniparallel
