#include "strike.h"

#include <chrono>

// Gradients are added to those that there were: all of them or none, wherever a fault strikes.

namespace miniparallel {
namespace {

using testing::gradients_of;
using testing::Messages;
using testing::Mlp;
using testing::Simulated;
using testing::stride;
using testing::Trainer;
using testing::Values;
using testing::Watchdog;

/// Frozen parameters, and one of another dtype, stand between the trained ones.
struct Sandwich {
  nn::Linear first{6, 8}, frozen{8, 8}, second{8, 8};
  nn::Parameter scale{ones({8}, {.dtype = float64})};
  nn::Linear frozen_too{8, 8}, third{8, 4};
  Sandwich() {
    for (nn::Linear* const layer : {&frozen, &frozen_too})
      for (Tensor* const parameter : {&layer->weight, &layer->bias}) parameter->requires_grad_(false);
  }
  Tensor operator()(const Tensor& x) {
    const Tensor h = second(tanh(frozen(first(x)))) * scale.to(float32);
    return third(tanh(frozen_too(h)));
  }
  static Tensor batch(std::int64_t rows) { return Mlp::batch(rows); }
  MINIPARALLEL_MEMBERS(first, frozen, second, scale, frozen_too, third)
};

/// A model whose backward fails: how to prepare gradients that it adds to, and a loss, and to read gradients.
struct Struck {
  std::function<void()> prepare;
  std::function<Tensor()> loss;
  std::function<Values()> gradients;
};

/// Lets the calls of a backward that `strike(nth)` names fail, one after another: gradients are as before
/// then, or as after one that succeeds. Returns how many failed.
int strike_backward(const Struck& hit, int step, const std::function<void(int)>& strike) {
  const auto gradients_before = [&] {
    hit.prepare();
    return hit.gradients();
  };
  const Values before = gradients_before();
  hit.loss().backward();
  const Values after = hit.gradients();
  int failed = 0;
  for (int nth = 1;; nth += step) {
    CAPTURE(nth);
    CHECK(gradients_before() == before);
    const Tensor loss = hit.loss();
    strike(nth);
    bool failing = false;
    try {
      loss.backward();
    } catch (const Error&) {
      failing = true;
    }
    if (simulator::forget_faults() > 0) return failed;
    CHECK(hit.gradients() == (failing ? before : after));
    failed += failing ? 1 : 0;
  }
}

void fail_launch(int nth) { simulator::fail_call("a kernel launch", nth, cudaErrorUnknown); }

/// It finds gradients that it adds to, and none of one parameter.
int strike_wrapped(int gpus, const DataParallelOptions& options, bool syncs, int step,
                   const std::function<void(int)>& strike) {
  Simulated machine(gpus);
  manual_seed(3);
  Trainer<Sandwich> hit(Sandwich{}, options);
  std::optional<parallel::NoSync> guard;
  const int failed = strike_backward({.prepare =
                                          [&] {
                                            guard.reset();
                                            hit.model.zero_grad();
                                            mean(square(hit.model(hit.first))).backward();
                                            hit.model.parameters()[0].set_grad({});
                                          },
                                      .loss =
                                          [&] {
                                            if (!syncs) guard.emplace(hit.model.no_sync());
                                            return mean(square(hit.model(hit.batches[0])));
                                          },
                                      .gradients = [&] { return hit.gradients(); }},
                                     step, strike);
  machine.expect_failure();  // of what gives memory back
  return failed;
}

TEST_CASE("faults: a backward of a model without a wrapper that fails anywhere leaves every gradient, too") {
  const Watchdog watchdog(std::chrono::minutes(5));
  const Messages silent;
  Simulated machine(1);
  manual_seed(3);
  Sandwich model;
  to(model, Device::cuda(0));
  const Tensor first = randn({8, 6}, {.device = Device::cuda(0)});
  const Tensor batch = randn({6, 6}, {.device = Device::cuda(0)});
  CHECK(strike_backward({.prepare =
                             [&] {
                               zero_grad(model);
                               mean(square(model(first))).backward();
                               model.first.weight.set_grad({});
                             },
                         .loss = [&] { return mean(square(model(batch))); },
                         .gradients = [&] { return gradients_of(parameters(model)); }},
                        1, fail_launch) > 10);
  machine.expect_failure();  // of what gives memory back
}

TEST_CASE("faults: a backward that fails anywhere leaves every gradient as it was, also those it adds to") {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  for (const int gpus : {1, 2, 4})
    for (const bool sharded : {false, true})
      for (const bool syncs : {true, false}) {
        if (gpus == 1 && (sharded || !syncs)) continue;
        CAPTURE(gpus);
        CAPTURE(sharded);
        CAPTURE(syncs);
        const DataParallelOptions options{.bucket_bytes = 512, .shard_optimizer = sharded};
        CHECK(strike_wrapped(gpus, options, syncs, 1, fail_launch) > 10);
        strike_wrapped(gpus, options, syncs, stride() / 4 + 1,
                       [](int nth) { simulator::fail_call("", nth, cudaErrorUnknown); });
      }
}

}  // namespace
}  // namespace miniparallel
