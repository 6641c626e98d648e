#include <miniparallel/parallel/scatter.h>

#include <miniparallel/miniparallel.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <tuple>

// scatter: each device gets its rows of whatever a batch is made of.

namespace miniparallel {
namespace {

using parallel::scatter;
using testing::on_machine;
using testing::on_machines;

struct Batch {
  Tensor x;
  std::vector<Tensor> pair;
  std::map<std::string, std::optional<Tensor>> by_name;
  std::unique_ptr<Tensor> held;
  double scale = 0;
  std::string name;
};

Batch batch_of(std::int64_t rows) {
  Batch batch;
  batch.x = arange(rows);
  batch.scale = 0.5;
  batch.name = "first";
  batch.pair = {arange(2 * rows).view({rows, 2}), zeros({rows, 3, 1})};
  batch.by_name["here"] = arange(rows) * 10;
  batch.by_name["none"] = std::nullopt;
  batch.held = std::make_unique<Tensor>(ones({rows}));
  return batch;
}

TEST_CASE("scatter: divides containers and structs, and keeps their types") {
  on_machines([](const std::vector<Device>& devices) {
    const std::vector<Batch> chunks = scatter(batch_of(10), devices);
    const std::vector<std::int64_t> sizes = chunk_sizes(10, static_cast<int>(devices.size()));
    REQUIRE(chunks.size() == sizes.size());
    std::int64_t begin = 0;
    for (std::size_t i = 0; i < chunks.size(); begin += sizes[i++]) {
      const Batch& chunk = chunks[i];
      const Tensor rows = arange(begin, begin + sizes[i]);
      CHECK(chunk.x.device() == devices[i]);
      CHECK(chunk.held->device() == devices[i]);
      CHECK(equal(chunk.x.cpu(), rows));
      CHECK(equal(chunk.pair[0].cpu().select(1, 0), rows * 2));
      CHECK(chunk.pair[1].shape() == Shape{sizes[i], 3, 1});
      CHECK(equal(chunk.by_name.at("here")->cpu(), rows * 10));
      CHECK_FALSE(chunk.by_name.at("none").has_value());
      CHECK(chunk.held->shape() == Shape{sizes[i]});
      CHECK(chunk.scale == 0.5);
      CHECK(chunk.name == "first");
    }
  });
}

TEST_CASE("scatter: gradients come back to the batch, those of what is sent whole are summed") {
  on_machines([](const std::vector<Device>& devices) {
    const Tensor x = arange(22).to(float64).view({11, 2}).requires_grad_();
    const Tensor scale = full({2}, 3.0, {.dtype = float64}).requires_grad_();
    Tensor total = zeros({}, {.dtype = float64});
    for (const auto& [rows, whole] : scatter(std::tuple(x, replicated(scale)), devices))
      total = total + (rows * whole.value * rows).sum().cpu();
    total.backward();
    CHECK(equal(x.grad(), x.detach() * 6));
    CHECK(equal(scale.grad(), square(x.detach()).sum({0})));
  });
}

TEST_CASE("scatter: is differentiable twice") {
  on_machine(3, [](const std::vector<Device>& devices) {
    const Tensor x = arange(5).to(float64).requires_grad_();
    Tensor total = zeros({}, {.dtype = float64});
    for (const Tensor& rows : scatter(x, devices)) total = total + pow(rows, 3).sum().cpu();
    const Tensor slope = autograd::grad({total}, {x}, {.create_graph = true})[0];
    CHECK(equal(slope, square(x.detach()) * 3));
    slope.sum().backward();
    CHECK(equal(x.grad(), x.detach() * 6));
    x.set_grad({});
  });
}

TEST_CASE("scatter: other dimensions and splits") {
  on_machine(4, [](const std::vector<Device>& devices) {
    const Tensor x = arange(20).view({2, 10});
    const auto sizes = [&](const parallel::ScatterOptions& options) {
      std::vector<std::int64_t> columns;
      for (const Tensor& chunk : scatter(x, devices, options)) columns.push_back(chunk.size(1));
      return columns;
    };
    using Sizes = std::vector<std::int64_t>;
    CHECK(sizes({.dim = 1}) == Sizes{3, 3, 2, 2});
    CHECK(sizes({.dim = -1, .split = Split::torch_chunk}) == Sizes{3, 3, 3, 1});
    CHECK(sizes({.dim = 1, .min_rows = 5}) == Sizes{5, 5});
    const std::vector<Tensor> chosen = scatter(x, devices, {.dim = 1, .split = Split::sizes({4, 0, 6})});
    REQUIRE(chosen.size() == 2);
    CHECK(chosen[1].device() == devices[2]);
    CHECK(equal(chosen[1].cpu(), x.narrow(1, 4, 6)));
  });
}

TEST_CASE("scatter: rows that are on their device already are views") {
  on_machine(3, [](const std::vector<Device>& devices) {
    const Tensor x = zeros({6, 2}, {.device = devices[0]});
    const std::vector<Tensor> chunks = scatter(x, devices);
    chunks[0].narrow(0, 0, 2).fill_(1);
    CHECK(x.sum().item() == 4);
  });
}

TEST_CASE("scatter: a batch without tensors, or of tensors sent whole, goes to every device") {
  on_machine(3, [](const std::vector<Device>& devices) {
    CHECK(scatter(std::tuple(1, 2.5), devices) == std::vector(3, std::tuple(1, 2.5)));
    const auto chunks = scatter(replicated(std::vector{zeros({2}), ones({})}), devices);
    REQUIRE(chunks.size() == 3);
    CHECK(chunks[2].value[0].device() == devices[2]);
    CHECK(chunks[2].value[1].item() == 1);
    const std::vector<Tensor> empty = scatter(zeros({0, 2}), devices);
    REQUIRE(empty.size() == 1);
    CHECK(empty[0].shape() == Shape{0, 2});
  });
}

TEST_CASE("scatter: errors name the place in the batch") {
  on_machine(2, [](const std::vector<Device>& devices) {
    CHECK_THROWS_WITH_AS(
        scatter(std::tuple(zeros({6}), std::vector{zeros({6}), zeros({5})}), devices),
        "scatter: batch[1][1] has 5 rows in dim 0, batch[0] has 6; give all the same number, or wrap it in "
        "replicated(t) to send it whole",
        Error);
    CHECK_THROWS_WITH_AS(
        scatter(zeros({}), devices),
        "scatter: batch is a tensor without dimensions, which has no rows; wrap it in replicated(t) to send "
        "it whole",
        Error);
    CHECK_THROWS_WITH_AS(
        scatter(zeros({4}), devices, {.dim = 1}),
        "scatter: batch has shape [4], without the dimension 1 along which batches are divided; wrap it in "
        "replicated(t) to send it whole",
        Error);
    CHECK_THROWS_WITH_AS(
        scatter(zeros({4}), std::vector<Device>{}),
        "scatter: the list of devices is empty; name at least one, or leave it out for all GPUs", Error);
  });
}

}  // namespace
}  // namespace miniparallel
