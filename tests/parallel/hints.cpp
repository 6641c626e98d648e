#include <miniparallel/parallel/data_parallel.h>

#include "../cuda/messages.h"
#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

// Of numbers that may not be what they seem. (simulated/describe.cpp has hints about the hardware.)

namespace miniparallel {
namespace {

using testing::Messages;
using testing::on_machine;

struct Outputs {
  Tensor logits;
  std::vector<Tensor> losses;
};

struct WithLosses {
  nn::Linear fc{6, 4};
  Outputs operator()(const Tensor& x) {
    const Tensor y = fc(x);
    return {.logits = y, .losses = {y.sum(), mean(y)}};
  }
};

TEST_CASE("hints: numbers gathered from chunks of different sizes, once") {
  on_machine(3, [](const std::vector<Device>& devices) {
    const Messages messages;
    DataParallel model{WithLosses{}, {.devices = devices}};
    model(zeros({9, 6}));
    CHECK(messages.list.empty());
    model(zeros({10, 6}));
    model(zeros({11, 6}));
    REQUIRE(messages.list.size() == 1);
    CHECK(messages.list[0] ==
          "DataParallel: losses[0] has a number for each chunk, of 4, 3 and 3 rows; their mean weighs the "
          "chunks "
          "alike, not the rows. model.loss(criterion, x, y) gives the loss of the whole batch");
    struct Bare {
      nn::Linear fc{6, 4};
      Tensor operator()(const Tensor& x) { return mean(fc(x)); }
    };
    DataParallel bare{Bare{}, {.devices = devices}};
    bare(zeros({5, 6}));
    REQUIRE(messages.list.size() == 2);
    CHECK(messages.list[1].starts_with(
        "DataParallel: the result has a number for each chunk, of 2, 2 and 1 rows; "));
    DataParallel quiet{Bare{}, {.devices = devices, .hints = false}};
    quiet(zeros({5, 6}));
    CHECK(messages.list.size() == 2);
  });
}

/// An example takes its time.
struct Slow {
  std::int64_t count;
  int milliseconds;
  std::int64_t size() const { return count; }
  Tensor get(std::int64_t) const {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return ones({6});
  }
};

/// So does the forward.
struct Steady {
  nn::Linear fc{6, 4};
  Tensor operator()(const Tensor& x) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    return fc(x);
  }
};

TEST_CASE("hints: a data loader that is slower than the step, once") {
  on_machine(2, [](const std::vector<Device>& devices) {
    const auto told = [&](const Slow& data, const DataParallelOptions& options, int workers = 0) {
      const Messages messages;
      DataParallel model{Steady{}, options};
      data::DataLoader loader(data, {.batch_size = 2, .num_workers = workers});
      for (auto& batch : loader) CHECK(sum(model(batch)).item() != 0.5);  // waits for the GPU
      return messages.list;
    };
    // Long enough for a GPU of the simulator, a thread, to be seen idle on a busy machine.
    const std::vector<std::string> lines = told({2 * 66, 30}, {.devices = devices});
    REQUIRE(lines.size() == 1);
    CHECK(lines[0].starts_with("DataParallel: "));
    CHECK(lines[0].ends_with(
        " of the last 32 steps spent most of their time waiting for the data loader; more .num_workers make "
        "batches faster, up to recommended_num_workers()"));
    CHECK(told({2 * 33, 10}, {.devices = devices, .hints = false}).empty());
    CHECK(told({2 * 33, 0}, {.devices = devices}).empty());
    CHECK(told({2 * 33, 0}, {.devices = devices}, 1).empty());
  });
}

TEST_CASE("describe: the CPU named several times") {
  if (cuda_device_count() > 0) return;
  DataParallel one{testing::Mlp{}, {.devices = {Device::cpu()}}};
  CHECK(one.describe() ==
        "DataParallel: 1 replica on 1 device, outputs on cpu\n  cpu: replica 0\n  rows: balanced\n");
  DataParallel model{testing::Mlp{}, {.devices = {Device::cpu()}, .split = Split::by_speed, .replicas = 3}};
  for (int step = 0; step < 6; ++step) {
    CHECK(model.describe().starts_with(
        "DataParallel: 3 replicas on 1 device, outputs on cpu\n  cpu: replicas 0, 1, 2\n  rows: by_speed"));
    model(zeros({9, 6}));
  }
  CHECK(model.describe().ends_with("  rows: by_speed, shares {1, 1, 1}; the last batch 3, 3, 3\n"));
}

}  // namespace
}  // namespace miniparallel
