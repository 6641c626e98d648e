#include <miniparallel/parallel/data_parallel.h>

#include "../cuda/messages.h"
#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

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
