#include <miniparallel/parallel/data_parallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

// What people do with a model, each on several devices as on one.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::on_machines;

template <class Net>
Net double_net(std::uint64_t seed) {
  manual_seed(seed);
  Net net;
  to(net, float64);
  return net;
}

template <class Model, class Net>
void check_same_parameters(const Model& model, const Net& alone) {
  const NamedTensors ours = named_parameters(model), theirs = named_parameters(alone);
  for (std::size_t i = 0; i < ours.size(); ++i) {
    CAPTURE(ours[i].first);
    CHECK(allclose(ours[i].second.cpu(), theirs[i].second, 1e-11, 1e-11));
    REQUIRE(ours[i].second.grad().defined() == theirs[i].second.grad().defined());
    if (theirs[i].second.grad().defined())
      CHECK(allclose(ours[i].second.grad().cpu(), theirs[i].second.grad(), 1e-11, 1e-11));
  }
}

/// `train(model, device of the model)` with the wrapper and with the model alone, which must end alike.
template <class Net, class Train>
void compare(const std::vector<Device>& devices, const Train& train) {
  const Net net = double_net<Net>(5);
  Net alone = clone(net);
  DataParallel<Net> model(net, {.devices = devices, .hints = false});
  const RandomState random = random_state();
  train(alone, Device::cpu());
  set_random_state(random);
  train(model, model.device());
  check_same_parameters(model, alone);
}

TEST_CASE("uses: gradients of several batches are accumulated, then clipped") {
  on_machines([](const std::vector<Device>& devices) {
    compare<Mlp>(devices, [](auto& model, Device device) {
      optim::SGD optimizer(parameters(model), {.lr = 0.1, .momentum = 0.9});
      for (int step = 0; step < 3; ++step) {
        for (int part = 0; part < 3; ++part) {
          const Tensor x = Mlp::batch(7), y = randn({7, 4}, {.dtype = float64});
          (mse_loss(model(x), y.to(device)) / 3).backward();
        }
        nn::utils::clip_grad_norm_(parameters(model), 0.05);
        optimizer.step();
        if (step < 2) optimizer.zero_grad();
      }
    });
  });
}

/// Sequences of several lengths, which are divided like their elements.
struct Recurrent {
  nn::LSTM lstm{3, 5, {.num_layers = 2, .batch_first = true, .bidirectional = true}};
  nn::GRU gru{10, 4, {.batch_first = true}};
  nn::Linear head{4, 2};
  Tensor operator()(const Tensor& x, const Tensor& lengths) const {
    const Tensor steps = lstm(x, {}, {.lengths = lengths}).first;
    return head(gru(steps, {}, {.lengths = lengths}).second.select(0, -1));
  }
};

TEST_CASE("uses: a recurrent net") {
  on_machines([](const std::vector<Device>& devices) {
    compare<Recurrent>(devices, [](auto& model, Device device) {
      optim::Adam optimizer(parameters(model), {.lr = 1e-2});
      for (int step = 0; step < 2; ++step) {
        optimizer.zero_grad();
        const Tensor x = randn({9, 4, 3}, {.dtype = float64}), lengths = randint(1, 5, {9});
        mean(square(model(x.to(device), lengths))).backward();
        optimizer.step();
      }
    });
  });
}

struct TwoHeads {
  nn::Linear body{6, 8}, first{8, 3}, second{8, 2};
  std::pair<Tensor, Tensor> operator()(const Tensor& x) {
    const Tensor h = tanh(body(x));
    return {first(h), second(h)};
  }
};

TEST_CASE("uses: several losses, of one backward or of one each") {
  on_machines([](const std::vector<Device>& devices) {
    for (const bool together : {true, false})
      compare<TwoHeads>(devices, [&](auto& model, Device device) {
        const Tensor x = Mlp::batch(11), classes = randint(0, 3, {11}).to(device);
        auto [logits, values] = model(x);
        const Tensor first = cross_entropy(logits, classes), second = mean(square(values));
        if (together) return (first * 0.3 + second).backward();
        (first * 0.3).backward({}, true);
        second.backward();
      });
  });
}

struct Generator {
  nn::Linear first{2, 8}, second{8, 6};
  Tensor operator()(const Tensor& z) { return second(tanh(first(z))); }
};

TEST_CASE("uses: a GAN, whose two models are wrapped each") {
  on_machines([](const std::vector<Device>& devices) {
    const Generator generator = double_net<Generator>(1);
    const Mlp discriminator = double_net<Mlp>(2);
    Generator generator_alone = clone(generator);
    Mlp discriminator_alone = clone(discriminator);
    DataParallel generator_model{generator, {.devices = devices, .hints = false}};
    DataParallel discriminator_model{discriminator, {.devices = devices, .hints = false}};
    const auto train = [](auto& g, auto& d) {
      optim::Adam of_g(parameters(g), {.lr = 1e-2}), of_d(parameters(d), {.lr = 1e-2});
      for (int step = 0; step < 3; ++step) {
        const Tensor real = Mlp::batch(9), z = randn({9, 2}, {.dtype = float64});
        const auto is = [](const Tensor& score, double truth) {
          return bce_with_logits(score,
                                 full(score.shape(), truth, {.dtype = float64, .device = score.device()}));
        };
        const Tensor loss_of_d = is(d(real), 1) + is(d(g(z).detach()), 0);
        loss_of_d.backward();
        of_d.step();
        of_d.zero_grad();
        const Tensor loss_of_g = is(d(g(z)), 1);
        loss_of_g.backward();
        of_g.step();
        of_g.zero_grad();
        of_d.zero_grad();
      }
    };
    const RandomState random = random_state();
    train(generator_alone, discriminator_alone);
    set_random_state(random);
    train(generator_model, discriminator_model);
    check_same_parameters(generator_model, generator_alone);
    check_same_parameters(discriminator_model, discriminator_alone);
  });
}

TEST_CASE("uses: two wrappers of one model share its block of memory, and end in either order") {
  on_machines([](const std::vector<Device>& devices) {
    for (const std::size_t first_to_end : {0u, 1u}) {
      const Mlp net = double_net<Mlp>(4);
      Mlp alone = clone(net);
      std::vector<std::unique_ptr<DataParallel<Mlp>>> models(2);
      const auto wrap = [&](std::size_t i) {
        models[i] = std::make_unique<DataParallel<Mlp>>(net, DataParallelOptions{.devices = devices});
      };
      for (std::size_t i : {0u, 1u}) wrap(i);
      const auto check_in_place = [&](DType dtype) {
        for (const auto& model : models) (*model)(zeros({8, 6}, {.dtype = dtype}));
        for (const auto& model : models) {
          (*model)(zeros({8, 6}, {.dtype = dtype}));
          CHECK(model->counters().bytes_refreshed == 0);  // the other has not moved it
        }
      };
      optim::SGD optimizer(parameters(net), {.lr = 0.1}), serial(parameters(alone), {.lr = 0.1});
      for (int step = 0; step < 3; ++step) {
        const Tensor x = Mlp::batch(10), y = Mlp::batch(9);
        const Tensor loss = mean(square((*models[0])(x)));
        mean(square((*models[1])(y))).backward();
        check_in_place(float64);
        if (step == 1) models[first_to_end].reset();
        loss.backward();
        if (step == 1) wrap(first_to_end);
        mean(square(alone(y))).backward();
        mean(square(alone(x))).backward();
        check_same_parameters(net, alone);
        optimizer.step();
        serial.step();
        optimizer.zero_grad();
        serial.zero_grad();
      }
      models[1]->to(float32);
      check_in_place(float32);
    }
  });
}

struct Rescale {
  double factor = 2;
  Tensor operator()(const Tensor& x) { return x * factor; }
};

TEST_CASE("uses: a model without parameters") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel model{Rescale{}, {.devices = devices}};
    CHECK(model.parameters().empty());
    const Tensor x = arange(10).to(float64).view({5, 2}).requires_grad_();
    const Tensor y = model(x);
    CHECK(equal(y.detach().cpu(), x.detach() * 2));
    y.sum().backward();
    CHECK(equal(x.grad(), full({5, 2}, 2.0, {.dtype = float64})));
    model->factor = 3;
    CHECK(equal(model(x.detach()).cpu(), x.detach() * 3));
  });
}

/// An energy and its slope, which is what is trained on.
struct Forces {
  nn::Linear first{6, 8}, second{8, 1};
  Tensor operator()(const Tensor& x) {
    const Tensor at = x.detach().requires_grad_();
    const Tensor energy = second(tanh(first(at)));
    return autograd::grad({energy.sum()}, {at}, {.create_graph = true})[0];
  }
};

TEST_CASE("uses: grad inside a forward") {
  on_machines([](const std::vector<Device>& devices) {
    compare<Forces>(devices, [](auto& model, Device device) {
      const Tensor x = Mlp::batch(9), y = randn({9, 6}, {.dtype = float64});
      mse_loss(model(x), y.to(device)).backward();
    });
  });
}

TEST_CASE("uses: a gradient penalty, by a second derivative through the wrapper") {
  on_machines([](const std::vector<Device>& devices) {
    compare<TwoHeads>(devices, [](auto& model, Device) {
      const Tensor x = Mlp::batch(9).requires_grad_();
      const Tensor slope = autograd::grad({model(x).first.sum()}, {x}, {.create_graph = true})[0];
      mean(square(slope)).backward();
      x.set_grad({});
    });
  });
}

TEST_CASE("uses: gradients asked for by grad, of the wrapper's parameters") {
  on_machines([](const std::vector<Device>& devices) {
    const Mlp net = double_net<Mlp>(3);
    Mlp alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = Mlp::batch(13);
    const std::vector<Tensor> ours = autograd::grad({mean(square(model(x)))}, model.parameters()),
                              theirs = autograd::grad({mean(square(alone(x)))}, parameters(alone));
    for (std::size_t i = 0; i < ours.size(); ++i) {
      CHECK(allclose(ours[i].cpu(), theirs[i], 1e-11, 1e-11));
      CHECK_FALSE(model.parameters()[i].grad().defined());
    }
  });
}

/// A hook that differentiates a graph of its own while the outer backward runs.
struct Hooked {
  nn::Linear fc{6, 4};
  Tensor operator()(const Tensor& x) {
    Tensor y = fc(x);
    if (y.requires_grad())
      y.register_hook([](const Tensor& grad) {
        set_grad_enabled(true);
        const Tensor w =
            ones(grad.shape(), {.dtype = grad.dtype(), .device = grad.device(), .requires_grad = true});
        square(w * grad).sum().backward();
        set_grad_enabled(false);
        return w.grad() * 0.5;  // grad squared
      });
    return y;
  }
};

TEST_CASE("uses: a hook that calls backward") {
  on_machines([](const std::vector<Device>& devices) {
    compare<Hooked>(devices, [](auto& model, Device device) {
      const Tensor x = Mlp::batch(9), weights = randn({9, 4}, {.dtype = float64});
      (model(x) * weights.to(device)).sum().backward();
    });
  });
}

TEST_CASE("uses: two threads, each with a wrapper of its own on the same devices") {
  on_machines([](const std::vector<Device>& devices) {
    std::vector<Mlp> alone;
    std::vector<std::unique_ptr<DataParallel<Mlp>>> models;
    std::vector<Tensor> batches;
    for (int i = 0; i < 2; ++i) {
      const Mlp net = double_net<Mlp>(static_cast<std::uint64_t>(i));
      alone.push_back(clone(net));
      models.push_back(std::make_unique<DataParallel<Mlp>>(net, DataParallelOptions{.devices = devices}));
      batches.push_back(Mlp::batch(10 + i));
    }
    const auto train = [](auto& model, const Tensor& x) {
      optim::SGD optimizer(parameters(model), {.lr = 0.05});
      for (int step = 0; step < 3; ++step) {
        optimizer.zero_grad();
        mean(square(model(x))).backward();
        optimizer.step();
      }
    };
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < 2; ++i) threads.emplace_back([&, i] { train(*models[i], batches[i]); });
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < 2; ++i) {
      train(alone[i], batches[i]);
      check_same_parameters(*models[i], alone[i]);
    }
  });
}

/// Remembers the largest input that it has seen: each replica that of its rows, the first one's stays.
struct Remembers {
  nn::Linear fc{6, 4};
  nn::Buffer most{zeros({1})};
  Tensor operator()(const Tensor& x) {
    {
      const NoGradGuard no_grad;
      Tensor(most).copy_(maximum(most, amax(x)));
    }
    return fc(x) * most;
  }
};

TEST_CASE("uses: a buffer that the forward writes and reads") {
  on_machines([](const std::vector<Device>& devices) {
    const Remembers net = double_net<Remembers>(8);
    Remembers alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    // The largest element comes first in each row, so all see the same.
    Tensor x = Mlp::batch(10).clamp(-1, 1);
    x.narrow(1, 0, 1).fill_(2);
    for (const double factor : {1.0, 3.0, 2.0}) {
      model(x * factor).sum().backward();
      alone(x * factor).sum().backward();
      CHECK(model->most.item() == alone.most.item());
    }
    check_same_parameters(model, alone);
  });
}

TEST_CASE("uses: training of a transformer block and of odd models, step by step") {
  on_machines([](const std::vector<Device>& devices) {
    const auto train = [](Tensor (*batch)(std::int64_t)) {
      return [batch](auto& model, Device device) {
        optim::Adam optimizer(parameters(model), {.lr = 1e-3});
        for (int step = 0; step < 3; ++step) {
          const Tensor x = batch(33), y = randint(0, 4, {33});  // 3 rows and more for each replica: see Odd
          optimizer.zero_grad();
          cross_entropy(model(x), y.to(device)).backward();
          optimizer.step();
        }
      };
    };
    compare<testing::Transformer>(devices, train(testing::Transformer::batch));
    compare<testing::DropoutMlp>(devices, train(testing::DropoutMlp::batch));
    compare<testing::Odd>(devices, train(testing::Odd::batch));
  });
}

TEST_CASE("uses: a hook that throws leaves the gradients of every wrapper in the loss as they were") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel one{Mlp{}, {.devices = devices}}, other{Mlp{}, {.devices = devices}};
    bool fails = true;
    for (DataParallel<Mlp>* const model : {&one, &other})
      (*model)->second.bias.register_hook([&, model](const Tensor&) -> Tensor {
        if (fails && model == &other) throw std::runtime_error("a hook");
        return {};
      });
    const auto loss = [&] { return one(zeros({8, 6})).sum() + other(zeros({8, 6})).sum(); };
    CHECK_THROWS_WITH_AS(loss().backward(), "a hook", std::runtime_error);
    for (const Tensor& parameter : one.parameters()) CHECK_FALSE(parameter.grad().defined());
    for (const Tensor& parameter : other.parameters()) CHECK_FALSE(parameter.grad().defined());
    fails = false;
    loss().backward();
    CHECK(one->second.bias.grad()[0].item() == 8);
    CHECK(other->second.bias.grad()[0].item() == 8);
  });
}

}  // namespace
}  // namespace miniparallel
