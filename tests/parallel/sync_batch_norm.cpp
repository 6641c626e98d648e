#include <miniparallel/parallel/data_parallel.h>

#include "../support/watchdog.h"
#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

// Batch normalisation by the statistics of the whole batch: `BatchNormPolicy::sync`.

namespace miniparallel {
namespace {

using testing::NormCnn;
using testing::on_machine;
using testing::on_machines;
using testing::Watchdog;

constexpr BatchNormPolicy sync = BatchNormPolicy::sync;

NormCnn double_net() {
  manual_seed(11);
  NormCnn net;
  to(net, float64);
  return net;
}

/// One device's model, and the same one in a wrapper: both are called with the same batch and differentiated.
template <class Net>
struct Pair {
  Net alone, net;
  DataParallel<Net> model;
  Pair(Net made, DataParallelOptions options)
      : alone(std::move(made)), net(clone(alone)), model(net, options) {}

  void step(const Tensor& batch, double tolerance) {
    const auto close = [tolerance](const Tensor& got, const Tensor& expected) {
      return allclose(got.cpu(), expected, tolerance, tolerance);
    };
    Tensor x = batch.clone(), x_alone = batch.clone();
    x.requires_grad_();
    x_alone.requires_grad_();
    const Tensor y = model(x), y_alone = alone(x_alone);
    CHECK(close(y, y_alone));
    (y * y * y).mean().backward();
    (y_alone * y_alone * y_alone).mean().backward();
    CHECK(close(x.grad(), x_alone.grad()));
    const auto parameters = miniparallel::parameters(alone);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      CHECK(close(model.parameters()[i].grad(), parameters[i].grad()));
    for (const auto& [name, buffer] : named_buffers(alone)) CHECK(close(model.state_dict().at(name), buffer));
  }
};

TEST_CASE("sync: outputs, gradients and running statistics are those of one device") {
  const Watchdog watchdog;
  on_machines([](const std::vector<Device>& devices) {
    for (const std::int64_t rows : {2, 5, 13}) {
      CAPTURE(rows);
      Pair<NormCnn> pair(double_net(), {.devices = devices, .batch_norm = sync});
      for (int step = 0; step < 2; ++step) pair.step(NormCnn::batch(rows), 1e-11);
      CHECK(pair.model->norm.num_batches_tracked.item<int>() == 2);
    }
  });
  on_machine(4, [](const std::vector<Device>& devices) {
    NormCnn net;
    Pair<NormCnn> pair(net, {.devices = devices, .batch_norm = sync});
    for (int step = 0; step < 2; ++step) pair.step(randn({13, 1, 8, 8}) * 3 + 5, 1e-5);
  });
}

TEST_CASE("sync: several replicas on a GPU, in any order of the list, of very different sizes") {
  const Watchdog watchdog;
  on_machine(2, [](const std::vector<Device>& devices) {
    const std::vector<Device> repeated{devices[1], devices[0], devices[1]};
    Pair<NormCnn>(double_net(), {.devices = repeated, .batch_norm = sync}).step(NormCnn::batch(7), 1e-11);
    Pair<NormCnn>(double_net(), {.devices = repeated, .split = Split::sizes({1, 0, 9}), .batch_norm = sync})
        .step(NormCnn::batch(10), 1e-11);
    Pair<NormCnn>(double_net(), {.devices = devices, .replicas = 5, .batch_norm = sync})
        .step(NormCnn::batch(12), 1e-11);
  });
}

struct Norms {
  nn::BatchNorm1d plain{3, {.affine = false, .track_running_stats = false}};
  nn::BatchNorm1d twice{3}, averaged{3, {.momentum = std::nullopt}};
  Tensor operator()(const Tensor& x) { return averaged(tanh(twice(twice(plain(x) * 3) + x))); }
};

TEST_CASE("sync: one row for each replica, a layer called twice, without parameters, without a momentum") {
  const Watchdog watchdog;
  on_machine(4, [](const std::vector<Device>& devices) {
    manual_seed(1);
    Norms net;
    to(net, float64);
    Pair<Norms> pair(net, {.devices = devices, .batch_norm = sync});
    for (const std::int64_t rows : {5, 4, 3}) pair.step(randn({rows, 3}, {.dtype = float64}), 1e-10);
  });
}

struct EndedNorms {
  nn::Linear fc{3, 4};
  nn::BatchNorm1d first{4, {.activation = Activation::relu}}, second{4, {.activation = Activation::relu}};
  Tensor operator()(const Tensor& x) {
    const Tensor h = fc(x);
    return second(first(h) * 3, h);
  }
};

TEST_CASE("sync: activations and a residual of the layers") {
  const Watchdog watchdog;
  on_machine(4, [](const std::vector<Device>& devices) {
    manual_seed(1);
    EndedNorms net;
    to(net, float64);
    Pair<EndedNorms> pair(net, {.devices = devices, .batch_norm = sync});
    for (const std::int64_t rows : {9, 4, 13}) pair.step(randn({rows, 3}, {.dtype = float64}), 1e-10);
  });
}

TEST_CASE("sync: a batch of one row has no variance, as on one device") {
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel model{Norms{}, {.devices = devices, .batch_norm = sync}};
    CHECK_THROWS_AS(model(zeros({1, 3})), Error);
  });
}

TEST_CASE("sync: evaluation meets nobody, and training without gradients records nothing") {
  const Watchdog watchdog;
  on_machine(3, [](const std::vector<Device>& devices) {
    NormCnn net = double_net(), alone = clone(net);
    DataParallel model{net, {.devices = devices, .batch_norm = sync}};
    const Tensor x = NormCnn::batch(10);
    {
      const NoGradGuard no_grad;
      const Tensor y = model(x);
      CHECK_FALSE(y.requires_grad());
      CHECK(allclose(y.cpu(), alone(x), 1e-11, 1e-11));
    }
    model.eval();
    eval(alone);
    CHECK(allclose(model(x).cpu(), alone(x), 1e-11, 1e-11));
    CHECK(model->norm.num_batches_tracked.item<int>() == 1);
  });
}

struct Small {
  nn::Linear fc{2, 3};
  nn::BatchNorm1d norm{3};
  Small() { to(*this, float64); }
  Tensor operator()(const Tensor& x) { return tanh(norm(fc(x))); }
  MINIPARALLEL_MEMBERS(fc, norm)
};

/// Everything is an argument.
struct Functional {
  Tensor operator()(const Tensor& x, const Tensor& w, const Tensor& scale, const Tensor& offset) const {
    return tanh(batch_norm(matmul(x, w), scale, offset, {}, {}, {.training = true}));
  }
};

TEST_CASE("sync: finite differences, once and twice") {
  const Watchdog watchdog;
  on_machine(3, [](const std::vector<Device>& devices) {
    manual_seed(3);
    DataParallel model{Functional{}, {.devices = devices, .batch_norm = sync}};
    std::vector<Tensor> inputs;
    for (const Shape& shape : {Shape{5, 2}, Shape{2, 2}, Shape{2}, Shape{2}})
      inputs.push_back(randn(shape, {.dtype = float64}).requires_grad_());
    const autograd::Function1 f = [&](const std::vector<Tensor>& in) {
      return model(in[0], replicated(in[1]), replicated(in[2]), replicated(in[3]));
    };
    CHECK(autograd::gradcheck(f, inputs) == "");
    CHECK(autograd::gradgradcheck(f, inputs) == "");
  });
}

TEST_CASE("sync: a penalty on gradients sees all replicas, and so does one without others") {
  const Watchdog watchdog;
  on_machine(4, [](const std::vector<Device>& devices) {
    manual_seed(3);
    Small net, alone = clone(net);
    DataParallel model{net, {.devices = devices, .batch_norm = sync}};
    const auto penalise = [](auto& of, const Tensor& batch) {
      Tensor x = batch.clone();
      x.requires_grad_();
      const Tensor y = of(x);
      const Tensor slope = autograd::grad({square(y).sum()}, {x}, {.create_graph = true})[0];
      (square(slope).sum() + y.sum().to(slope.device())).backward();
      return x.grad();
    };
    const Tensor x = randn({9, 2}, {.dtype = float64});
    CHECK(allclose(penalise(model, x), penalise(alone, x), 1e-10, 1e-10));
    CHECK(allclose(model->fc.weight.grad().cpu(), alone.fc.weight.grad(), 1e-10, 1e-10));
    CHECK(allclose(model->norm.weight.grad().cpu(), alone.norm.weight.grad(), 1e-10, 1e-10));
  });
}

TEST_CASE("sync: rows whose outputs nobody uses have a gradient through the statistics") {
  const Watchdog watchdog;
  on_machine(3, [](const std::vector<Device>& devices) {
    manual_seed(4);
    Small net, alone = clone(net);
    DataParallel model{net, {.devices = devices, .batch_norm = sync}};
    Tensor x = randn({6, 2}, {.dtype = float64}), x_alone = x.clone();
    x.requires_grad_();
    x_alone.requires_grad_();
    const auto check_against_one_device = [&](const autograd::GradOptions& options) {
      const auto expected = autograd::grad({square(alone(x_alone).narrow(0, 2, 2)).sum()},
                                           {x_alone, alone.fc.weight, alone.norm.weight, alone.norm.bias});
      const auto got = autograd::grad({square(model.shards(x)[1]).sum()},
                                      {x, model->fc.weight, model->norm.weight, model->norm.bias}, options);
      for (std::size_t i = 0; i < got.size(); ++i) CHECK(allclose(got[i].cpu(), expected[i], 1e-11, 1e-11));
    };
    check_against_one_device({});
    check_against_one_device({.create_graph = true});
  });
}

using Values = std::vector<std::vector<float>>;

Values train(const std::vector<Device>& devices) {
  manual_seed(21);
  NormCnn net;
  DataParallel model{net, {.devices = devices, .replicas = 8, .batch_norm = sync}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
  for (int step = 0; step < 4; ++step) {
    cross_entropy(model(randn({19, 1, 8, 8})), randint(0, 4, {19}).to(model.device())).backward();
    optimizer.step();
    optimizer.zero_grad();
  }
  Values values;
  for (const auto& [name, tensor] : model.state_dict()) values.push_back(tensor.to_vector<float>());
  return values;
}

TEST_CASE("sync: eight replicas have the same bits wherever they are") {
  const Watchdog watchdog;
  Values expected;
  on_machine(8, [&](const std::vector<Device>& devices) { expected = train(devices); });
  for (const int gpus : {1, 2, 3, 4})
    on_machine(gpus, [&](const std::vector<Device>& devices) { CHECK(train(devices) == expected); });
}

/// Does what `action` says in the replicas whose first row is at least `from`.
struct Unruly {
  nn::Linear fc{1, 2};
  nn::BatchNorm1d first{2}, second{2};
  int action = 0;
  double from = 2;
  Tensor operator()(const Tensor& x) {
    const double row = x.select(0, 0).item();
    const bool acts = row >= from;
    if (acts && action == 1) throw std::runtime_error(std::to_string(row));
    Tensor y = first(fc(x));
    if (acts && action == 2) return y;
    if (acts && action == 3) return first(second(y));
    if (acts && action == 4) return second(first(second(y)));
    if (acts && action == 5) return second(y.narrow(1, 0, 1));
    y = second(y);
    if (acts && action == 6) (void)autograd::grad({y.sum()}, {fc.weight});
    return y;
  }
};

const Tensor eight = arange(8).to(float32).view({8, 1});  // two rows for each of four replicas

TEST_CASE("sync: of replicas that fail the lowest one's exception is rethrown, and the others do not wait") {
  const Watchdog watchdog;
  for (int round = 0; round < 20; ++round)
    on_machine(4, [](const std::vector<Device>& devices) {
      DataParallel model{Unruly{}, {.devices = devices, .batch_norm = sync}};
      const auto fails_with = [&](int action, double from, const char* text) {
        model->action = action;
        model->from = from;
        CHECK_THROWS_WITH_AS(model(eight), text, std::runtime_error);
        CHECK(model->first.num_batches_tracked.item<int>() == 0);
        CHECK(equal(model->first.running_mean.cpu(), zeros({2})));
      };
      fails_with(1, 2, "2.000000");
      fails_with(1, 6, "6.000000");
      fails_with(1, 0, "0.000000");
      model->action = 0;
      model(eight).sum().backward();  // the next call works
      CHECK(model->first.num_batches_tracked.item<int>() == 1);
    });
}

TEST_CASE("sync: replicas that go different ways are an error that names them") {
  const Watchdog watchdog;
  on_machine(4, [](const std::vector<Device>& devices) {
    DataParallel model{Unruly{}, {.devices = devices, .batch_norm = sync}};
    const auto name = [&](int i) {
      return "replica " + std::to_string(i) + " on " + to_string(devices[static_cast<std::size_t>(i)]) +
             ", rows [" + std::to_string(2 * i) + ", " + std::to_string(2 * i + 2) + ")";
    };
    const std::string rule =
        "; with BatchNormPolicy::sync every replica must call the same layers in the same order";
    const auto fails_with = [&](int action, double from, const std::string& text) {
      model->action = action;
      model->from = from;
      CHECK_THROWS_WITH_AS(model(eight), text.c_str(), Error);
      CHECK(model->first.num_batches_tracked.item<int>() == 0);
    };
    fails_with(2, 4,
               "batch_norm: " + name(2) + " has returned without this layer" + rule + "\n  in " + name(0));
    fails_with(3, 4,
               "batch_norm: " + name(0) + " has returned without this layer" + rule + "\n  in " + name(2));
    fails_with(4, 6,
               "batch_norm: " + name(0) + " has returned without this layer" + rule + "\n  in " + name(3));
    fails_with(
        6, 2,
        "batch_norm: a backward through a part of a batch before all parts are done; the gradients need "
        "those of all parts, so call it on what all of them have returned\n  in "
        "batch normalisation over all replicas\n  in " +
            name(1));
    model->action = 0;
    CHECK(model(eight).shape() == Shape{8, 2});
  });
}

struct Crossed {
  nn::BatchNorm1d a{2}, b{2};
  Tensor operator()(const Tensor& x) { return x.size(0) > 2 ? a(b(x)) : b(a(x)); }
};

TEST_CASE("sync: replicas that meet at different layers are an error") {
  const Watchdog watchdog;
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel model{Crossed{}, {.devices = devices, .batch_norm = sync}};
    const std::string text =
        "batch_norm: replica 1 on " + to_string(devices[1]) +
        ", rows [3, 5) is at another layer than replica 0 on " + to_string(devices[0]) +
        ", rows [0, 3); with BatchNormPolicy::sync every replica must call the same layers "
        "in the same order\n  in replica 0 on " +
        to_string(devices[0]) + ", rows [0, 3)";
    CHECK_THROWS_WITH_AS(model(randn({5, 2})), text.c_str(), Error);
    CHECK(model(randn({6, 2})).shape() == Shape{6, 2});
  });
}

/// Layers without running statistics, by which they could be told apart.
struct Anonymous {
  nn::BatchNorm1d wide{3, {.affine = false, .track_running_stats = false}},
      narrow{2, {.affine = false, .track_running_stats = false}};
  bool crossed = false;
  Tensor operator()(const Tensor& x) {
    return crossed && x.size(0) > 2 ? narrow(x.narrow(1, 0, 2)) : wide(x).narrow(1, 0, 2);
  }
};

TEST_CASE("sync: so are layers without running statistics, if their shapes tell") {
  const Watchdog watchdog;
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel model{Anonymous{}, {.devices = devices, .batch_norm = sync}};
    model->crossed = true;
    const std::string text =
        "batch_norm: parts of one batch have shapes [3, 2] and [2, 3], dtypes float32 and float32, eps 1e-05 "
        "and 1e-05; parts that meet must be of one layer\n  in replica 0 on " +
        to_string(devices[0]) + ", rows [0, 3)";
    CHECK_THROWS_WITH_AS(model(randn({5, 3})), text.c_str(), Error);
    model->crossed = false;
    CHECK(model(randn({5, 3})).shape() == Shape{5, 2});
  });
}

TEST_CASE("sync: two threads with a wrapper each over the same GPUs") {
  const Watchdog watchdog;
  on_machine(3, [](const std::vector<Device>& devices) {
    const Tensor x = NormCnn::batch(10);
    const NormCnn net = double_net();
    NormCnn alone = clone(net);
    const Tensor expected = alone(x);
    const auto run = [&](bool reversed) {
      std::vector<Device> order = devices;
      if (reversed) std::reverse(order.begin(), order.end());
      DataParallel model{clone(net), {.devices = order, .batch_norm = sync}};
      bool same = true;
      for (int step = 0; step < 5; ++step) {
        Tensor y = model(x);
        y.sum().backward();
        same = same && allclose(y.cpu(), expected, 1e-11, 1e-11);
      }
      CHECK(same);
    };
    std::jthread other(run, true);
    run(false);
  });
}

TEST_CASE("sync: with shares by speed is refused, since nobody's time is its own") {
  on_machine(2, [](const std::vector<Device>& devices) {
    CHECK_THROWS_WITH_AS(
        DataParallel(NormCnn{}, {.devices = devices, .split = Split::by_speed, .batch_norm = sync}),
        "DataParallel: Split::by_speed with BatchNormPolicy::sync; replicas that wait for each other cannot "
        "be "
        "timed, so name their Split::shares",
        Error);
  });
}

}  // namespace
}  // namespace miniparallel
