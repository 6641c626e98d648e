#include <miniparallel/parallel/data_parallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <thread>

// Gradients that stay on their devices until a backward without no_sync.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::on_machine;
using testing::on_machines;
using Tensors = std::vector<Tensor>;

/// y = x w + v, and v for more than two rows alone.
struct Integers {
  nn::Parameter w{ones({3})}, v{ones({3})};
  Tensor operator()(const Tensor& x) {
    const Tensor y = x * w;
    return x.size(0) > 2 ? y + v : y;
  }
};

Tensor batch_of(int step) { return (arange(33).to(float32) + step).view({11, 3}); }

bool have_equal_grads(const Tensors& a, const Tensors& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].grad().defined() != b[i].grad().defined()) return false;
    if (a[i].grad().defined() && !equal(a[i].grad().cpu(), b[i].grad().cpu())) return false;
  }
  return a.size() == b.size();
}

bool is_elsewhere(Device device, const std::vector<Device>& devices) { return device != devices[0]; }

TEST_CASE(
    "no_sync: several backwards and one reduction give the sum of plain backwards, exact for integers") {
  on_machines([](const std::vector<Device>& devices) {
    for (const int replicas : {0, 8}) {
      Integers net;
      Integers same = clone(net);
      DataParallel model{net, {.devices = devices, .replicas = replicas}},
          plain{same, {.devices = devices, .replicas = replicas}};
      for (int step = 0; step < 8; ++step) {
        plain(batch_of(step)).sum().backward();
        std::optional<parallel::NoSync> guard;
        if (step % 4 != 3) guard.emplace(model.no_sync());
        model(batch_of(step)).sum().backward();
        if (guard)
          CHECK(model.counters().bytes_reduced == 0);
        else
          CHECK(model.counters().bytes_reduced == plain.counters().bytes_reduced);
        if (!guard) CHECK(have_equal_grads(model.parameters(), plain.parameters()));
      }
      // A step that fewer replicas use than those that hold something.
      {
        auto guard = model.no_sync();
        model(batch_of(1)).sum().backward();
      }
      plain(batch_of(1)).sum().backward();
      model(batch_of(2).narrow(0, 0, 1)).sum().backward();
      plain(batch_of(2).narrow(0, 0, 1)).sum().backward();
      CHECK(have_equal_grads(model.parameters(), plain.parameters()));
    }
  });
}

TEST_CASE("no_sync: equal to rounding for an MLP, whose loss is computed on each device") {
  on_machines([](const std::vector<Device>& devices) {
    Mlp net;
    to(net, float64);
    Mlp alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = Mlp::batch(13), y = randint(0, 4, {13});
    for (int step = 0; step < 3; ++step) {
      cross_entropy(alone(x), y).backward();
      std::optional<parallel::NoSync> guard;
      if (step < 2) guard.emplace(model.no_sync());
      model.loss(cross_entropy, x, y).backward();
    }
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(allclose(model.parameters()[i].grad().cpu(), parameters(alone)[i].grad(), 1e-11, 1e-11));
  });
}

TEST_CASE("no_sync: the first device's part is added at once") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Integers{}, {.devices = devices}};
    auto guard = model.no_sync();
    model(batch_of(0)).sum().backward();
    Tensor first = batch_of(0).narrow(0, 0, devices[0] == devices[1] ? 11 : 4);
    CHECK(equal(model->w.grad().cpu(), sum(first, {0})));
    model(batch_of(0)).sum().backward();
    CHECK(equal(model->w.grad().cpu(), sum(first, {0}) * 2));
  });
}

TEST_CASE("no_sync: dropping or replacing a gradient drops what other devices hold of it") {
  on_machines([](const std::vector<Device>& devices) {
    Integers net;
    Integers same = clone(net);
    DataParallel model{net, {.devices = devices}}, plain{same, {.devices = devices}};
    const auto hold = [&] {
      auto guard = model.no_sync();
      model(batch_of(5)).sum().backward();
    };
    hold();
    model.zero_grad();
    model(batch_of(1)).sum().backward();
    plain(batch_of(1)).sum().backward();
    CHECK(have_equal_grads(model.parameters(), plain.parameters()));
    hold();
    optim::SGD(model.parameters(), {.lr = 0.1}).zero_grad(false);  // replaces them by zeros
    model(batch_of(1)).sum().backward();
    CHECK(have_equal_grads(model.parameters(), plain.parameters()));
    hold();
    model->w.set_grad(model->w.grad().clone());  // of this one alone
    const Tensor w = model->w.grad().clone();
    model(batch_of(1)).sum().backward();
    CHECK(equal((model->w.grad() - w).cpu(), plain->w.grad().cpu()));
    {
      auto guard = plain.no_sync();
      plain(batch_of(5)).sum().backward();
    }
    plain(batch_of(1)).sum().backward();
    CHECK(model->v.grad().defined() == plain->v.grad().defined());
    if (plain->v.grad().defined()) CHECK(equal(model->v.grad().cpu(), plain->v.grad().cpu()));
  });
}

TEST_CASE("no_sync: a parameter that only other devices have used can be dropped, too") {
  on_machine(2, [](const std::vector<Device>& devices) {
    struct Rare {
      nn::Parameter w{ones({1})}, v{ones({1})};
      Tensor operator()(const Tensor& x) { return x.size(0) == 3 ? x * w : x * w * v; }
    };
    DataParallel model{Rare{}, {.devices = devices}};
    const auto backward = [&] { model(ones({5, 1})).sum().backward(); };  // 3 and 2 rows
    for (const bool drops : {false, true}) {
      {
        auto guard = model.no_sync();
        backward();
      }
      if (is_elsewhere(devices[1], devices)) CHECK(model->v.grad().item() == 0);
      if (drops) model.zero_grad();
      backward();
      CHECK(model->v.grad().item() == (drops ? 2 : 4));
      CHECK(model->w.grad().item() == (drops ? 5 : 10));
      model.zero_grad();
    }
  });
}

TEST_CASE("no_sync: a backward that fails loses nothing of what is held") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Integers{}, {.devices = devices}};
    {
      auto guard = model.no_sync();
      model(batch_of(0)).sum().backward();
    }
    const int hook =
        model->w.register_hook([](const Tensor&) -> Tensor { throw std::runtime_error("no hook"); });
    CHECK_THROWS_AS(model(batch_of(0)).sum().backward(), std::runtime_error);
    model->w.remove_hook(hook);
    model(batch_of(0)).sum().backward();
    CHECK(equal(model->w.grad().cpu(), sum(batch_of(0), {0}) * 2));
  });
}

TEST_CASE("no_sync: guards nest, and may outlive the wrapper") {
  on_machine(2, [](const std::vector<Device>& devices) {
    std::optional<DataParallel<Integers>> model;
    model.emplace(Integers{}, DataParallelOptions{.devices = devices});
    {
      auto outer = model->no_sync();
      {
        auto inner = model->no_sync();
      }
      (*model)(batch_of(0)).sum().backward();
      CHECK(model->counters().bytes_reduced == 0);
    }
    (*model)(batch_of(0)).sum().backward();
    CHECK(equal((*model)->w.grad().cpu(), sum(batch_of(0), {0}) * 2));
    auto guard = model->no_sync();
    model.reset();
  });
}

TEST_CASE("no_sync: create_graph is refused, for it would leave what is held behind; grad is not") {
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel model{Integers{}, {.devices = devices}};
    {
      auto guard = model.no_sync();
      CHECK_THROWS_WITH_AS(
          model(batch_of(0)).sum().backward({}, false, true),
          "DataParallel: a backward with create_graph under no_sync; its gradients are part of a graph that "
          "spans the devices, so leave create_graph out, or call it when no_sync has ended",
          Error);
      CHECK_FALSE(model->w.grad().defined());
      const Tensor g =
          autograd::grad({square(model(batch_of(0))).sum()}, {model->w}, {.create_graph = true})[0];
      g.sum().backward();  // a penalty on the gradient
    }
    if (is_elsewhere(devices[1], devices)) {
      CHECK_THROWS_WITH_AS(model(batch_of(0)).sum().backward({}, false, true),
                           "DataParallel: a backward with create_graph while gradients of no_sync wait on "
                           "their devices; call a "
                           "backward without it first, which adds them, or zero_grad(), which drops them",
                           Error);
      model.zero_grad();
    }
    model(batch_of(0)).sum().backward({}, false, true);
    model.zero_grad();
  });
}

TEST_CASE("no_sync: backwards of two threads add up") {
  on_machine(3, [](const std::vector<Device>& devices) {
    for (int round = 0; round < 20; ++round) {
      DataParallel model{Integers{}, {.devices = devices}}, plain{Integers{}, {.devices = devices}};
      {
        const auto guard = model.no_sync();
        std::vector<std::thread> threads;
        for (const int step : {1, 2})
          threads.emplace_back([&, step] { model(batch_of(step)).sum().backward(); });
        for (std::thread& thread : threads) thread.join();
      }
      model(batch_of(3)).sum().backward();
      for (const int step : {1, 2, 3}) plain(batch_of(step)).sum().backward();
      CHECK(have_equal_grads(model.parameters(), plain.parameters()));
    }
  });
}

TEST_CASE("no_sync: a model that changes while gradients wait is refused until they are dropped") {
  on_machine(2, [](const std::vector<Device>& devices) {
    if (devices[0] == devices[1]) return;  // nothing waits elsewhere
    const auto replace_layer = [&](DataParallel<Mlp>& model) {
      model->second = nn::Linear{16, 4};
      to(model.model(), devices[0]);
    };
    const auto convert = [](DataParallel<Mlp>& model) { model.to(float64); };
    for (const bool converts : {false, true}) {
      DataParallel model{Mlp{}, {.devices = devices}};
      {
        const auto guard = model.no_sync();
        model(randn({4, 6})).sum().backward();
      }
      converts ? convert(model) : replace_layer(model);
      const Tensor x = randn({4, 6}, {.dtype = converts ? float64 : float32});
      CHECK_THROWS_WITH_AS(
          model(x),
          "DataParallel: the model got other parameters or another dtype while gradients of no_sync wait on "
          "their devices; change it after the backward that adds them, or drop them with zero_grad()",
          Error);
      model.zero_grad();
      Mlp alone = clone(model.model());
      model(x).sum().backward();
      to(alone, Device::cpu());
      alone(x).sum().backward();
      for (std::size_t i = 0; i < parameters(alone).size(); ++i)
        CHECK(allclose(model.parameters()[i].grad().cpu(), parameters(alone)[i].grad(), 1e-5, 1e-5));
    }
  });
}

}  // namespace
}  // namespace miniparallel
