#include <miniparallel/model.h>

#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace miniparallel;
using testing::error_of;

namespace {

struct Scale {
  nn::Parameter weight{full({3}, 2.0)};
  nn::Parameter bias = {};  // undefined
  nn::Training training = {};
  Tensor operator()(const Tensor& x) const { return x * weight; }
};

struct Block {
  Scale fc;
  nn::Buffer count{zeros({}, {.dtype = int64})};
};

struct Net {
  Scale first;
  std::vector<Block> blocks{2};
  Tensor positions = arange(3.0);
  double rate = 0.5;
  nn::Parameter tied = first.weight;
  nn::Training training;

  Tensor operator()(const Tensor& x) {
    Tensor y = first(x);
    for (Block& block : blocks) y = block.fc(y) + positions;
    return y * tied;
  }
};

std::vector<std::string> names(const NamedTensors& tensors) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : tensors) result.push_back(name);
  return result;
}

std::vector<std::string> keys(const StateDict& state) {
  std::vector<std::string> result;
  for (const auto& [name, tensor] : state) result.push_back(name);
  return result;
}

std::vector<double> values(const Tensor& tensor) { return tensor.to_vector<double>(); }

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("model: parameters and buffers are named by their path, tied ones given once") {
  Net net;
  CHECK(names(named_parameters(net)) ==
        std::vector<std::string>{"first.weight", "blocks.0.fc.weight", "blocks.1.fc.weight"});
  CHECK(names(named_buffers(net)) == std::vector<std::string>{"blocks.0.count", "blocks.1.count"});
  CHECK(parameters(net).size() == 3);
  CHECK(parameters(net)[0].is_same(net.first.weight));
  CHECK(num_parameters(net) == 9);
  CHECK(keys(state_dict(net)) == std::vector<std::string>{"blocks.0.count", "blocks.0.fc.weight",
                                                          "blocks.1.count", "blocks.1.fc.weight",
                                                          "first.weight", "tied"});
}

TEST_CASE("model: a const model, a container and a layer are models too") {
  const Net net;
  CHECK(parameters(net).size() == 3);
  std::vector<Scale> layers(2);
  CHECK(names(named_parameters(layers)) == std::vector<std::string>{"0.weight", "1.weight"});
  CHECK(names(named_parameters(layers[0])) == std::vector<std::string>{"weight"});
}

TEST_CASE("Parameter: requires grad where it can, starts a new leaf over the same elements") {
  const Tensor value = ones({2});
  const nn::Parameter parameter(value);
  CHECK(parameter.requires_grad());
  CHECK(parameter.is_leaf());
  CHECK_FALSE(value.requires_grad());
  CHECK_FALSE(nn::Parameter(zeros({2}, {.dtype = int64})).requires_grad());
  CHECK_FALSE(nn::Parameter(value, false).requires_grad());
  CHECK_FALSE(nn::Buffer(parameter).requires_grad());
}

TEST_CASE("model: copies share their tensors, clones do not and keep ties") {
  Net net;
  const Net copy = net;
  Net cloned = clone(net);
  {
    const NoGradGuard guard;
    net.first.weight.fill_(7);
    net.positions.fill_(9);
  }
  CHECK(values(copy.first.weight) == std::vector<double>{7, 7, 7});
  CHECK(values(cloned.first.weight) == std::vector<double>{2, 2, 2});
  CHECK(values(cloned.positions) == std::vector<double>{0, 1, 2});
  CHECK(cloned.tied.is_same(cloned.first.weight));
  CHECK(cloned.first.weight.requires_grad());
  CHECK_FALSE(cloned.first.bias.defined());
  CHECK(parameters(cloned).size() == 3);

  requires_grad_(net, false);
  CHECK_FALSE(clone(net).first.weight.requires_grad());
}

TEST_CASE("clone: models with unique_ptr members, without gradients") {
  struct Owner {
    std::vector<std::unique_ptr<Scale>> layers;
    std::map<std::string, Scale> heads;
  };
  Owner owner;
  owner.layers.push_back(std::make_unique<Scale>());
  owner.heads.emplace("left", Scale{.weight = owner.layers[0]->weight});
  (*owner.layers[0])(ones({3})).backward(ones({3}));
  const Owner cloned = clone(owner);
  CHECK(cloned.heads.at("left").weight.is_same(cloned.layers[0]->weight));
  CHECK_FALSE(cloned.layers[0]->weight.is_same(owner.layers[0]->weight));
  CHECK(owner.layers[0]->weight.grad().defined());
  CHECK_FALSE(cloned.layers[0]->weight.grad().defined());
}

TEST_CASE("to: converts behind the handles, so optimizers, copies and ties follow") {
  Net net;
  const std::vector<Tensor> held = parameters(net);  // as an optimizer holds them
  const Net copy = net;
  net(ones({3})).backward(ones({3}));
  const std::vector<double> gradient = values(held[0].grad());

  to(net, float64);
  CHECK(held[0].dtype() == float64);
  CHECK(held[0].grad().dtype() == float64);
  CHECK(values(held[0].grad()) == gradient);
  CHECK(held[0].is_same(net.first.weight));
  CHECK(copy.blocks[1].fc.weight.dtype() == float64);
  CHECK(net.tied.is_same(net.first.weight));
  CHECK(net.blocks[0].count.dtype() == int64);
  CHECK(net.positions.dtype() == float64);
  CHECK(held[0].requires_grad());

  zero_grad(net);
  CHECK_FALSE(held[0].grad().defined());
  net(ones({3}, {.dtype = float64})).backward(ones({3}, {.dtype = float64}));
  CHECK(held[0].grad().dtype() == float64);

  to(net, Device::cpu(), float32);
  CHECK(held[0].dtype() == float32);
  CHECK(contains(error_of([&] { to(net, int64); }), "floating"));
}

TEST_CASE("train and eval reach every flag, requires_grad_ every parameter") {
  Net net;
  eval(net);
  CHECK_FALSE(net.training);
  CHECK_FALSE(net.blocks[1].fc.training);
  train(net);
  CHECK(net.training);
  CHECK(net.blocks[1].fc.training);
  requires_grad_(net, false);
  for (const Tensor& parameter : parameters(net)) CHECK_FALSE(parameter.requires_grad());
  requires_grad_(net);
  CHECK(net.blocks[0].fc.weight.requires_grad());
}

TEST_CASE("load_state_dict: restores what state_dict saw, across dtypes, also with PyTorch's module prefix") {
  Net net;
  {
    const NoGradGuard guard;
    net.first.weight.fill_(5);
    net.blocks[1].count.fill_(3);
  }
  const StateDict state = state_dict(clone(net));
  Net other;
  const Tensor held = other.first.weight;
  load_state_dict(other, state);
  CHECK(values(held) == std::vector<double>{5, 5, 5});
  CHECK(other.blocks[1].count.item<int>() == 3);
  CHECK(held.requires_grad());

  StateDict prefixed;
  for (const auto& [name, tensor] : state) prefixed["module." + name] = tensor;
  Net third;
  to(third, float64);
  load_state_dict(third, prefixed);
  CHECK(values(third.tied) == std::vector<double>{5, 5, 5});
  CHECK(third.tied.dtype() == float64);
}

TEST_CASE("load_state_dict: one error lists everything that does not fit, and nothing changes") {
  Net net;
  StateDict state = state_dict(clone(net));
  for (auto& [name, tensor] : state) tensor.fill_(1);
  state.erase("first.weight");
  state.erase("tied");
  state.erase("blocks.0.count");
  state["blocks.0.fc.weight"] = ones({2, 3});
  state["fc9.weight"] = ones({3});
  const std::string error = error_of([&] { load_state_dict(net, state); });
  CHECK(contains(error, "missing, in the model only:\n    first.weight\n    tied\n    blocks.0.count\n"));
  CHECK(contains(error, "unexpected, in the state dict only:\n    fc9.weight\n"));
  CHECK(contains(error, "mismatched:\n    blocks.0.fc.weight: the model has [3], the state dict [2, 3]\n"));
  CHECK(contains(error, "strict = false"));
  CHECK(values(net.blocks[1].fc.weight) == std::vector<double>{2, 2, 2});

  CHECK(contains(error_of([&] { load_state_dict(net, state, {.strict = false}); }), "mismatched"));
  CHECK(values(net.blocks[1].fc.weight) == std::vector<double>{2, 2, 2});

  state.erase("blocks.0.fc.weight");
  const LoadReport report = load_state_dict(net, state, {.strict = false});
  CHECK(report.missing ==
        std::vector<std::string>{"first.weight", "tied", "blocks.0.fc.weight", "blocks.0.count"});
  CHECK(report.unexpected == std::vector<std::string>{"fc9.weight"});
  CHECK(values(net.blocks[1].fc.weight) == std::vector<double>{1, 1, 1});
}

TEST_CASE("load_state_dict: of tied tensors any one name suffices; several must agree") {
  for (const std::string name : {"first.weight", "tied", "module.tied"}) {
    CAPTURE(name);
    Net net;
    StateDict state = state_dict(clone(net));
    for (const char* tied : {"first.weight", "tied"}) state.erase(tied);
    state[name] = full({3}, 5.0);
    const LoadReport report = load_state_dict(net, state);
    CHECK(report.missing.empty());
    CHECK(report.unexpected.empty());
    CHECK(values(net.first.weight) == std::vector<double>{5, 5, 5});
    CHECK(net.tied.is_same(net.first.weight));
  }

  Net net;
  StateDict state = state_dict(clone(net));
  state["first.weight"] = tensor({1.0, double{NAN}, 3.0});
  state["tied"] = tensor({1.0, double{NAN}, 3.0}).to(float64);  // the same to this model
  load_state_dict(net, state);
  CHECK(values(net.tied)[2] == 3);

  state["tied"] = tensor({1.0, 2.0, 3.0});
  state["first.weight"] = tensor({1.0, 2.0, 4.0});
  for (const bool strict : {true, false}) {
    const std::string error = error_of([&] { load_state_dict(net, state, {.strict = strict}); });
    CHECK(contains(error, "tied: tied to first.weight in the model, of another value in the state dict"));
    CHECK_FALSE(contains(error, "strict = false"));
    CHECK(values(net.tied)[2] == 3);
  }
}
