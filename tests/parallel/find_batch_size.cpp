#include <miniparallel/parallel/find_batch_size.h>

#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>

// Where memory does not end first, and what a search leaves as it was. (simulated/find_batch_size.cpp has
// GPUs with little memory.)

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::on_machines;

std::int64_t distinct(const std::vector<Device>& devices) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < devices.size(); ++i)
    count += std::find(devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(i), devices[i]) ==
             devices.begin() + static_cast<std::ptrdiff_t>(i);
  return count;
}

TEST_CASE("find_batch_size: goes up to the largest batch that is asked for") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel model{testing::Mlp{}, {.devices = devices}};
    const std::tuple sample(randn({3, 6}), randint(0, 4, {3}));
    const BatchSize found = find_batch_size(model, sample, cross_entropy, {.max_batch_size = 200});
    const std::int64_t count = distinct(devices);
    CHECK(found.total == found.per_device * count);
    CHECK(found.total <= 200);
    CHECK(2 * found.total > 200);
    CHECK((found.per_device & (found.per_device - 1)) == 0);
  });
}

struct Everything {
  nn::Linear fc{6, 4};
  nn::BatchNorm1d norm{4};
  nn::Dropout drop{0.5};
  std::map<std::string, int> seen = {{"rows", 0}};
  Tensor operator()(const Tensor& x, const Tensor& scale) { return drop(norm(fc(x) * scale)); }
};

TEST_CASE("find_batch_size: leaves model, gradients, statistics and random numbers as they were") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Everything{}, {.devices = devices}};
    const Tensor x = randn({8, 6}), scale = ones({4});
    model(x, replicated(scale)).sum().backward();
    model.eval();
    const StateDict state = model.state_dict();
    std::map<std::string, Tensor> values;
    for (const auto& [name, tensor] : state) values.emplace(name, tensor.clone());
    const Tensor gradient = model->fc.weight.grad().clone();
    const auto sample = std::tuple(x, replicated(scale), randn({8, 4}));
    const RandomState random = random_state();
    CHECK(find_batch_size(model, sample, mse_loss, {.max_batch_size = 64}).total >= 32);
    CHECK(random_state() == random);
    for (const auto& [name, tensor] : model.state_dict()) CHECK(equal(tensor, values.at(name)));
    CHECK(equal(model->fc.weight.grad(), gradient));
    CHECK_FALSE(model->drop.training);
    model.train();
    model(x, replicated(scale)).sum().backward();  // and goes on
    CHECK(model->norm.num_batches_tracked.item<int>() == 2);
  });
}

TEST_CASE("find_batch_size: several replicas on a device, a criterion of one's own, another dimension") {
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel model{testing::Mlp{}, {.devices = devices, .replicas = 8}};
    const auto loss = [](const Tensor& y, const Tensor& t) { return mean(square(y - t)); };
    const BatchSize found =
        find_batch_size(model, std::tuple(randn({1, 6}), randn({1, 4})), loss, {.max_batch_size = 64});
    CHECK(found.total == 64);
    struct Columns {
      nn::Linear fc{6, 4};
      Tensor operator()(const Tensor& x) { return fc(x.t()).t(); }
    };
    DataParallel columns{Columns{}, {.devices = devices, .dim = 1}};
    CHECK(find_batch_size(columns, std::tuple(randn({6, 2}), randn({4, 2})), mse_loss, {.max_batch_size = 16})
              .total == 16);
  });
}

TEST_CASE("find_batch_size: options that make no sense, a sample without rows, errors of the model") {
  on_machine(1, [](const std::vector<Device>& devices) {
    DataParallel model{testing::Mlp{}, {.devices = devices}};
    const std::tuple sample(randn({3, 6}), randint(0, 4, {3}));
    CHECK_THROWS_WITH_AS(find_batch_size(model, sample, cross_entropy, {.max_batch_size = 1}),
                         "find_batch_size: max_batch_size is 1; 1 replicas need at least 2 rows", Error);
    CHECK_THROWS_WITH_AS(find_batch_size(model, sample, cross_entropy, {.steps = 0}),
                         "find_batch_size: got 0 steps; name at least one", Error);
    CHECK_THROWS_WITH_AS(find_batch_size(model, std::tuple(zeros({0, 6}), zeros({0, 4})), mse_loss),
                         "find_batch_size: the sample has no rows; pass at least one", Error);
    const std::tuple too_wide(randn({3, 7}), randn({3, 4}));
    const RandomState random = random_state();
    CHECK_THROWS_WITH_AS(find_batch_size(model, too_wide, mse_loss), doctest::Contains("linear: "), Error);
    CHECK(random_state() == random);
  });
}

}  // namespace
}  // namespace miniparallel
