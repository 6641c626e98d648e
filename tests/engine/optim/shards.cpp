#include "engine/optim/shards.h"

#include <miniparallel/miniparallel.h>

#include "engine/autograd/node.h"
#include "engine/tensor/arena.h"
#include "engine/tensor/tensor_impl.h"
#include "tests/engine/optim/variants.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

// Parameters that several devices step, here the CPU several times: the bits are those of one.

namespace miniparallel {
namespace {

using testing::identical;
using testing::MakeOptimizer;
using testing::with;

/// Parameters of odd sizes and of two dtypes.
std::vector<Tensor> make_parameters() {
  manual_seed(5);
  std::vector<Tensor> parameters;
  for (const Shape& shape : {Shape{3, 5}, {64}, {1}, {700, 3}, {2}, {0}, {33}})
    parameters.push_back(randn(shape).requires_grad_());
  for (const Shape& shape : {Shape{130}, {7}})
    parameters.push_back(randn(shape, {.dtype = float64}).requires_grad_());
  return parameters;
}

/// Each of `count` devices has a copy of the parameters in a block.
class Copies final : public autograd::GradientSink, public optim::Shards {
 public:
  Copies(const std::vector<Tensor>& parameters, std::size_t count, bool reads = true)
      : devices_(count), reads_(reads), arenas_{pack(parameters)} {
    while (arenas_.size() < count) arenas_.push_back(arenas_[0].zeros_on(Device::cpu()));
  }
  static std::shared_ptr<Copies> attach(const std::vector<Tensor>& parameters, std::size_t count,
                                        bool reads = true) {
    auto made = std::make_shared<Copies>(parameters, count, reads);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      autograd::meta_of(parameters[i]).sink = made;
      autograd::meta_of(parameters[i]).sink_end = i;
    }
    return made;
  }

  std::unique_ptr<Walk> begin(const std::vector<std::size_t>&) override { return nullptr; }
  const std::vector<Device>& devices() const override { return devices_; }
  bool has_copies_of(const Tensor& parameter) const override {
    return arenas_[0].holds(autograd::meta_of(parameter).sink_end, parameter);
  }
  /// Equal parts of each block.
  std::vector<Part> parts(const Tensor& run) const override {
    const auto count = static_cast<std::int64_t>(devices_.size());
    std::int64_t size = 0;
    for (const Tensor& block : arenas_[0].blocks())
      if (block.dtype() == run.dtype()) size = block.numel();
    const std::int64_t share = (size + count * 128 - 1) / (count * 128) * 128;
    const std::int64_t first = run.impl()->offset, last = first + run.numel();
    std::vector<Part> parts;
    for (std::int64_t begin = first; begin < last;) {
      const std::int64_t device = begin / share, end = std::min(last, (device + 1) * share);
      parts.push_back({static_cast<std::size_t>(device), make_alias(run, {end - begin}, {1}, begin)});
      begin = end;
    }
    return parts;
  }
  Tensor gradient_on(std::size_t, const Tensor& gradient) const override {
    return reads_ ? gradient : gradient.clone();
  }
  Tensor on(std::size_t device, const Tensor& values) const override {
    for (std::size_t i = 0; i < arenas_[0].blocks().size(); ++i)
      if (arenas_[0].blocks()[i].impl()->storage == values.impl()->storage)
        return make_alias(arenas_[device].blocks()[i], values.shape(), values.strides(),
                          values.impl()->offset);
    return {};
  }
  void step(std::span<const Part> parts, const std::function<void()>& update) override {
    for (std::size_t device = 1; device < devices_.size(); ++device)
      for (std::size_t i = 0; i < arenas_[0].blocks().size(); ++i) {
        Tensor copy = arenas_[device].blocks()[i];
        copy.copy_(arenas_[0].blocks()[i]);
      }
    update();
    stepped.assign(devices_.size(), 0);
    for (const auto& [device, values] : parts) {
      stepped[device] += values.numel();
      if (device != 0) on(0, values).copy_(on(device, values));
    }
  }

  std::vector<std::int64_t> stepped;  ///< elements of each device in the last step

 private:
  std::vector<Device> devices_;
  bool reads_;
  std::vector<Arena> arenas_;
};

void detach(const std::vector<Tensor>& parameters) {
  for (const Tensor& parameter : parameters) autograd::meta_of(parameter).sink = nullptr;
}

const std::vector<MakeOptimizer> kVariants{
    with<optim::SGD>(optim::SGDOptions{.lr = 0.05, .weight_decay = 0.1}),
    with<optim::SGD>(optim::SGDOptions{.lr = 0.05, .momentum = 0.8, .dampening = 0.3}),
    with<optim::SGD>(optim::SGDOptions{.lr = 0.05, .momentum = 0.8, .nesterov = true}),
    with<optim::Adam>(optim::AdamOptions{.lr = 0.02, .weight_decay = 0.1}),
    with<optim::AdamW>(optim::AdamWOptions{.lr = 0.02}),
    [](const std::vector<Tensor>& p)
        -> std::unique_ptr<optim::Optimizer> {  // two groups, not in the order of the block
      return std::make_unique<optim::Adam>(std::vector<optim::Adam::Group>{
          {{p[3], p[0], p[1], p[7]}, {.lr = 0.01}}, {{p[4], p[5], p[2], p[8]}, {.lr = 0.1}}});
    },
    [](const std::vector<Tensor>& p) -> std::unique_ptr<optim::Optimizer> {  // one group keeps no state
      return std::make_unique<optim::SGD>(std::vector<optim::SGD::Group>{
          {{p[0], p[1], p[2]}, {.lr = 0.1}}, {{p[3], p[4], p[6], p[8]}, {.lr = 0.1, .momentum = 0.5}}});
    },
};

/// Steps both with the same gradients, of which some are missing, and compares.
void step_both(const std::vector<Tensor>& plain, optim::Optimizer& of_plain,
               const std::vector<Tensor>& shared, optim::Optimizer& of_shared, int step) {
  CAPTURE(step);
  const Arena gradients(shared, Device::cpu());
  for (std::size_t i = 0; i < plain.size(); ++i) {
    const bool missing = (i == 1 && step % 3 == 1) || (i == 4 && step < 2);
    const Tensor gradient = randn(plain[i].shape(), {.dtype = plain[i].dtype()});
    plain[i].set_grad(missing ? Tensor() : gradient);
    shared[i].set_grad(missing ? Tensor() : gradients.tensor(i));
    if (!missing) shared[i].grad().copy_(gradient);
    if (i == 3 && step == 4) shared[i].set_grad(gradient.clone());  // no neighbour of the others
  }
  of_plain.step();
  of_shared.step();
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(identical(plain[i].detach(), shared[i].detach()));
  testing::check_same_state(of_plain, of_shared);
}

std::vector<Tensor> copies_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> copies;
  for (const Tensor& parameter : parameters) copies.push_back(parameter.detach().clone().requires_grad_());
  return copies;
}

TEST_CASE("optim: parameters that several devices step get the bits, and the states, of one device") {
  for (const MakeOptimizer& make : kVariants)
    for (const std::size_t count : {2, 3, 8}) {
      const std::vector<Tensor> plain = make_parameters(), shared = copies_of(plain);
      const auto of_plain = make(plain), of_shared = make(shared);
      const auto copies = Copies::attach(shared, count, count != 3);
      for (int step = 0; step < 7; ++step) step_both(plain, *of_plain, shared, *of_shared, step);
      detach(shared);
    }
}

TEST_CASE("optim: each of several devices steps an equal share of the elements") {
  const std::vector<Tensor> p = make_parameters();
  optim::Adam optimizer(std::vector<Tensor>(p.begin(), p.begin() + 7));
  for (const std::size_t count : {2, 3, 4}) {
    const auto copies = Copies::attach(p, count);
    for (const Tensor& parameter : p) parameter.set_grad(ones_like(parameter.detach()));
    optimizer.step();
    REQUIRE(copies->stepped.size() == count);
    const auto all = std::accumulate(copies->stepped.begin(), copies->stepped.end(), std::int64_t{0});
    CHECK(all == 15 + 64 + 1 + 2100 + 2 + 33);
    for (const std::int64_t share : copies->stepped) {
      CHECK(share <= 2560 / static_cast<std::int64_t>(count) + 128);
      CHECK(share >= 2560 / static_cast<std::int64_t>(count) - 512);
    }
    detach(p);
  }
}

TEST_CASE("optim: states go from one number of devices to another, by themselves and in a file") {
  for (const MakeOptimizer& make : kVariants) {
    const std::vector<Tensor> plain = make_parameters(), shared = copies_of(plain);
    const auto of_plain = make(plain);
    auto of_shared = make(shared);
    int step = 0;
    for (const std::size_t count : {1, 3, 2, 1, 4, 8}) {  // 1: its own device does
      const auto copies = count == 1 ? nullptr : Copies::attach(shared, count);
      for (int i = 0; i < 2; ++i) step_both(plain, *of_plain, shared, *of_shared, step++);
      if (count == 2 || count == 4) {
        const StateDict state = of_shared->state_dict();
        of_shared = make(shared);
        of_shared->load_state_dict(state);
        testing::check_same_state(*of_plain, *of_shared);
        step_both(plain, *of_plain, shared, *of_shared, step++);
        of_shared->load_state_dict(of_plain->state_dict());  // in the middle of a training
        testing::check_same_state(*of_plain, *of_shared);
      }
      detach(shared);
    }
  }
}

TEST_CASE("optim: a parameter that has left the block is stepped by its own device") {
  const std::vector<Tensor> plain = make_parameters(), shared = copies_of(plain);
  optim::Adam of_plain(plain), of_shared(shared);
  const auto copies = Copies::attach(shared, 3);
  for (int step = 0; step < 2; ++step) step_both(plain, of_plain, shared, of_shared, step);
  const NoGradGuard no_grad;
  set_data(shared[3], shared[3].clone());
  for (int step = 0; step < 2; ++step) step_both(plain, of_plain, shared, of_shared, step);
  CHECK(std::accumulate(copies->stepped.begin(), copies->stepped.end(), std::int64_t{0}) < 2100);
  detach(shared);
}

TEST_CASE("optim: a failing step leaves what several devices step as it was") {
  const std::vector<Tensor> p = make_parameters();
  optim::Adam optimizer(p);
  const auto copies = Copies::attach(p, 3);
  for (const Tensor& parameter : p) parameter.set_grad(ones_like(parameter.detach()));
  optimizer.step();
  const std::vector<Tensor> before = copies_of(p);
  const NoGradGuard no_grad;
  set_data(p[8], p[8].to(float32));  // its gradient is converted, too
  autograd::meta_of(p[8]).grad = ones({7}, {.dtype = float64});
  CHECK_THROWS_WITH_AS(optimizer.step(),
                       doctest::Contains("Adam: a parameter of float32 on cpu has a gradient"), Error);
  for (std::size_t i = 0; i < 8; ++i) CHECK(identical(p[i].detach(), before[i].detach()));
  detach(p);
}

}  // namespace
}  // namespace miniparallel
