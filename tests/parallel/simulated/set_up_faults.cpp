#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../../support/watchdog.h"
#include "../models.h"
#include "engine/tensor/tensor_impl.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

// A fault strikes the making of a wrapper in every place where one can, one after another: the model is
// where it was and what it was, no memory is left behind, and the next attempt works. Everyday runs leave
// places out; MINIPARALLEL_ALL_FAULTS=1 tries all.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Simulated;
using testing::Watchdog;

/// Something of every sort: parameters, one of them frozen, one tied, buffers, a plain tensor.
struct Mixed {
  nn::Linear first{6, 8}, second{8, 8}, tied{8, 8}, last{8, 4};
  nn::BatchNorm1d norm{8};
  Tensor scale = full({4}, 2.0);
  Mixed() {
    tied.weight = second.weight;
    last.bias.requires_grad_(false);
  }
  Tensor operator()(const Tensor& x) { return last(tied(relu(norm(second(first(x)))))) * scale; }
  MINIPARALLEL_MEMBERS(first, second, tied, last, norm, scale)
};

/// What can be seen of a member: handles, places and bytes of the tensor and of its gradient.
struct Seen {
  const TensorImpl *handle, *gradient;
  const Storage* memory;
  Device device;
  DType dtype;
  bool requires_grad;
  std::vector<double> values, gradient_values;
  bool operator==(const Seen&) const = default;
};

std::vector<double> values_of(const Tensor& tensor) {
  return tensor.defined() ? tensor.cpu().to(float64).to_vector<double>() : std::vector<double>();
}

std::vector<Seen> look_at(const Mixed& net) {
  std::vector<Seen> all;
  for (const reflect::Inventory::Item& item : reflect::inventory(net).items) {
    const Tensor& tensor = *item.handle;
    const Tensor gradient = tensor.grad();
    all.push_back({tensor.impl().get(), gradient.defined() ? gradient.impl().get() : nullptr,
                   tensor.impl()->storage.get(), tensor.device(), tensor.dtype(), tensor.requires_grad(),
                   values_of(tensor), values_of(gradient)});
  }
  return all;
}

std::vector<std::int64_t> memory_used(int gpus) {
  std::vector<std::int64_t> used = {memory_stats().used};
  for (int i = 0; i < gpus; ++i) used.push_back(memory_stats(Device::cuda(i)).used);
  return used;
}

Mixed net_on(Device device) {
  manual_seed(3);
  Mixed net;
  to(net, device);
  for (const Tensor& parameter : parameters(net))
    if (parameter.requires_grad() && parameter.dim() == 2) parameter.set_grad(ones_like(parameter) * 3);
  return net;
}

int stride() { return std::getenv("MINIPARALLEL_ALL_FAULTS") == nullptr ? 37 : 1; }

/// Lets the first call that `strike(nth)` names fail, then the next one, and so on, each on a machine that
/// nobody has used yet. Returns how many were struck.
int strike_each(int gpus, Device start, const DataParallelOptions& options,
                const std::function<void(int)>& strike) {
  int struck = 0;
  for (int nth = 1;; nth += stride(), ++struck) {
    CAPTURE(nth);
    const Simulated machine(gpus);
    Mixed net = net_on(start);
    const Tensor x = randn({11, 6});
    Mixed alone = clone(net);
    to(alone, Device::cpu());
    const Tensor expected = alone(x);
    const std::vector<Seen> before = look_at(net);
    const std::vector<std::int64_t> used = memory_used(gpus);
    strike(nth);
    std::string error;
    try {
      const DataParallel model{net, options};
    } catch (const Error& caught) {
      error = caught.what();
    }
    if (simulator::forget_faults() > 0) break;
    CAPTURE(error);
    if (!error.empty()) {  // else it was tried once more, and went well
      CHECK(look_at(net) == before);
      CHECK(memory_used(gpus) == used);
    }
    DataParallel model{net, options};
    const Tensor y = model(x);
    CHECK(allclose(y.cpu(), expected, 1e-4, 1e-5));
    mean(square(y)).backward();
    mean(square(expected)).backward();
    CHECK(allclose(net.second.weight.grad().cpu() - 3, alone.second.weight.grad(), 1e-3, 1e-4));
  }
  return struck;
}

TEST_CASE("set-up: one that fails leaves the model as it was, and the next attempt works") {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {2, 4})
    for (const Device start : {Device::cpu(), Device::cuda(0), Device::cuda(gpus - 1)})
      for (const DataParallelOptions& options : {DataParallelOptions{.batch_norm = BatchNormPolicy::sync},
                                                 DataParallelOptions{.replicas = gpus + 1,
                                                                     .batch_norm = BatchNormPolicy::sync,
                                                                     .reduction = GradientReduction::direct,
                                                                     .bucket_bytes = 128,
                                                                     .shard_optimizer = true}}) {
        CAPTURE(gpus);
        CAPTURE(start);
        const auto strike = [&](const std::function<void(int)>& fault) {
          struck += strike_each(gpus, start, options, fault);
        };
        strike([](int nth) { simulator::fail_call("", nth, cudaErrorMemoryAllocation); });
        strike([](int nth) { simulator::fail_call("", nth, cudaErrorUnknown); });
        for (int device = 0; device < gpus; ++device)
          strike([device](int nth) {
            simulator::fail_allocation(device, nth);
            simulator::fail_allocation(device, nth + 1);  // when it is tried again
          });
      }
  MESSAGE(struck << " faults");
  CHECK(struck > 5000 / stride());
}

TEST_CASE("set-up: a conversion that a forward cannot follow half-way is followed by the next one") {
  const Watchdog watchdog(std::chrono::minutes(30));
  const Messages silent;
  int struck = 0;
  for (const int gpus : {2, 4})
    for (const bool shards : {false, true})
      for (int nth = 1;; nth += stride(), ++struck) {
        CAPTURE(gpus);
        CAPTURE(nth);
        const Simulated machine(gpus);
        Mixed net = net_on(Device::cpu());
        DataParallel model{net, {.batch_norm = BatchNormPolicy::sync, .shard_optimizer = shards}};
        const Tensor x = randn({11, 6}, {.dtype = float64});
        (void)model(x.to(float32));
        Mixed alone = clone(net);
        to(alone, Device::cpu());
        to(alone, float64);
        model.to(float64);
        model->scale = model->scale.to(float64);
        for (const Device device : model.devices()) empty_cache(device);  // so that memory is asked for, too
        simulator::fail_call("", nth, cudaErrorMemoryAllocation);
        simulator::fail_call("", nth + 1, cudaErrorMemoryAllocation);
        try {
          (void)model(x);
        } catch (const Error&) {
        }
        if (simulator::forget_faults() > 0) break;
        model.zero_grad();
        zero_grad(alone);
        const Tensor y = model(x), expected = alone(x);
        CHECK(allclose(y.cpu(), expected, 1e-11, 1e-11));
        mean(square(y)).backward();
        mean(square(expected)).backward();
        CHECK(allclose(net.first.weight.grad().cpu(), alone.first.weight.grad(), 1e-11, 1e-11));
      }
  MESSAGE(struck << " faults");
  CHECK(struck > 700 / stride());
}

}  // namespace
}  // namespace miniparallel
