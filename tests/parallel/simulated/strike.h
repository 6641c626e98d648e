#pragma once

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../../support/watchdog.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// A fault strikes a training step in every place where one can, one after another: nothing hangs, what a
// failed call should leave as it was is as it was, and the next call works where it can. Everyday runs leave
// places out; MINIPARALLEL_ALL_FAULTS=1 tries all.

namespace miniparallel::testing {

using Values = std::vector<std::vector<float>>;

inline Values values_of(const std::vector<Tensor>& tensors) {
  Values values;
  for (const Tensor& tensor : tensors)
    values.push_back(tensor.defined() ? tensor.to_vector<float>() : std::vector<float>());
  return values;
}

inline Values gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters) gradients.push_back(parameter.grad());
  return values_of(gradients);
}

/// A wrapped model and its optimizer. A step is a forward and a backward of each batch, of all but the last
/// under no_sync, and then an update.
template <class Net>
struct Trainer {
  DataParallel<Net> model;
  optim::SGD optimizer{model.parameters(), {.lr = 1e-2}};
  Tensor first = Net::batch(11).to(float32);
  std::vector<Tensor> batches;
  std::size_t done = 0;      ///< how many of them the step has had
  bool in_backward = false;  ///< of the next one

  explicit Trainer(const Net& net, const DataParallelOptions& options = {}, int batches_of_a_step = 1)
      : model(clone(net), options) {
    for (int i = 0; i < batches_of_a_step; ++i) batches.push_back(Net::batch(13 - i).to(float32));
  }

  /// What comes before a step that is struck: it finds values that have been written and gradients.
  void prepare() {
    model.zero_grad();
    mean(square(model(first))).backward();
    optimizer.step();
  }
  /// Goes on with the step until it has had `count` batches.
  void accumulate(std::size_t count) {
    for (; done < count; ++done) {
      std::optional<parallel::NoSync> guard;
      if (done + 1 < batches.size()) guard.emplace(model.no_sync());
      in_backward = false;
      const Tensor y = model(batches[done]);
      in_backward = true;
      mean(square(y)).backward();
    }
  }
  /// Goes on with the step to its end.
  void step() {
    accumulate(batches.size());
    optimizer.step();
    done = 0;
  }

  std::vector<Tensor> buffers() const {
    std::vector<Tensor> buffers;
    for (const auto& [name, buffer] : model.named_buffers()) buffers.push_back(buffer);
    return buffers;
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
  Values gradients() const { return gradients_of(model.parameters()); }
};

/// What a step runs on, and how.
struct Setting {
  simulator::Machine machine;
  DataParallelOptions options = {};
  int batches = 1;  ///< of a step

  explicit Setting(int gpus) : machine(simulator::machine_with(gpus)) {}
  Setting(int gpus, const DataParallelOptions& options_) : Setting(gpus) { options = options_; }
};

inline bool strikes_all() { return std::getenv("MINIPARALLEL_ALL_FAULTS") != nullptr; }
inline int stride() { return strikes_all() ? 1 : 29; }

/// Asks for a fault, and how to find out whether it has come.
struct Strike {
  std::function<void(int nth)> ask;
  std::function<int()> forget = simulator::forget_faults;  ///< how many have not come
  int stride = testing::stride();
};

/// Lets the first call that the strike names fail, then the next one, and so on; each time the step is
/// repeated from the batch that failed and compared with that of a twin, which nothing strikes. At the end no
/// memory must be left. Returns how many were struck.
template <class Net>
int strike_each(const Setting& setting, const Strike& strike) {
  const Simulated machine(setting.machine);
  manual_seed(3);
  const Net net;
  Trainer<Net> hit(net, setting.options, setting.batches), twin(net, setting.options, setting.batches);
  twin.first = hit.first;
  twin.batches = hit.batches;
  hit.step();
  twin.step();
  int struck = 0;
  for (int nth = 1;; nth += strike.stride, ++struck) {
    CAPTURE(nth);
    hit.prepare();
    twin.prepare();
    for (const Device device : hit.model.devices()) empty_cache(device);  // so that memory is asked for, too
    strike.ask(nth);
    std::string error;
    try {
      hit.step();
    } catch (const std::exception& caught) {
      error = caught.what();
    }
    if (strike.forget() > 0) break;
    CAPTURE(error);
    CAPTURE(hit.done);
    CAPTURE(hit.in_backward);
    const bool in_update = hit.done == hit.batches.size();
    if (!error.empty() && !in_update) {
      twin.accumulate(hit.done);
      CHECK(hit.parameters() == twin.parameters());
      CHECK(hit.gradients() == twin.gradients());
      if (hit.model.devices().size() > 1) {  // of a model alone each layer writes its statistics
        const Values statistics = hit.statistics(), before = twin.statistics();
        const bool counted = !before.empty() && statistics.front() != before.front();
        if (!hit.in_backward && !counted) CHECK(statistics == before);  // the last thing of a forward
      }
      hit.step();
    }
    twin.step();
    CHECK(hit.gradients() == twin.gradients());
    const NoGradGuard no_grad;
    if (in_update)  // it may have come as far as it did
      for (std::size_t i = 0; i < twin.model.parameters().size(); ++i)
        hit.model.parameters()[i].copy_(twin.model.parameters()[i]);
    hit.done = 0;
    CHECK(hit.parameters() == twin.parameters());
    for (std::size_t i = 0; i < twin.buffers().size(); ++i)  // a forward that is repeated counts again
      hit.buffers()[i].copy_(twin.buffers()[i]);
  }
  return struck;
}

/// What a device does last: one of its kernels or copies fails for good, in a step. False where the fault has
/// not come.
template <class Net>
bool breaks(const Setting& setting, const std::function<void()>& strike) {
  Simulated machine(setting.machine);
  Trainer<Net> trainer{Net{}, setting.options, setting.batches};
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

/// The same at each kernel and each copy of each device, in both orders of streams. Returns how many.
template <class Net>
int break_each(Setting setting, int stride = testing::stride()) {
  int struck = 0;
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
    setting.machine.streams = streams;
    for (int device = 0; device < static_cast<int>(setting.machine.gpus.size()); ++device) {
      CAPTURE(device);
      for (int nth = 1; breaks<Net>(setting, [&] { simulator::fail_kernel(device, nth); }); nth += stride)
        ++struck;
      for (int nth = 1; breaks<Net>(setting, [&] { simulator::fail_copy(device, nth); }); nth += stride)
        ++struck;
    }
  }
  return struck;
}

}  // namespace miniparallel::testing
