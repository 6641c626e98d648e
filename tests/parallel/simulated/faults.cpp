#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../../support/watchdog.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>

// A fault strikes a step in every place where one can, one after another: nothing hangs, what a failed call
// should leave as it was is as it was, and the next call works where it can. Everyday runs leave places out;
// MINIPARALLEL_ALL_FAULTS=1 tries all.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Mlp;
using testing::NormCnn;
using testing::Simulated;
using testing::Watchdog;
using Values = std::vector<std::vector<float>>;

Values values_of(const std::vector<Tensor>& tensors) {
  Values values;
  for (const Tensor& tensor : tensors)
    values.push_back(tensor.defined() ? tensor.to_vector<float>() : std::vector<float>());
  return values;
}

/// A wrapped model and its optimizer.
template <class Net>
struct Trainer {
  DataParallel<Net> model;
  optim::SGD optimizer{model.parameters(), {.lr = 1e-2}};
  Tensor first = Net::batch(11).to(float32), second = Net::batch(13).to(float32);
  int stage = 0;  ///< of `step`: how far it came

  explicit Trainer(const Net& net, const DataParallelOptions& options = {}) : model(clone(net), options) {}

  void accumulate(const Tensor& x) { mean(square(model(x))).backward(); }
  /// A forward after values have been written, a backward that adds to gradients, an update.
  void step() {
    stage = 0;
    const Tensor y = model(second);
    stage = 1;
    mean(square(y)).backward();
    stage = 2;
    optimizer.step();
    stage = 3;
  }

  Values parameters() const { return values_of(model.parameters()); }
  /// Of batch normalisation; first the numbers of batches, with which an update of the statistics begins.
  Values statistics() const {
    std::vector<Tensor> tensors;
    for (const bool counts : {true, false})
      for (const auto& [name, buffer] : model.named_buffers())
        if (name.ends_with("num_batches_tracked") == counts) tensors.push_back(buffer);
    return values_of(tensors);
  }
  Values gradients() const {
    std::vector<Tensor> gradients;
    for (const Tensor& parameter : model.parameters()) gradients.push_back(parameter.grad());
    return values_of(gradients);
  }
};

int stride() { return std::getenv("MINIPARALLEL_ALL_FAULTS") == nullptr ? 29 : 1; }

/// Lets the first call that `strike(nth)` names fail, then the next one, and so on; each time the step is
/// repeated and compared with that of a twin, which nothing strikes. At the end no memory must be left.
/// Returns how many were struck.
template <class Net>
int strike_each(int gpus, const std::function<void(int)>& strike, const DataParallelOptions& options = {}) {
  const Simulated machine(gpus);
  manual_seed(3);
  const Net net;
  Trainer<Net> hit(net, options), twin(net, options);
  twin.first = hit.first;
  twin.second = hit.second;
  hit.step();
  twin.step();
  int struck = 0;
  for (int nth = 1;; nth += stride(), ++struck) {
    CAPTURE(nth);
    for (Trainer<Net>* const each : {&hit, &twin}) {
      each->model.zero_grad();
      each->accumulate(each->first);
      each->optimizer.step();
    }
    const Values parameters = hit.parameters(), statistics = hit.statistics(), gradients = hit.gradients();
    std::vector<Tensor> kept;
    for (const Tensor& parameter : hit.model.parameters()) kept.push_back(parameter.grad().clone());
    for (const Device device : hit.model.devices()) empty_cache(device);  // so that memory is asked for, too
    strike(nth);
    std::string error;
    try {
      hit.step();
    } catch (const Error& caught) {
      error = caught.what();
    }
    if (simulator::forget_faults() > 0) break;
    CAPTURE(error);
    CAPTURE(hit.stage);
    if (hit.stage < 2) {
      CHECK(hit.parameters() == parameters);
      if (gpus > 1) {
        CHECK(hit.gradients() == gradients);
        const Values now = hit.statistics();
        const bool in_update =
            !now.empty() && now.front() != statistics.front();  // the last thing of a forward
        if (hit.stage == 0 && !in_update) CHECK(now == statistics);
      } else {  // a model alone: layers write their statistics, and gradients are added one by one
        for (std::size_t i = 0; i < kept.size(); ++i) hit.model.parameters()[i].set_grad(kept[i]);
      }
      hit.step();
    }
    twin.step();
    CHECK(hit.gradients() == twin.gradients());
    if (hit.stage == 2) {  // the update may have come as far as it did
      const NoGradGuard no_grad;
      for (std::size_t i = 0; i < parameters.size(); ++i)
        hit.model.parameters()[i].copy_(twin.model.parameters()[i]);
    }
    CHECK(hit.parameters() == twin.parameters());
  }
  return struck;
}

template <class Net>
int strike_each(const std::function<void(int)>& strike) {
  int struck = 0;
  for (const int gpus : {1, 2, 4}) {
    CAPTURE(gpus);
    struck += strike_each<Net>(gpus, strike);
  }
  return struck;
}

TEST_CASE_TEMPLATE("faults: a call that fails once leaves all as it was, and the next step works", Net, Mlp,
                   NormCnn) {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  const int struck =
      strike_each<Net>([](int nth) { simulator::fail_call("", nth, cudaErrorMemoryAllocation); }) +
      strike_each<Net>([](int nth) { simulator::fail_call("", nth, cudaErrorUnknown); }) +
      strike_each<Net>([](int nth) { simulator::fail_library_call("", nth); });
  MESSAGE(struck << " faults");
  CHECK(struck > 300 / stride());
}

TEST_CASE("faults: likewise with a sharded optimizer, whose gradients may be on their way") {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {2, 3, 4})
    for (const int error : {2, 999})  // cudaErrorMemoryAllocation, cudaErrorUnknown
      struck += strike_each<Mlp>(gpus, [error](int nth) { simulator::fail_call("", nth, error); },
                                 {.bucket_bytes = 512, .shard_optimizer = true});
  MESSAGE(struck << " faults");
  CHECK(struck > 300 / stride());
}

TEST_CASE_TEMPLATE("faults: memory that is refused twice, on each GPU", Net, Mlp, NormCnn) {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {1, 2, 4})
    for (int device = 0; device < gpus; ++device) {
      CAPTURE(device);
      struck += strike_each<Net>(gpus, [device](int nth) {
        simulator::fail_allocation(device, nth);
        simulator::fail_allocation(device, nth + 1);  // when it is tried again
      });
    }
  MESSAGE(struck << " faults");
  CHECK(struck >= 20 / stride());
}

/// What a device does last: the nth of its kernels or copies fails for good, in a step on `gpus` GPUs. False
/// where the step has fewer.
template <class Net>
bool breaks(int gpus, simulator::Streams streams, const std::function<void()>& strike) {
  simulator::Machine settings = simulator::machine_with(gpus);
  settings.streams = streams;
  Simulated machine(settings);
  Trainer<Net> trainer{Net{}};
  trainer.step();
  for (const Device device : trainer.model.devices()) synchronize(device);
  strike();
  const auto work = [&] {
    trainer.step();
    for (const Device device : trainer.model.devices()) synchronize(device);
  };
  try {
    work();
  } catch (const Error&) {
  }
  machine.expect_failure();
  if (simulator::faults_to_come() > 0) return false;
  CHECK_THROWS_AS(work(), Error);
  CHECK_THROWS_AS(work(), Error);
  return true;
}

TEST_CASE_TEMPLATE("faults: after one that no GPU recovers from every step is an error, and none hangs", Net,
                   Mlp, NormCnn) {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int gpus : {1, 2, 4})
      for (int device = 0; device < gpus; ++device) {
        CAPTURE(gpus);
        CAPTURE(device);
        for (int nth = 1; breaks<Net>(gpus, streams, [&] { simulator::fail_kernel(device, nth); });
             nth += stride())
          ++struck;
        for (int nth = 1; breaks<Net>(gpus, streams, [&] { simulator::fail_copy(device, nth); });
             nth += stride())
          ++struck;
      }
  MESSAGE(struck << " faults");
  CHECK(struck > 100 / stride());
}

TEST_CASE_TEMPLATE("faults: a GPU that falls off the bus is an error, and no step hangs", Net, Mlp, NormCnn) {
  const Watchdog watchdog;
  const Messages silent;
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int gpus : {1, 2, 4})
      for (int device = 0; device < gpus; ++device) {
        CAPTURE(gpus);
        CAPTURE(device);
        CHECK(breaks<Net>(gpus, streams, [&] { simulator::lose_device(device); }));
      }
}

}  // namespace
}  // namespace miniparallel
