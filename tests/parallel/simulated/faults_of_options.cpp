#include "strike.h"

#include <chrono>
#include <utility>

// The same faults in steps of other options and on other machines.

namespace miniparallel {
namespace {

using testing::Deep;
using testing::Messages;
using testing::Mlp;
using testing::NormCnn;
using testing::Setting;
using testing::strike_each;
using testing::strikes_all;
using testing::Watchdog;

/// Everywhere in a step on 2 GPUs, and on `most` where all places are struck; everyday runs try one of
/// `stride`.
template <class Net>
void strike_everywhere(const std::function<Setting(int gpus)>& make, int most = 4,
                       int stride = testing::stride()) {
  const Watchdog watchdog(std::chrono::minutes(60));
  const Messages silent;
  if (strikes_all()) stride = 1;
  int struck = 0, broken = 0;
  for (int gpus = 2; gpus <= (strikes_all() ? most : 2); gpus += 2) {
    CAPTURE(gpus);
    const Setting setting = make(gpus);
    const auto strike = [&](std::function<void(int)> ask) {
      struck += strike_each<Net>(setting, {.ask = std::move(ask), .stride = stride});
    };
    strike([](int nth) { simulator::fail_call("", nth, cudaErrorMemoryAllocation); });
    strike([](int nth) { simulator::fail_call("", nth, cudaErrorUnknown); });
    strike([](int nth) { simulator::fail_library_call("", nth); });
    for (int device = 0; device < gpus; ++device)
      strike([device](int nth) {
        simulator::fail_allocation(device, nth);
        simulator::fail_allocation(device, nth + 1);  // when it is tried again
      });
    broken += testing::break_each<Net>(setting, stride);
  }
  MESSAGE(struck << " faults that are gone, " << broken << " that stay");
  CHECK(struck > 200 / stride);
  CHECK(broken > 50 / stride);
}

TEST_CASE("faults: with a sharded optimizer, whose gradients may be on their way") {
  strike_everywhere<Mlp>(
      [](int gpus) { return Setting(gpus, {.bucket_bytes = 512, .shard_optimizer = true}); });
}

TEST_CASE("faults: with batch normalisation of policy sync, whose replicas wait for each other") {
  strike_everywhere<NormCnn>([](int gpus) { return Setting(gpus, {.batch_norm = BatchNormPolicy::sync}); });
}

TEST_CASE("faults: with gradients of several backwards, which no_sync holds") {
  strike_everywhere<Mlp>([](int gpus) {
    Setting setting(gpus);
    setting.batches = 3;
    return setting;
  });
}

TEST_CASE("faults: without links, where copies go through host memory") {
  strike_everywhere<Mlp>([](int gpus) {
    Setting setting(gpus);
    setting.machine.peers = simulator::Peers::none;
    return setting;
  });
}

TEST_CASE("faults: with gradients that are summed through host memory") {
  strike_everywhere<Mlp>([](int gpus) { return Setting(gpus, {.reduction = GradientReduction::host}); });
}

TEST_CASE("faults: with gradients that NCCL sums") {
  strike_everywhere<Mlp>([](int gpus) { return Setting(gpus, {.reduction = GradientReduction::nccl}); });
}

TEST_CASE("faults: with values and gradients that travel in several buckets, beside the kernels") {
  strike_everywhere<Deep>([](int gpus) { return Setting(gpus, {.bucket_bytes = 64 << 10}); }, 2, 97);
}

}  // namespace
}  // namespace miniparallel
