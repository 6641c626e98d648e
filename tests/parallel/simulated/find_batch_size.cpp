#include <miniparallel/parallel/find_batch_size.h>

#include <miniparallel/miniparallel.h>

#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <tuple>

// GPUs with little memory.

namespace miniparallel {
namespace {

using testing::Simulated;

simulator::Machine machine(int gpus, std::size_t megabytes) {
  simulator::Machine machine = simulator::machine_with(gpus);
  for (simulator::Gpu& gpu : machine.gpus) gpu.memory = megabytes << 20;
  return machine;
}

struct Wide {
  nn::Linear first{16, 512}, second{512, 4};
  Tensor operator()(const Tensor& x) { return second(relu(first(x))); }
};

TEST_CASE("find_batch_size: ends where memory does, and what it finds trains") {
  for (const int gpus : {1, 3}) {
    CAPTURE(gpus);
    const Simulated simulated(machine(gpus, 36));  // of which kernels want 32
    DataParallel model{Wide{}};
    const std::tuple sample(randn({2, 16}), randint(0, 4, {2}));
    model.loss(cross_entropy, std::get<0>(sample), std::get<1>(sample)).backward();
    model.zero_grad();
    std::vector<std::int64_t> used;
    for (const Device device : model.devices()) {
      empty_cache(device);
      used.push_back(memory_stats(device).used);
    }
    const BatchSize found = find_batch_size(model, sample, cross_entropy, {.max_batch_size = 1 << 20});
    CHECK(found.total == found.per_device * gpus);
    CHECK(found.per_device >= 32);
    CHECK(found.per_device <= 1024);  // 2 KiB a row for each of the activations
    for (std::size_t i = 0; i < used.size(); ++i) {
      CHECK(memory_stats(model.devices()[i]).used == used[i]);
      CHECK(memory_stats(model.devices()[i]).cached == 0);
    }
    optim::Adam optimizer(model.parameters());
    const auto train = [&](std::int64_t rows) {
      model.loss(cross_entropy, randn({rows, 16}), randint(0, 4, {rows})).backward();
      optimizer.step();
      optimizer.zero_grad();
    };
    for (int step = 0; step < 2; ++step) train(found.total);
    CHECK_THROWS_AS(train(4 * found.total), OutOfMemoryError);
    optimizer.zero_grad();
    train(found.total);
  }
}

TEST_CASE("find_batch_size: a model for which nothing fits is an error that says so") {
  const Simulated simulated(machine(2, 40));
  DataParallel model{Wide{}};
  const Tensor filler = empty({3 << 20}, {.device = Device::cuda(1)});  // 12 MiB, and kernels want 32
  CHECK_THROWS_WITH_AS(
      find_batch_size(model, std::tuple(randn({2, 16}), randint(0, 4, {2})), cross_entropy),
      doctest::Contains("find_batch_size: 4 rows are too many already; the model needs more memory or larger "
                        "GPUs: "),
      OutOfMemoryError);
}

}  // namespace
}  // namespace miniparallel
