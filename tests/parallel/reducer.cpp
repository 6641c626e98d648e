#include <miniparallel/parallel/data_parallel.h>

#include "engine/tensor/tensor_impl.h"
#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <thread>

// Gradients of all replicas, summed by a few copies and kernels. The oracle is what autograd::grad does:
// there each parameter's gradients are sent and added by themselves.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::on_machine;
using testing::on_machines;
using Tensors = std::vector<Tensor>;
using Values = std::vector<std::vector<float>>;

Tensors trained(const Tensors& parameters) {
  Tensors all;
  for (const Tensor& parameter : parameters)
    if (parameter.requires_grad()) all.push_back(parameter);
  return all;
}

Values values_of(const Tensors& tensors) {
  Values all;
  for (const Tensor& tensor : tensors)
    all.push_back(tensor.defined() ? tensor.to_vector<float>() : std::vector<float>());
  return all;
}

Tensors grads_of(const Tensors& parameters) {
  Tensors all;
  for (const Tensor& parameter : parameters) all.push_back(parameter.grad());
  return all;
}

/// The bits of `backward` are those of `grad`, where each gradient is added by itself; also of a second one,
/// which adds to the first.
template <class Net>
void check_bits(const std::vector<Device>& devices, std::int64_t rows, DataParallelOptions options = {}) {
  CAPTURE(rows);
  manual_seed(7);
  options.devices = devices;
  DataParallel<Net> model(Net(), options);
  const Tensors parameters = trained(model.parameters());
  Tensors sums(parameters.size());
  for (const bool with_decay : {false, true, false}) {
    Tensor loss = mean(square(model(Net::batch(rows).to(float32))));
    if (with_decay)  // the parameters are used outside of the replicas, too
      for (const Tensor& parameter : parameters)
        loss = loss + sum(square(parameter)).to(loss.device()) * 0.01;
    const Tensors single = autograd::grad({loss}, parameters, {.retain_graph = true, .allow_unused = true});
    loss.backward();
    for (std::size_t i = 0; i < sums.size(); ++i)
      if (single[i].defined()) sums[i] = sums[i].defined() ? sums[i] + single[i] : single[i];
    CHECK(values_of(grads_of(parameters)) == values_of(sums));
  }
}

TEST_CASE("reducer: the bits of a sum are those of gradients that are added one by one") {
  on_machines([](const std::vector<Device>& devices) {
    for (const std::int64_t rows : {1, 5, 13}) check_bits<Mlp>(devices, rows);
    check_bits<testing::Odd>(devices, 13);
    check_bits<testing::Odd>(devices, 2 * static_cast<std::int64_t>(devices.size()) + 1);  // some have 3 rows
  });
  on_machine(4, [](const std::vector<Device>& devices) {
    check_bits<testing::Transformer>(devices, 9);
    check_bits<testing::NormCnn>(devices, 9, {.min_rows = 2});
  });
}

TEST_CASE("reducer: the same with several replicas on each device") {
  for (const int gpus : {1, 2, 3})
    on_machine(gpus, [](const std::vector<Device>& devices) {
      for (const int replicas : {2, 5, 8, 12}) {
        check_bits<Mlp>(devices, 27, {.replicas = replicas});
        check_bits<testing::Odd>(devices, 2 * replicas + 3, {.replicas = replicas});
      }
    });
}

TEST_CASE("reducer: the same with buckets of any size") {
  for (const int gpus : {1, 3})
    on_machine(gpus, [](const std::vector<Device>& devices) {
      for (const std::int64_t bytes : {1, 300}) {
        check_bits<Mlp>(devices, 27, {.replicas = 4, .bucket_bytes = bytes});
        check_bits<testing::Odd>(devices, 13, {.replicas = 5, .bucket_bytes = bytes});
      }
    });
  on_machine(4, [](const std::vector<Device>& devices) {
    check_bits<testing::Transformer>(devices, 9, {.bucket_bytes = 512});
  });
}

struct Scale {
  nn::Parameter w{ones({1})};
  Tensor operator()(const Tensor& x) { return x * w; }
};

TEST_CASE("reducer: sums follow the list, not the numbers of the devices") {
  on_machine(4, [](const std::vector<Device>& devices) {
    const Tensor x = tensor({1e8f, 3.0f, -1e8f, 5.0f}, {4, 1});
    for (const std::vector<std::size_t>& order :
         {std::vector<std::size_t>{3, 2, 1, 0}, {0, 1, 2, 3}, {1, 1, 0, 0}, {0, 0, 0, 0}}) {
      std::vector<Device> list;
      for (const std::size_t at : order) list.push_back(devices[at]);
      DataParallel model{Scale{}, {.devices = list}};
      model(x).sum().backward();
      CHECK(model->w.grad().device() == list[0]);
      CHECK(model->w.grad().item<float>() == 8);  // (1e8 + 3) + (-1e8 + 5)
      CHECK(autograd::grad({model(x).sum()}, {model->w})[0].item<float>() == 8);
      model.zero_grad();
      model(x).sum().backward({}, false, true);
      CHECK(model->w.grad().item<float>() == 8);
      model.zero_grad();
    }
  });
}

TEST_CASE("reducer: 16-bit parameters are summed in float32, the same on any number of GPUs") {
  struct Low {
    nn::Parameter w{ones({2}).to(float16)};
    Tensor operator()(const Tensor& x) { return x * w.to(float32); }
  };
  for (const int gpus : {1, 2, 3, 8})
    on_machine(gpus, [](const std::vector<Device>& devices) {
      DataParallel model{Low{}, {.devices = devices, .replicas = 8}};
      Tensor x = ones({8, 2});
      x.select(0, 0).fill_(2048);
      for (int round = 0; round < 2; ++round) {
        model(x).sum().backward();
        CHECK(model->w.grad().dtype() == float16);
        CHECK(model->w.grad().select(0, 0).item() == (round == 0 ? 2056 : 4112));  // 2055 is rounded once
      }
    });
}

TEST_CASE("reducer: a hook of a parameter is called once, after the reduction, with the whole sum") {
  on_machines([](const std::vector<Device>& devices) {
    Mlp net;
    Mlp alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = ones({8, 6});
    sum(alone(x)).backward();
    const Tensor expected = alone.second.weight.grad();
    int calls = 0;
    bool doubles = false;
    const auto hook = net.second.weight.register_hook([&](const Tensor& grad) {
      ++calls;
      CHECK(grad.device() == devices[0]);
      CHECK(allclose(grad.cpu(), expected, 1e-5, 1e-4));
      return doubles ? grad * 2 : Tensor();
    });
    model(x).sum().backward();
    CHECK(calls == 1);
    doubles = true;
    model(x).sum().backward();
    CHECK(calls == 2);
    CHECK(allclose(net.second.weight.grad().cpu(), expected * 3, 1e-5, 1e-4));
    net.second.weight.remove_hook(hook);
  });
}

TEST_CASE("reducer: a backward that fails leaves every gradient as it was") {
  on_machines([](const std::vector<Device>& devices) {
    struct Fails {
      nn::Linear first{6, 16}, second{16, 4};
      bool on = false;
      Tensor operator()(const Tensor& x) {
        const Tensor h = first(x);
        if (on) h.register_hook([](const Tensor&) -> Tensor { throw std::runtime_error("no gradient"); });
        return second(relu(h));
      }
    };
    DataParallel model{Fails{},
                       {.devices = devices, .bucket_bytes = 1}};  // the last layer's are summed before
    const Tensor x = randn({8, 6});
    model->on = true;
    CHECK_THROWS_WITH_AS(model(x).sum().backward(), "no gradient", std::runtime_error);
    for (const Tensor& parameter : model.parameters()) CHECK_FALSE(parameter.grad().defined());
    model->on = false;
    model(x).sum().backward();
    const Tensors grads = grads_of(model.parameters());
    const Values before = values_of(grads);
    model->on = true;
    CHECK_THROWS_WITH_AS(model(x).sum().backward(), "no gradient", std::runtime_error);
    const int hook = model->first.weight.register_hook(
        [](const Tensor&) -> Tensor { throw std::runtime_error("no hook"); });
    model->on = false;
    CHECK_THROWS_WITH_AS(model(x).sum().backward(), "no hook", std::runtime_error);
    model->first.weight.remove_hook(hook);
    CHECK(values_of(grads_of(model.parameters())) == before);
    for (std::size_t i = 0; i < grads.size(); ++i) CHECK(model.parameters()[i].grad().is_same(grads[i]));
    model.zero_grad();
    model(x).sum().backward();
    CHECK(values_of(grads_of(model.parameters())) == before);
  });
}

TEST_CASE("reducer: gradients stand in one block, which is not written while somebody holds one") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Mlp{}, {.devices = devices}};
    const Tensor x = randn({9, 6});
    model(x).sum().backward();
    Tensors grads = grads_of(model.parameters());
    for (const Tensor& grad : grads) CHECK(grad.impl()->storage == grads[0].impl()->storage);
    const Tensor kept = grads[1];
    const std::vector<float> before = kept.to_vector<float>();
    grads.clear();
    model.zero_grad();
    model(x * 2).sum().backward();
    CHECK(kept.to_vector<float>() == before);
    CHECK(kept.impl()->storage != model.parameters()[1].grad().impl()->storage);
    const std::uint32_t version = model.parameters()[0].grad().version();
    model(x).sum().backward();  // adds in place
    CHECK(model.parameters()[0].grad().version() == version + 1);
  });
}

TEST_CASE("reducer: adds to gradients that the user has set, of any layout") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Mlp{}, {.devices = devices}};
    const Tensor x = randn({9, 6});
    model(x).sum().backward();
    const Values once = values_of(grads_of(model.parameters()));
    model->first.weight.set_grad(zeros({6, 16}, {.device = devices[0]}).t());
    model->first.bias.set_grad(zeros({16}, {.device = devices[0]}));
    model->second.weight.set_grad({});
    model->second.bias.set_grad(zeros({4}, {.device = devices[0]}));
    model(x).sum().backward();
    CHECK(values_of(grads_of(model.parameters())) == once);
  });
}

TEST_CASE("reducer: bytes are counted, the partial sum of each other device once") {
  constexpr std::int64_t block = 4 * (128 + 64 + 64 + 64);  // of Mlp: each padded to 64 floats
  for (const int gpus : {2, 4, 8})
    on_machine(gpus, [&](const std::vector<Device>& devices) {
      if (devices[0] == devices[1]) return;
      for (const int replicas : {gpus, 8}) {
        DataParallel model{Mlp{}, {.devices = devices, .replicas = replicas}};
        CHECK(model.counters().bytes_reduced == 0);
        model(randn({16, 6})).sum().backward();
        CHECK(model.counters().bytes_reduced == (gpus - 1) * block);
      }
      DataParallel model{Mlp{}, {.devices = devices}};
      model->first.weight.requires_grad_(false);  // is not reduced
      model(randn({16, 6})).sum().backward();
      CHECK_FALSE(model->first.weight.grad().defined());
      CHECK(model.counters().bytes_reduced == (gpus - 1) * (block - 4 * 128));
    });
}

TEST_CASE("reducer: parameters of several dtypes in turn") {
  struct Mixed {
    nn::Parameter a{randn({3})}, b{randn({3}, {.dtype = float64})}, c{randn({3})};
    Tensor operator()(const Tensor& x) { return (x * a * c).to(float64) * b; }
  };
  on_machines([](const std::vector<Device>& devices) {
    Mixed net;
    Mixed alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({8, 3});
    model(x).sum().backward();
    alone(x).sum().backward();
    for (std::size_t i = 0; i < 3; ++i)
      CHECK(allclose(parameters(net)[i].grad().cpu(), parameters(alone)[i].grad(), 1e-4, 1e-4));
  });
}

TEST_CASE("reducer: a graph outlives its wrapper, and the model then trains alone") {
  on_machines([](const std::vector<Device>& devices) {
    Mlp net;
    const Tensor x = ones({8, 6});
    Mlp alone = clone(net);
    sum(alone(x)).backward();
    std::optional<DataParallel<Mlp>> model;
    model.emplace(net, DataParallelOptions{.devices = devices});
    const Tensor loss = sum((*model)(x));
    model.reset();
    loss.backward();
    sum(net(x.to(devices[0]))).backward();
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(allclose(parameters(net)[i].grad().cpu(), parameters(alone)[i].grad() * 2, 1e-5, 1e-4));
  });
}

TEST_CASE("reducer: two wrappers of one model, used in turn and in one loss") {
  on_machine(3, [](const std::vector<Device>& devices) {
    Mlp net;
    Mlp alone = clone(net);
    DataParallel a{net, {.devices = devices}}, b{net, {.devices = devices, .replicas = 5}};
    const Tensor x = ones({8, 6});
    sum(alone(x)).backward();
    a(x).sum().backward();
    b(x).sum().backward();
    a(x).sum().backward();
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(allclose(parameters(net)[i].grad().cpu(), parameters(alone)[i].grad() * 3, 1e-5, 1e-4));
    (a(x).sum() + b(x).sum()).backward();
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(allclose(parameters(net)[i].grad().cpu(), parameters(alone)[i].grad() * 5, 1e-5, 1e-4));
  });
}

TEST_CASE("reducer: two threads, each with a backward of its own") {
  for (int round = 0; round < 4; ++round)
    on_machine(2, [](const std::vector<Device>& devices) {
      DataParallel model{Scale{}, {.devices = devices, .replicas = 4}};
      const auto work = [&] {
        for (int i = 0; i < 5; ++i) model(ones({8, 1})).sum().backward();
      };
      std::thread other(work);
      work();
      other.join();
      CHECK(model->w.grad().item() == 80);
    });
}

TEST_CASE(
    "reducer: what captures or records sees every replica: penalties, second derivatives, shards, loss") {
  on_machines([](const std::vector<Device>& devices) {
    struct Net {
      nn::Linear first{6, 5}, second{5, 4};
      Tensor operator()(const Tensor& x, const Tensor& scale) { return second(tanh(first(x))) * scale; }
    };
    manual_seed(3);
    Net net;
    to(net, float64);
    Net alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({9, 6}, {.dtype = float64}), target = randn({9, 4}, {.dtype = float64});
    const auto penalty = [&](auto& f, const Tensor& in, const Tensor& scale, const Tensors& weights) {
      const Tensor y = sum(square(f(in, scale)));
      const Tensors first = autograd::grad({y}, {in, weights[0], weights[2]}, {.create_graph = true});
      Tensor total = y.to(Device::cpu());
      for (const Tensor& gradient : first) total = total + sum(square(gradient)).to(Device::cpu());
      return total;
    };
    const Tensor in = x.clone().requires_grad_(), same = x.clone().requires_grad_();
    const Tensor scale = full({1}, 0.5, {.dtype = float64, .requires_grad = true}),
                 same_scale = scale.detach().clone().requires_grad_();
    const auto parallel_call = [&](const Tensor& rows, const Tensor& s) {
      return model(rows, replicated(s));
    };
    penalty(alone, in, scale, parameters(alone)).backward();
    penalty(parallel_call, same, same_scale, model.parameters()).backward();
    const auto compare = [&] {
      for (std::size_t i = 0; i < 4; ++i)
        CHECK(allclose(model.parameters()[i].grad().cpu(), parameters(alone)[i].grad(), 1e-11, 1e-11));
    };
    compare();
    CHECK(allclose(same.grad(), in.grad(), 1e-11, 1e-11));
    CHECK(allclose(same_scale.grad(), scale.grad(), 1e-11, 1e-11));

    // The loss on each device, differentiated twice.
    const auto of_loss = [&](const Tensor& loss, const Tensors& weights) {
      const Tensors first = autograd::grad({loss}, {weights[0]}, {.create_graph = true});
      sum(square(first[0])).backward();
    };
    of_loss(mse_loss(alone(x, scale.detach()), target), parameters(alone));
    of_loss(model.loss(mse_loss, x, replicated(scale.detach()), target), model.parameters());
    compare();

    Tensor all = zeros({}, {.dtype = float64});
    for (const Tensor& part : model.shards(x, replicated(scale.detach())))
      all = all + sum(part).to(Device::cpu());
    const Tensor w = autograd::grad({all}, {net.first.weight})[0];
    const Tensor v = autograd::grad({sum(alone(x, scale.detach()))}, {alone.first.weight})[0];
    CHECK(allclose(w.cpu(), v, 1e-11, 1e-11));
  });
}

}  // namespace
}  // namespace miniparallel
