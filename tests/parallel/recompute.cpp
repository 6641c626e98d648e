#include <miniparallel/miniparallel.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

// checkpoint inside of the model of a DataParallel.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::on_machines;
using Values = std::vector<std::vector<double>>;

struct Conv {
  nn::Conv2d conv{2, 2, 3, {.padding = 1}};
  nn::BatchNorm2d norm{2};
  nn::Dropout drop{0.3};
  Tensor operator()(const Tensor& x) { return drop(relu(norm(conv(x)))) + x; }
  static Tensor batch(std::int64_t rows) { return randn({rows, 2, 4, 4}); }
};

struct Attend {
  nn::LayerNorm norm1{8}, norm2{8};
  nn::MultiheadAttention attention{8, 2, {.dropout = 0.2, .bias = false}};
  nn::Linear wide{8, 16, {.activation = Activation::gelu_tanh}}, narrow{16, 8};
  Tensor operator()(Tensor x) {
    x = x + attention(norm1(x), {.causal = true});
    return norm2.add_norm(narrow(wide(x)), x, 0.1).y;
  }
  static Tensor batch(std::int64_t rows) { return randn({rows, 5, 8}); }
};

template <class Block, std::int64_t features>
struct Net {
  std::vector<Block> blocks = std::vector<Block>(3);
  nn::Linear head{features, 4};
  bool checkpoints = false;
  Tensor operator()(Tensor x) {
    for (Block& block : blocks) x = checkpoints ? checkpoint(block, x) : block(x);
    return head(x.flatten(1));
  }
  static Tensor batch() { return Block::batch(13); }
};
using Cnn = Net<Conv, 2 * 4 * 4>;
using Transformer = Net<Attend, 5 * 8>;

/// What steps of `replicas` on the devices leave behind.
template <class Model>
Values train(const std::vector<Device>& devices, int replicas, bool checkpoints) {
  manual_seed(7);
  Model net;
  net.checkpoints = checkpoints;
  DataParallel model{net, {.devices = devices, .replicas = replicas}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
  Values values;
  for (int step = 0; step < 2; ++step) {
    const Tensor x = Model::batch(), target = randint(0, 4, {x.size(0)});
    const Tensor loss = cross_entropy(model(x), target.to(model.device()));
    loss.backward();
    for (const Tensor& parameter : model.parameters())
      values.push_back(parameter.grad().to(float64).template to_vector<double>());
    optimizer.step();
    optimizer.zero_grad();
    values.push_back({loss.item()});
  }
  for (const auto& [name, tensor] : model.state_dict())
    values.push_back(tensor.to(float64).template to_vector<double>());
  values.push_back(randn({2}).to(float64).to_vector<double>());
  return values;
}

template <class Model>
void check_same() {
  for (const auto& [gpus, replicas] : {std::pair(1, 1), {1, 4}, {2, 2}, {4, 4}})
    on_machine(gpus, [count = replicas](const std::vector<Device>& devices) {
      CAPTURE(devices.size());
      CAPTURE(count);
      CHECK(train<Model>(devices, count, true) == train<Model>(devices, count, false));
    });
}

TEST_CASE("checkpoint in a DataParallel: a CNN has the same bits") { check_same<Cnn>(); }
TEST_CASE("checkpoint in a DataParallel: a transformer has the same bits") { check_same<Transformer>(); }

/// The text of what `f` throws as an `Error`, to its first line's end.
template <class F>
std::string error_of(const F& f) {
  try {
    f();
  } catch (const Error& error) {
    const std::string text = error.what();
    return text.substr(0, text.find('\n'));
  }
  return "nothing was thrown";
}

TEST_CASE("checkpoint around a DataParallel, or where replicas wait for each other, is an error") {
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel inner{nn::Linear{3, 4}, {.devices = devices, .replicas = 2}};
    const auto call = [&](const Tensor& x) { return inner(x); };
    CHECK(
        error_of([&] { checkpoint(call, randn({4, 3})); }) ==
        "DataParallel: called inside of checkpoint, whose second run would send to the replicas once more in "
        "backward; call checkpoint inside of the model");
    CHECK(inner(randn({4, 3})).size(0) == 4);
    Cnn net;
    net.checkpoints = true;
    DataParallel model{net, {.devices = devices, .replicas = 2, .batch_norm = BatchNormPolicy::sync}};
    CHECK(
        error_of([&] { model(Cnn::batch()); }) ==
        "checkpoint: inside of a replica of BatchNormPolicy::sync, whose batch normalisations would wait for "
        "the others again in backward; use BatchNormPolicy::merge");
  });
}

struct Failing {
  nn::Linear first{3, 4};
  bool* fails;
  MINIPARALLEL_MEMBERS(first)
  Tensor operator()(const Tensor& x) {
    return checkpoint(
        [this](const Tensor& h) {
          Tensor y = tanh(first(h));
          if (*fails) throw Error("no");
          return y;
        },
        x);
  }
};

TEST_CASE(
    "checkpoint in a DataParallel: a second run that fails names its replica, and the next step works") {
  on_machines([](const std::vector<Device>& devices) {
    bool fails = false;
    Failing net;
    net.fails = &fails;
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({16, 3});
    const Tensor y = model(x);
    fails = true;
    try {
      sum(y).backward();
      FAIL("no exception");
    } catch (const Error& error) {
      const std::string text = error.what();
      CHECK(text.starts_with("no\n  while checkpoint ran its function again for backward"));
      if (devices.size() > 1) CHECK(text.find("\n  in replica 0 on ") != std::string::npos);
    }
    fails = false;
    for (const Tensor& parameter : model.parameters()) CHECK(!parameter.grad().defined());
    sum(model(x)).backward();
    for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad().defined());
  });
}

}  // namespace
}  // namespace miniparallel
