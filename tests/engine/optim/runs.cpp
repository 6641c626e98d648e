#include <miniparallel/miniparallel.h>

#include "engine/tensor/arena.h"
#include "tests/engine/optim/variants.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <memory>

// Parameters that are neighbours in one block of memory, as those of a wrapped model, are updated together.

namespace miniparallel {
namespace {

using testing::identical;
using testing::MakeOptimizer;
using testing::with;
using Sizes = std::vector<std::int64_t>;

/// Tells what it would update.
class Runs final : public optim::Optimizer {
 public:
  explicit Runs(const std::vector<std::vector<Tensor>>& groups) : Optimizer("Runs"), rates(groups.size(), 1) {
    for (const std::vector<Tensor>& group : groups) add_group(group);
    check_groups();
  }
  Sizes of_step() {
    sizes.clear();
    step();
    return sizes;
  }

  std::vector<double> rates;
  Sizes sizes;

 private:
  void visit_options(int group, const OptionVisitor& f) override { f("lr", rates[group]); }
  std::span<const char* const> state_names(int) const override {
    static constexpr std::array names{"first", "second"};
    return names;
  }
  void update(DType dtype, Device, std::span<const Run> runs) override {
    for (const Run& run : runs) {
      sizes.push_back(run.n);
      CHECK(run.state[1] != nullptr);
      for (std::int64_t i = 0; dtype == float32 && i < run.n; ++i)
        CHECK(static_cast<float*>(run.state[0])[i] == 0);
    }
  }
};

/// Parameters of odd sizes; each takes a multiple of 64 elements in a block.
std::vector<Tensor> make_parameters() {
  manual_seed(5);
  std::vector<Tensor> parameters;
  for (const Shape& shape : {Shape{3, 5}, {64}, {1}, {7, 11}, {2}})
    parameters.push_back(randn(shape).requires_grad_());
  return parameters;
}

/// Gives parameters gradients that are views of one block.
class Gradients {
 public:
  explicit Gradients(const std::vector<Tensor>& parameters)
      : parameters_(parameters), arena_(parameters, parameters[0].device()) {}
  void give(std::size_t i) const { parameters_[i].set_grad(arena_.tensor(i)); }
  void give(std::size_t i, const Tensor& values) const {
    give(i);
    parameters_[i].grad().copy_(values);
  }
  void give_all() const {
    for (std::size_t i = 0; i < parameters_.size(); ++i) give(i);
  }
  const Arena& arena() const { return arena_; }

 private:
  std::vector<Tensor> parameters_;
  Arena arena_;
};

constexpr std::int64_t kAll = 64 + 64 + 64 + 128 + 2;

TEST_CASE("optim: parameters that are neighbours make one run, where their gradients are neighbours too") {
  const std::vector<Tensor> p = make_parameters();
  Runs optimizer({p});
  const Gradients of_separate(p);
  of_separate.give_all();
  CHECK(optimizer.of_step() == Sizes{15, 64, 1, 77, 2});
  pack(p);
  CHECK(optimizer.of_step() == Sizes{kAll});  // the state has followed
  for (const Tensor& parameter : p) parameter.set_grad(zeros_like(parameter.detach()));
  CHECK(optimizer.of_step() == Sizes{15, 64, 1, 77, 2});
  const Gradients gradients(p);
  gradients.give_all();
  CHECK(optimizer.of_step() == Sizes{kAll});
  p[2].set_grad(ones_like(p[2].detach()));  // as a user's hook or code may
  CHECK(optimizer.of_step() == Sizes{64 + 64, 1, 128 + 2});
  gradients.give(2);
  CHECK(optimizer.of_step() == Sizes{kAll});
  p[2].set_grad({});
  CHECK(optimizer.of_step() == Sizes{64 + 64, 128 + 2});
  gradients.give(2);  // which has seen fewer updates than the others from here on
  CHECK(optimizer.of_step() == Sizes{64 + 64, 1, 128 + 2});
}

TEST_CASE("optim: groups of one block make one run while their options are equal") {
  const std::vector<Tensor> p = make_parameters();
  pack(p);
  Gradients(p).give_all();
  Runs optimizer({{p[0], p[1]}, {p[2]}, {p[3], p[4]}});
  CHECK(optimizer.of_step() == Sizes{kAll});
  optimizer.set_lr(1, 0.5);
  CHECK(optimizer.of_step() == Sizes{64 + 64, 1, 128 + 2});
  optimizer.set_lr(2, 0.5);
  CHECK(optimizer.of_step() == Sizes{64 + 64, 64 + 128 + 2});
  optimizer.set_lr(2);
  CHECK(optimizer.of_step() == Sizes{kAll});
  Runs other_order({{p[0], p[2], p[1], p[3]}});
  CHECK(other_order.of_step() == Sizes{15, 1, 64, 77});
}

TEST_CASE("optim: each dtype has runs of its own") {
  std::vector<Tensor> p = make_parameters();
  for (Tensor& parameter : p) parameter = parameter.detach().to(float64).requires_grad_();
  const std::vector<Tensor> single = make_parameters();
  pack(single);
  pack(p);
  Gradients(single).give_all();
  Gradients(p).give_all();
  Runs optimizer({{p[0], p[1], single[0], single[1], p[2]}});
  CHECK(optimizer.of_step() == Sizes{32 + 64 + 1, 64 + 64});
}

TEST_CASE("optim: a model that is converted and packed again has a run again") {
  struct Net {
    nn::Linear first{3, 5}, second{5, 2};
  };
  Net net;
  const auto step = [&](optim::Optimizer& optimizer) {
    pack(parameters(net));
    Gradients(parameters(net)).give_all();
    optimizer.step();
  };
  Runs optimizer({parameters(net)});
  step(optimizer);
  CHECK(optimizer.sizes == Sizes{64 + 64 + 64 + 2});
  to(net, float64);
  optimizer.sizes.clear();
  step(optimizer);
  CHECK(optimizer.sizes == Sizes{32 + 32 + 32 + 2});
  CHECK(optimizer.state_dict().at("state.0.first").dtype() == float64);
}

TEST_CASE("optim: what is between two views is left alone, whatever their distance") {
  const std::vector<Tensor> p = make_parameters();
  pack(p);
  const Gradients gradients(p);
  const auto first_two = [](const Tensor& tensor) {
    return tensor.detach().view({-1}).narrow(0, 0, 2).detach();
  };
  const Tensor part = first_two(p[0]).requires_grad_();
  part.set_grad(first_two(gradients.arena().tensor(0)));
  gradients.give(1);
  Runs optimizer({{part, p[1]}});
  CHECK(optimizer.of_step() == Sizes{2, 64});

  const Tensor flat = zeros({128});  // no block that `pack` has made
  const auto piece = [&](std::int64_t begin, std::int64_t count) {
    Tensor made = flat.narrow(0, begin, count).detach().requires_grad_();
    made.set_grad(zeros({128}).narrow(0, begin, count));
    return made;
  };
  Runs of_pieces({{piece(0, 60), piece(64, 64)}});
  CHECK(of_pieces.of_step() == Sizes{60, 64});
}

const std::vector<MakeOptimizer> kVariants{
    with<optim::SGD>(optim::SGDOptions{.lr = 0.05, .weight_decay = 0.1}),
    with<optim::SGD>(optim::SGDOptions{.lr = 0.05, .momentum = 0.8, .dampening = 0.3}),
    with<optim::Adam>(optim::AdamOptions{.lr = 0.02, .weight_decay = 0.1}),
    with<optim::AdamW>(optim::AdamWOptions{.lr = 0.02, .amsgrad = true}),
    with<optim::NAdam>(optim::NAdamOptions{.lr = 0.02}),
    with<optim::RMSprop>(optim::RMSpropOptions{.lr = 0.02, .momentum = 0.5, .centered = true}),
    with<optim::Adagrad>(optim::AdagradOptions{.lr = 0.02, .initial_accumulator_value = 0.1}),
    with<optim::Rprop>(optim::RpropOptions{}),
    [](const std::vector<Tensor>& p) -> std::unique_ptr<optim::Optimizer> {
      return std::make_unique<optim::Adam>(
          std::vector<optim::Adam::Group>{{{p[0], p[1]}, {.lr = 0.01}}, {{p[2], p[3], p[4]}, {.lr = 0.1}}});
    },
};

StateDict copy(const StateDict& state) {
  StateDict copied;
  for (const auto& [key, value] : state) copied[key] = value.clone();
  return copied;
}

TEST_CASE("optim: runs give the bits of single parameters, clipped too; states keep their names") {
  for (const MakeOptimizer& make : kVariants)
    for (const DType dtype : {float32, float64}) {
      std::vector<Tensor> apart, packed;
      for (const Tensor& parameter : make_parameters()) {
        apart.push_back(parameter.detach().to(dtype).clone().requires_grad_());
        packed.push_back(apart.back().detach().clone().requires_grad_());
      }
      std::unique_ptr<optim::Optimizer> of_apart = make(apart), of_packed = make(packed);
      Arena values = pack(packed);
      auto gradients = std::make_unique<Gradients>(packed);
      for (int step = 0; step < 12; ++step) {
        CAPTURE(step);
        for (std::size_t i = 0; i < apart.size(); ++i) {
          const bool missing = (i == 1 && step % 3 == 1) || (i == 3 && step < 2);
          const Tensor gradient = randn(apart[i].shape(), {.dtype = dtype});
          apart[i].set_grad(missing ? Tensor() : gradient);
          packed[i].set_grad({});
          if (!missing) gradients->give(i, gradient);
        }
        if (step % 2 == 1)
          CHECK(identical(nn::utils::clip_grad_norm_(packed, 0.5), nn::utils::clip_grad_norm_(apart, 0.5)));
        if (step % 4 == 2) {
          nn::utils::clip_grad_value_(packed, 0.1);
          nn::utils::clip_grad_value_(apart, 0.1);
        }
        of_apart->step();
        of_packed->step();
        for (std::size_t i = 0; i < apart.size(); ++i) {
          CHECK(identical(apart[i].detach(), packed[i].detach()));
          CHECK(values.holds(i, packed[i]));
        }
        testing::check_same_state(*of_apart, *of_packed);
        if (step == 4) {  // each goes on from what the other has saved
          const StateDict one = copy(of_apart->state_dict()), other = copy(of_packed->state_dict());
          of_apart = make(apart);
          of_packed = make(packed);
          of_apart->load_state_dict(other);
          of_packed->load_state_dict(one);
          testing::check_same_state(*of_apart, *of_packed);
        }
        if (step == 7) {  // moves elements to another block
          packed[2].set_grad({});
          apart[2].set_grad({});
          pack({packed[4], packed[2], packed[0]});
          values = pack(packed);
          gradients = std::make_unique<Gradients>(packed);
        }
      }
    }
}

TEST_CASE("optim: the first gradient of an SGD momentum is not dampened, whenever it comes; as in PyTorch") {
  const optim::SGDOptions plain{.lr = 1}, with_momentum{.lr = 1, .momentum = 0.5, .dampening = 0.25};
  for (const bool packed : {false, true}) {
    CAPTURE(packed);
    std::vector<Tensor> p;
    for (int i = 0; i < 3; ++i) p.push_back(zeros({2}).requires_grad_());
    optim::SGD optimizer({{{p[0]}, with_momentum}, {{p[1]}, plain}, {{p[2]}, with_momentum}});
    if (packed) pack(p);
    const Gradients gradients(p);
    const auto step = [&](const std::vector<double>& expected) {
      for (std::size_t i = 0; i < p.size(); ++i)
        if (packed)
          gradients.give(i, ones({2}));
        else
          p[i].set_grad(ones({2}));
      if (expected[2] == 0) p[2].set_grad({});
      optimizer.step();
      for (std::size_t i = 0; i < p.size(); ++i) CHECK(identical(p[i].detach(), full({2}, expected[i])));
    };
    // b = g at first, then b / 2 + 3 g / 4.
    step({-1, -1, 0});
    step({-1 - 1.25, -2, -1});
    StateDict state = copy(optimizer.state_dict());
    for (const char* option : {"momentum", "dampening"})
      state["groups.1." + std::string(option)] = state.at("groups.0." + std::string(option));
    optimizer.load_state_dict(state);  // momentum switched on, as PyTorch's param_groups allow it
    step({-2.25 - 1.375, -2 - 1, -1 - 1.25});
    step({-3.625 - 1.4375, -3 - 1.25, -2.25 - 1.375});
    CHECK(optimizer.state_dict().at("state.1.momentum_buffer").amax().item() == 1.25);
  }
}

TEST_CASE(
    "optim: a state that is moved to its neighbours stays behind its handles; versions count one by one") {
  const std::vector<Tensor> p = make_parameters();
  optim::Adam optimizer(p);
  for (const Tensor& parameter : p) parameter.set_grad(ones_like(parameter.detach()));
  optimizer.step();
  const StateDict before = optimizer.state_dict();
  pack(p);
  const Gradients gradients(p);
  for (std::size_t i = 0; i < p.size(); ++i) gradients.give(i, ones(p[i].shape()));
  p[3].set_grad({});
  const std::uint32_t third = p[3].version(), second = p[2].version();
  optimizer.step();
  CHECK(p[2].version() == second + 1);
  CHECK(p[3].version() == third);
  const StateDict after = optimizer.state_dict();
  for (const char* key : {"state.0.exp_avg", "state.2.exp_avg_sq"}) {
    CHECK(before.at(key).is_same(after.at(key)));
    CHECK(before.at(key).amax().item() > 0);
  }
  const Tensor first = after.at("state.0.exp_avg"), next = after.at("state.1.exp_avg");
  CHECK(next.data<float>() - first.data<float>() == 64);
}

}  // namespace
}  // namespace miniparallel
