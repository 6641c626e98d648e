#include "../../support/forked.h"
#include "engine/threads/workers.h"
#include "strike.h"
#include "thread_starts.h"

#include <system_error>

// The system has no thread left: for the permanent one of a GPU, or for one that lives as long as a forward.

namespace miniparallel {
namespace {

using testing::fail_thread_start;
using testing::forget_thread_start;
using testing::Messages;
using testing::Mlp;
using testing::NormCnn;
using testing::Setting;
using testing::Simulated;
using testing::strike_each;
using testing::Watchdog;

#ifndef MP_SANITIZER

/// Each thread that a step starts once the GPUs' are gone.
const testing::Strike kEachStart = {.ask =
                                        [](int nth) {
                                          stop_workers();
                                          fail_thread_start(nth);
                                        },
                                    .forget = [] { return forget_thread_start() ? 1 : 0; },
                                    .stride = 1};

TEST_CASE("faults: a thread that cannot be started leaves all as it was, and the next step works") {
  const Watchdog watchdog;
  const Messages silent;
  for (const int gpus : {1, 2, 4}) {
    CAPTURE(gpus);
    CHECK(strike_each<Mlp>(Setting(gpus), kEachStart) == gpus - 1);
    CHECK(strike_each<Mlp>(Setting(gpus, {.shard_optimizer = true}), kEachStart) == gpus - 1);
    // One for each replica of the forward, and those that the backward wants.
    CHECK(strike_each<NormCnn>(Setting(gpus, {.batch_norm = BatchNormPolicy::sync}), kEachStart) ==
          2 * (gpus - 1));
  }
}

TEST_CASE("faults: a backward from outputs on several GPUs that gets no thread for one of them is an error") {
  const Watchdog watchdog;
  const Simulated machine(4);
  DataParallel model{Mlp{}};
  const auto walk = [&](int failing) {
    const std::vector<Tensor> outputs = model.shards(Mlp::batch(12).to(float32));
    std::vector<Tensor> gradients;
    for (const Tensor& output : outputs) gradients.push_back(ones_like(output));
    stop_workers();
    fail_thread_start(failing);
    autograd::backward(outputs, gradients);
  };
  for (const int nth : {1, 2, 3}) {
    CAPTURE(nth);
    CHECK_THROWS_AS(walk(nth), std::system_error);
    CHECK_FALSE(forget_thread_start());
    stop_workers();
    for (const Tensor& parameter : model.parameters()) CHECK_FALSE(parameter.grad().defined());
  }
  walk(4);  // as many as start
  CHECK(forget_thread_start());
  for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad().defined());
}

#endif

}  // namespace
}  // namespace miniparallel
