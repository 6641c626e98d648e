#include <miniparallel/miniparallel.h>

#include "nets.h"
#include "simulated.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// Models and optimizers of every sort: a captured step trains them as a plain one does, bit for bit.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

using Values = std::vector<std::vector<float>>;

void append(Values& values, const Tensor& tensor) {
  values.push_back(tensor.detach().to(float32).to_vector<float>());
}
template <class Of>
void append_state(Values& values, Of& of) {
  for (const auto& [name, tensor] : state_dict(of)) append(values, tensor);
}
void append_optimizer(Values& values, optim::Optimizer& of) {
  for (const auto& [name, tensor] : of.state_dict()) append(values, tensor);
}

using Step = std::function<Tensor(const Tensor&, const Tensor&)>;
/// Runs a step, in one of the two ways.
using Runner = std::function<Tensor(const Tensor&, const Tensor&)>;

class Ways {
 public:
  explicit Ways(bool captures) : captures_(captures) {}
  Runner operator()(Step step) {
    if (!captures_) return step;
    auto captured = std::make_shared<CapturedStep<Step>>(std::move(step));
    all_.push_back(captured);
    return [captured](const Tensor& x, const Tensor& y) { return (*captured)(x, y); };
  }
  ~Ways() {
    for (const auto& each : all_) {
      CHECK(each->counters().reason == "");
      CHECK(each->counters().replayed > 0);
    }
  }

 private:
  bool captures_;
  std::vector<std::shared_ptr<CapturedStep<Step>>> all_;
};

/// `train(ways)` trains from the same start in both ways.
template <class Train>
void check_same(Train train) {
  const auto run = [&](bool captures) {
    const Simulated machine;
    manual_seed(3);
    Ways ways(captures);
    return train(ways);
  };
  const Values expected = run(false), got = run(true);
  CHECK(got.size() == expected.size());
  CHECK(got == expected);
}

/// Trains a net by `make(parameters)`'s optimizer; `between` follows each step.
template <class Net, class Make>
void check_training(
    Make make, const std::function<void(optim::Optimizer&, double, int)>& between = [](auto&, double, int) {},
    DType dtype = float32) {
  check_same([&](Ways& ways) {
    Net net;
    to(net, gpu);
    to(net, dtype);
    auto optimizer = make(net);
    const Runner step = ways([&](const Tensor& x, const Tensor& y) {
      optimizer.zero_grad();
      Tensor loss = cross_entropy(net(x), y);
      loss.backward();
      optimizer.step();
      return loss;
    });
    Values values;
    for (int i = 0; i < 9; ++i) {
      const Tensor x = Net::inputs().to(gpu);
      const Tensor loss = step(x.is_floating() ? x.to(dtype) : x, Net::targets().to(gpu));
      append(values, loss);
      between(optimizer, loss.item(), i);
    }
    append_state(values, net);
    append_optimizer(values, optimizer);
    return values;
  });
}

template <class Optimizer, class Options>
void check_optimizer(const Options& options) {
  check_training<testing::Mlp>([&](auto& net) { return Optimizer(parameters(net), options); });
}

struct Recurrent {
  nn::Embedding embedding{11, 6, {.padding_idx = 0}};
  nn::LSTM lstm{6, 8, {.num_layers = 2, .batch_first = true, .dropout = 0.3, .bidirectional = true}};
  nn::GRU gru{16, 5, {.batch_first = true}};
  nn::Linear last{5, 4};

  Tensor operator()(const Tensor& x) { return last(gru(lstm(embedding(x)).first).second[0]); }
  static Tensor inputs() { return randint(0, 11, {6, 7}); }
  static Tensor targets() { return randint(0, 4, {6}); }
};

struct Averaging {
  nn::Conv2d conv{2, 4, 3, {.padding = 1}};
  nn::BatchNorm2d norm{4, {.momentum = std::nullopt}};
  nn::Linear last{4 * 36, 3};

  Tensor operator()(const Tensor& x) { return last(relu(norm(conv(x))).flatten(1)); }
  static Tensor inputs() { return randn({5, 2, 6, 6}); }
  static Tensor targets() { return randint(0, 3, {5}); }
};

}  // namespace

TEST_CASE("capture: optimizers of every kind") {
  using namespace optim;
  check_optimizer<SGD>(SGDOptions{.lr = 0.1});
  check_optimizer<SGD>(SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.1, .weight_decay = 0.01});
  check_optimizer<SGD>(SGDOptions{.lr = 0.1, .momentum = 0.9, .nesterov = true});
  check_optimizer<Adam>(AdamOptions{.lr = 0.01, .weight_decay = 0.01, .amsgrad = true});
  check_optimizer<AdamW>(AdamWOptions{.lr = 0.01, .amsgrad = true, .maximize = true});
  check_optimizer<Adamax>(AdamaxOptions{});
  check_optimizer<NAdam>(NAdamOptions{});
  check_optimizer<RAdam>(RAdamOptions{.lr = 0.01});
  check_optimizer<Lion>(LionOptions{});
  check_optimizer<RMSprop>(RMSpropOptions{.momentum = 0.5, .centered = true});
  check_optimizer<Adagrad>(AdagradOptions{.lr_decay = 0.1});
  check_optimizer<Adadelta>(AdadeltaOptions{});
  check_optimizer<Rprop>(RpropOptions{});
}

TEST_CASE("capture: bfloat16 parameters, rounded to nearest or at random") {
  for (const bool at_random : {false, true}) {
    CAPTURE(at_random);
    const optim::AdamWOptions options{.lr = 1e-3, .stochastic_rounding = at_random};
    const auto adam = [&](auto& net) { return optim::AdamW(parameters(net), options); };
    check_training<testing::Mlp>(adam, [](auto&, double, int) {}, bfloat16);
    check_training<testing::Transformer>(adam, [](auto&, double, int) {}, bfloat16);
    check_training<testing::Cnn>(adam, [](auto&, double, int) {}, bfloat16);
  }
}

TEST_CASE("capture: parameter groups and schedules") {
  check_training<testing::Mlp>(
      [](testing::Mlp& net) {
        const std::vector<Tensor> all = parameters(net);
        return optim::Adam({{{all[0], all[1]}, {.lr = 0.01}}, {{all[2], all[3]}, {.lr = 0.01}}});
      },
      [](optim::Optimizer& of, double, int step) {
        if (step == 4) of.set_lr(1, 0.2);
        if (step == 6) of.set_lr(0.001);
      });
  std::unique_ptr<optim::ReduceLROnPlateau> plateau;
  check_training<testing::Mlp>(
      [](testing::Mlp& net) { return optim::SGD(parameters(net), {.lr = 2, .momentum = 0.9}); },
      [&](optim::Optimizer& of, double loss, int step) {
        if (step == 0)
          plateau = std::make_unique<optim::ReduceLROnPlateau>(
              of, optim::ReduceLROnPlateauOptions{.factor = 0.5, .patience = 0});
        plateau->step(loss);
      });
}

TEST_CASE("capture: recurrent nets, attention, convolutions, averaged statistics") {
  const auto adam = [](auto& net) { return optim::Adam(parameters(net), {.lr = 0.01}); };
  check_training<Recurrent>(adam);
  check_training<testing::Transformer>(adam);
  check_training<testing::Cnn>(adam);
  check_training<Averaging>(adam);
}

namespace {

struct Gan {
  nn::Linear generator{4, 6}, critic{6, 1};
  optim::Adam of_generator, of_critic;

  Gan()
      : of_generator((to(generator, gpu), parameters(generator)), {.lr = 0.01}),
        of_critic((to(critic, gpu), parameters(critic)), {.lr = 0.02}) {}

  Tensor improve_critic(const Tensor& real) {
    of_critic.zero_grad();
    const Tensor fake = generator(randn({real.size(0), 4}, {.device = gpu})).detach();
    const Tensor mixed = (real * 0.5 + fake * 0.5).requires_grad_();
    const Tensor slope =
        autograd::grad({(critic(mixed) * critic(mixed)).sum()}, {mixed}, {.create_graph = true})[0];
    Tensor loss = critic(fake).mean() - critic(real).mean() + (slope * slope).mean() * 10;
    loss.backward();
    of_critic.step();
    return loss.detach();  // parts of the graph of the slope are left
  }
  Tensor improve_generator(std::int64_t rows) {
    of_generator.zero_grad();
    of_critic.zero_grad();  // to which the last one has added
    Tensor loss = -critic(generator(randn({rows, 4}, {.device = gpu}))).mean();
    loss.backward();
    of_generator.step();
    return loss;
  }
  void append_to(Values& values) {
    append_state(values, generator);
    append_state(values, critic);
    append_optimizer(values, of_generator);
    append_optimizer(values, of_critic);
  }
};

}  // namespace

TEST_CASE("capture: two models and a gradient penalty, in one step and in two") {
  for (const bool together : {true, false})
    check_same([&](Ways& ways) {
      Gan gan;
      const Runner both = ways([&](const Tensor& real, const Tensor&) {
        const Tensor loss = gan.improve_critic(real);
        return together ? loss + gan.improve_generator(real.size(0)) : loss;
      });
      const Runner second = together ? both : ways([&](const Tensor& real, const Tensor&) {
        return gan.improve_generator(real.size(0));
      });
      Values values;
      for (int i = 0; i < 10; ++i) {
        append(values, both(randn({5, 6}).to(gpu), {}));
        if (!together && i % 2 == 0) append(values, second(zeros({5, 1}, {.device = gpu}), {}));
        gan.append_to(values);
      }
      return values;
    });
}

TEST_CASE("capture: evaluation follows training, and an average of the weights") {
  check_same([](Ways& ways) {
    testing::Mlp net;
    to(net, gpu);
    optim::Adam optimizer(parameters(net), {.lr = 0.05});
    optim::AveragedModel average(net, {.decay = 0.5});
    const Runner train = ways([&](const Tensor& x, const Tensor& y) {
      Tensor loss = cross_entropy(net(x), y);
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      return loss;
    });
    const Runner evaluate = ways([&](const Tensor& x, const Tensor&) {
      const NoGradGuard no_grad;
      return net(x).argmax(1) + average(x).argmax(1);
    });
    Values values;
    std::vector<Tensor> held;
    for (int i = 0; i < 9; ++i) {
      const Tensor x = testing::Mlp::inputs().to(gpu);
      held.push_back(train(x, testing::Mlp::targets().to(gpu)));
      average.update_parameters(net);
      held.push_back(evaluate(x, {}));
    }
    for (const Tensor& each : held) append(values, each);
    return values;
  });
}

TEST_CASE("capture: modes and default dtype of the thread change between calls") {
  const Simulated machine;
  Tensor weight = full({3}, 2.f, {.device = gpu}).requires_grad_();
  auto step = capture([&](const Tensor& x) {
    const Tensor y = (x * weight).sum() + zeros({}, {.device = gpu}).sum();
    weight.set_grad({});
    if (y.requires_grad()) y.backward();
    return std::pair(y, zeros({2}, {.device = gpu}));
  });
  const Tensor one = ones({3}, {.device = gpu});
  for (int i = 0; i < 12; ++i) {
    const bool grad = i % 2 == 0;
    set_default_dtype(i % 3 == 0 ? float64 : float32);
    if (grad) {
      CHECK(step(one).second.dtype() == default_dtype());
    } else {
      const NoGradGuard no_grad;
      CHECK(step(one).second.dtype() == default_dtype());
    }
    CHECK(weight.grad().defined() == grad);
  }
  set_default_dtype(float32);
}

TEST_CASE("capture: Autocast within a step and around it, and calls with and without") {
  const auto train = [](bool captures, bool within) {
    const Simulated machine;
    manual_seed(3);
    nn::Sequential net(nn::Linear{6, 16}, nn::ReLU{}, nn::Linear{16, 3});
    to(net, gpu);
    optim::SGD optimizer(parameters(net), {.lr = 0.1, .momentum = 0.9});
    const auto plain = [&](const Tensor& x, const Tensor& y) {
      Tensor logits;
      {
        const Autocast guard({.enabled = within || autocast_enabled()});
        logits = net(x);
      }
      cross_entropy(logits, y).backward();
      optimizer.step();
      optimizer.zero_grad();
      return logits.detach();
    };
    auto step = capture(plain);
    std::vector<double> values;
    const auto call = [&] {
      const Tensor x = randn({8, 6}).to(gpu), y = randint(0, 3, {8}).to(gpu);
      const Tensor logits = captures ? step(x, y) : plain(x, y);
      CHECK(logits.dtype() == (within || autocast_enabled() ? bfloat16 : float32));
      for (const double value : logits.to_vector<double>()) values.push_back(value);
    };
    for (int round = 0; round < 2; ++round) {
      {
        const Autocast around;
        for (int i = 0; i < 6; ++i) call();
      }
      for (int i = 0; i < 6; ++i) call();
    }
    if (captures) {
      CHECK(step.counters().reason == "");
      CHECK(step.counters().replayed >= 12);
    }
    for (const Tensor& parameter : parameters(net))
      for (const double value : parameter.to_vector<double>()) values.push_back(value);
    return values;
  };
  for (const bool within : {false, true}) {
    CAPTURE(within);
    CHECK(train(true, within) == train(false, within));
  }
}

}  // namespace miniparallel
