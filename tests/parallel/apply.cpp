#include <miniparallel/parallel/apply.h>

#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <tuple>

// replicate, parallel_apply and gather by hand: what DataParallel is made of.

namespace miniparallel {
namespace {

using parallel::gather;
using parallel::parallel_apply;
using parallel::replicate;
using parallel::scatter;
using testing::on_machine;
using testing::on_machines;

/// Outputs, gradients and random state of the four verbs and of DataParallel.
template <class Net>
void compare(const std::vector<Device>& devices, std::int64_t rows) {
  CAPTURE(rows);
  manual_seed(17);
  Net net;
  to(net, float64);
  Net wrapped = clone(net);
  DataParallel model{wrapped, {.devices = devices}};
  const Tensor x = Net::batch(rows).requires_grad_(), same = x.detach().clone().requires_grad_();
  const RandomState random = random_state();
  const Tensor expected = model(same);
  mean(square(expected)).backward();
  const RandomState after = random_state();

  set_random_state(random);
  auto nets = replicate(net, devices);
  const Tensor y = gather(parallel_apply(nets, scatter(x, devices)), devices[0]);
  CHECK(y.device() == devices[0]);
  CHECK(random_state() == after);
  mean(square(y)).backward();
  CHECK(equal(y, expected));
  CHECK(equal(x.grad(), same.grad()));
  const std::vector<Tensor> ours = parameters(net), theirs = model.parameters();
  for (std::size_t i = 0; i < ours.size(); ++i) {
    REQUIRE(ours[i].grad().defined() == theirs[i].grad().defined());
    if (ours[i].grad().defined()) CHECK(equal(ours[i].grad(), theirs[i].grad()));
  }
}

TEST_CASE("verbs: put together by hand they give the bits of DataParallel") {
  on_machines([](const std::vector<Device>& devices) {
    for (const std::int64_t rows : {2, 11}) {
      compare<testing::Mlp>(devices, rows);
      compare<testing::DropoutMlp>(devices, rows);
      compare<testing::Odd>(devices, rows);
    }
    compare<testing::NormCnn>(devices, 13);
  });
}

struct Outputs {
  Tensor logits;
  std::map<std::string, std::vector<Tensor>> parts;
  Tensor loss;
  int classes = 0;
};

struct Everything {
  nn::Linear fc{3, 2};
  Outputs operator()(const Tensor& x, double scale, const Tensor& mask) {
    const Tensor y = fc(x) * scale * mask;
    return {.logits = y, .parts = {{"y", {y, y.sum({1})}}}, .loss = y.sum(), .classes = 2};
  }
};

TEST_CASE("verbs: a tuple holds the arguments, results are gathered whatever they are made of") {
  on_machines([](const std::vector<Device>& devices) {
    manual_seed(1);
    Everything net;
    Everything alone = clone(net);
    const Tensor x = randn({9, 3}), mask = tensor({1.0, 2.0});
    auto nets = replicate(net, devices);
    const auto chunks = scatter(std::tuple(x, 0.5, replicated(mask)), devices);
    const std::vector<Outputs> outs = parallel_apply(nets, chunks);
    const Outputs all = gather(outs, Device::cpu());
    const Outputs expected = alone(x, 0.5, mask);
    CHECK(allclose(all.logits, expected.logits, 1e-5, 1e-6));
    CHECK(allclose(all.parts.at("y")[0], expected.logits, 1e-5, 1e-6));
    CHECK(allclose(all.parts.at("y")[1], expected.parts.at("y")[1], 1e-5, 1e-6));
    CHECK(all.loss.shape() == Shape{static_cast<std::int64_t>(outs.size())});
    CHECK(all.classes == 2);
    for (std::size_t i = 0; i < outs.size(); ++i) CHECK(outs[i].logits.device() == devices[i]);
  });
}

TEST_CASE("verbs: replicas follow what is written to the model") {
  on_machines([](const std::vector<Device>& devices) {
    testing::Mlp net;
    auto nets = replicate(net, devices);
    const Tensor x = randn({8, 6});
    const auto run = [&] { return gather(parallel_apply(nets, scatter(x, devices)), Device::cpu()); };
    run();
    {
      const NoGradGuard no_grad;
      net.second.bias.add_(1);
    }
    const Tensor after = run();
    testing::Mlp alone = clone(net);
    CHECK(allclose(after, to(alone, Device::cpu())(x), 1e-5, 1e-6));
    for (std::size_t i = 0; i < nets.size(); ++i)
      CHECK(equal(nets[i].second.bias.cpu(), net.second.bias.cpu()));
  });
}

TEST_CASE("verbs: statistics are merged, or those of the first replica stay") {
  on_machine(3, [](const std::vector<Device>& devices) {
    for (const BatchNormPolicy policy : {BatchNormPolicy::merge, BatchNormPolicy::device0}) {
      testing::NormCnn net;
      to(net, float64);
      testing::NormCnn alone = clone(net);
      auto nets = replicate(net, devices);
      const Tensor x = testing::NormCnn::batch(9);
      parallel_apply(nets, scatter(x, devices), {.batch_norm = policy});
      alone(policy == BatchNormPolicy::merge ? x : x.narrow(0, 0, 3));
      CHECK(allclose(net.norm.running_mean.cpu(), alone.norm.running_mean, 1e-11, 1e-11));
      CHECK(allclose(net.norm.running_var.cpu(), alone.norm.running_var, 1e-11, 1e-11));
    }
  });
}

TEST_CASE("verbs: what does not fit is an error, and the next call works") {
  on_machine(2, [](const std::vector<Device>& devices) {
    testing::Mlp net;
    auto nets = replicate(net, devices);
    CHECK_THROWS_WITH_AS(parallel_apply(nets, std::vector<Tensor>(3, zeros({2, 6}))),
                         "parallel_apply: got 3 chunks for 2 replicas; scatter to as many devices as the "
                         "model is replicated on",
                         Error);
    CHECK_THROWS_WITH_AS(parallel_apply(nets, std::vector<Tensor>()),
                         "parallel_apply: there are no chunks; pass at least one", Error);
    CHECK_THROWS_WITH_AS(
        parallel_apply(nets, std::vector{zeros({2, 6}), zeros({})}),
        "parallel_apply: chunk 1 is a tensor without dimensions, which has no rows; wrap it in "
        "replicated(t) to send it whole",
        Error);
    CHECK(parallel_apply(nets, std::vector{zeros({2, 6})}).size() == 1);
    CHECK_THROWS_WITH_AS(gather(std::vector{zeros({2, 3}), zeros({2, 4})}, Device::cpu()),
                         "gather: replica 0 returned shape [2, 3], replica 1 [2, 4]; only the size of dim 0 "
                         "may differ. Does the model squeeze away a batch of one? Name the dimension, "
                         "squeeze(dim)",
                         Error);
    CHECK_THROWS_WITH_AS(gather(std::vector{zeros({2, 3}), zeros({2, 3}, {.dtype = float64})}, Device::cpu()),
                         "gather: replica 0 returned float32, replica 1 float64; the results of all replicas "
                         "must have one dtype",
                         Error);
    CHECK_THROWS_WITH_AS(gather(std::vector<Tensor>(), Device::cpu()),
                         "gather: there are no replicas; pass at least one", Error);
    using Parts = std::vector<Tensor>;
    CHECK_THROWS_WITH_AS(gather(std::vector{Parts{zeros({1})}, Parts{}}, Device::cpu()),
                         doctest::Contains("gather: "), Error);
  });
}

TEST_CASE("gather: gradients go back to each part, along any dimension, and a second time") {
  on_machines([](const std::vector<Device>& devices) {
    std::vector<Tensor> parts;
    for (std::size_t i = 0; i < devices.size(); ++i)
      parts.push_back(full({2, static_cast<std::int64_t>(i) + 1}, static_cast<double>(i) + 1,
                           {.dtype = float64, .device = devices[i], .requires_grad = true}));
    const Tensor y = gather(parts, Device::cpu(), 1);
    const std::vector<Tensor> slopes = autograd::grad({pow(y, 3).sum()}, parts, {.create_graph = true});
    for (std::size_t i = 0; i < parts.size(); ++i) {
      CHECK(slopes[i].device() == devices[i]);
      CHECK(equal(slopes[i].detach(), square(parts[i].detach()) * 3));
    }
    gather(slopes, Device::cpu(), 1).sum().backward();
    for (const Tensor& part : parts) {
      CHECK(equal(part.grad(), part.detach() * 6));
      part.set_grad({});
    }
  });
}

}  // namespace
}  // namespace miniparallel
