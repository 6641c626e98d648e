#include <miniparallel/autograd.h>
#include <miniparallel/error.h>
#include <miniparallel/memory.h>
#include <miniparallel/model.h>
#include <miniparallel/nn.h>
#include <miniparallel/ops.h>
#include <miniparallel/random.h>

#include <doctest/doctest.h>

#include <thread>

// The rules of autograd, as a user sees them.

namespace miniparallel {
namespace {

Tensor leaf(std::initializer_list<double> values) { return tensor(values).requires_grad_(); }
bool is(const Tensor& x, std::initializer_list<double> values) { return equal(x.detach(), tensor(values)); }

TEST_CASE("autograd: gradients accumulate over calls and over uses") {
  const Tensor x = leaf({1, 2});
  sum(x * x + x).backward();
  CHECK(is(x.grad(), {3, 5}));
  sum(x * 3).backward();
  CHECK(is(x.grad(), {6, 8}));
}

TEST_CASE("autograd: a gradient that the user holds is never overwritten") {
  const Tensor x = leaf({1, 2});
  sum(x * 2).backward();
  const Tensor held = x.grad();
  x.set_grad({});
  sum(x * 3).backward();
  CHECK(is(held, {2, 2}));
  CHECK(is(x.grad(), {3, 3}));
}

TEST_CASE("autograd: the gradient of the caller is neither kept nor changed") {
  const Tensor x = leaf({1, 2}), seed = tensor({1.0, 10.0});
  (x + 0).backward(seed);
  (x * 1).backward(seed);
  CHECK(is(x.grad(), {2, 20}));
  CHECK(is(seed, {1, 10}));
}

TEST_CASE("autograd: a loss has gradient 1, whoever looks at it") {
  const Tensor x = leaf({1, 2}), target = tensor({0.0, 0.0});
  const auto loss = [&] { return mse_loss(x, target); };  // 0.5, 2.0
  SUBCASE("nobody") {
    loss().backward();
    CHECK(is(x.grad(), {1, 2}));
  }
  SUBCASE("a hook, which may replace it") {
    Tensor seen, y = loss();
    y.register_hook([&](const Tensor& g) {
      seen = g;
      return g * 3;
    });
    y.backward();
    CHECK(seen.item<float>() == 1);
    CHECK(is(x.grad(), {3, 6}));
  }
  SUBCASE("the user, who keeps it or asks for it") {
    Tensor y = loss();
    y.retain_grad();
    y.backward();
    CHECK(y.grad().item<float>() == 1);
    const Tensor again = loss();
    CHECK(autograd::grad({again}, {again})[0].item<float>() == 1);
  }
  SUBCASE("a loss made of it") {
    const Tensor y = loss(), z = y * 4;
    autograd::backward({y, z}, {});
    CHECK(is(x.grad(), {5, 10}));
    x.set_grad({});
    const Tensor w = loss();
    autograd::backward({w, w}, {});
    CHECK(is(x.grad(), {2, 4}));
  }
  SUBCASE("the target's gradient") {
    const Tensor wanted = leaf({0, 0});
    mse_loss(x, wanted).backward();
    CHECK(is(x.grad(), {1, 2}));
    CHECK(is(wanted.grad(), {-1, -2}));
  }
  SUBCASE("a leaf") {
    const Tensor scalar = tensor({4.0}).requires_grad_();
    scalar.backward();
    CHECK(is(scalar.grad(), {1}));
  }
}

TEST_CASE("autograd: a graph is freed by backward unless it is retained") {
  const Tensor x = leaf({3});
  const Tensor y = exp(x * x);
  y.backward({}, true);
  y.backward();
  CHECK_THROWS_WITH_AS(y.backward(),
                       "backward: exp was already differentiated and its saved tensors are freed; pass "
                       "retain_graph to the first backward",
                       Error);
}

TEST_CASE("autograd: create_graph makes gradients differentiable, any number of times") {
  const Tensor x = leaf({2});
  Tensor derivative = x * x * x * x;
  for (const double expected : {32.0, 48.0, 48.0, 24.0}) {
    derivative = autograd::grad({derivative}, {x}, {.create_graph = true})[0];
    CHECK(derivative.item() == doctest::Approx(expected));
  }
}

TEST_CASE("autograd: grad touches no grad field, takes inputs that are not leaves, and knows unused ones") {
  const Tensor x = leaf({1, 2}), unused = leaf({1});
  const Tensor middle = x * 2;
  const Tensor y = sum(middle * middle);
  const auto gradients = autograd::grad({y}, {x, middle}, {.retain_graph = true});
  CHECK(is(gradients[0], {8, 16}));
  CHECK(is(gradients[1], {4, 8}));
  CHECK_FALSE(x.grad().defined());
  CHECK_THROWS_WITH_AS(autograd::grad({y}, {x, unused}, {.retain_graph = true}),
                       "grad: no output depends on input 1; set allow_unused for an undefined gradient",
                       Error);
  const auto allowed = autograd::grad({y}, {x, unused}, {.allow_unused = true});
  CHECK(is(allowed[0], {8, 16}));
  CHECK_FALSE(allowed[1].defined());
}

TEST_CASE("autograd: several outputs at once, one of them below the other") {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * 3, z = sum(y * y);
  autograd::backward({y, z}, {tensor({1.0, 1.0}), Tensor()});
  CHECK(is(x.grad(), {3 + 18, 3 + 36}));
}

TEST_CASE("autograd: what cannot be differentiated says why") {
  const Tensor x = leaf({1, 2});
  CHECK_THROWS_WITH_AS((x * 2).backward(),
                       "backward: the output has shape [2]; only a scalar needs no gradient, pass one of the "
                       "same shape",
                       Error);
  CHECK_THROWS_WITH_AS(tensor({1.0}).backward(),
                       "backward: output 0 does not depend on a tensor that requires grad; call "
                       "requires_grad_() on what is to be learned",
                       Error);
  CHECK_THROWS_WITH_AS((x * 2).backward(ones({3})),
                       "backward: the gradient is float32 [3], the output float32 [2]; both must be the same",
                       Error);
  CHECK_THROWS_WITH_AS(tensor({1, 2}).requires_grad_(),
                       "requires_grad_: a tensor of int64 has no gradient; convert it with to(float32)",
                       Error);
  Tensor product = x * x;
  CHECK_THROWS_WITH_AS(product.requires_grad_(false),
                       "requires_grad_: the tensor was made by mul; only leaves can change, detach() it",
                       Error);
}

TEST_CASE("autograd: writing to a saved tensor is an error that names the op") {
  const Tensor x = leaf({1, 2});
  Tensor y = exp(x);
  const Tensor z = sum(y * y);
  y.add_(1);
  CHECK_THROWS_WITH_AS(
      z.backward(),
      "backward: a tensor of shape [2] that mul saved was written in place since (version 1, "
      "saved at 0); write to a clone instead",
      Error);
  Tensor w = x * 1;
  const Tensor v = sum(w + 3);
  w.add_(1);  // a sum saves nothing
  v.backward();
  CHECK(is(x.grad(), {1, 1}));
}

TEST_CASE("autograd: views share the version of their base, detach too, a clone has its own") {
  const Tensor base = zeros({2, 3});
  const auto before = base.version();
  Tensor row = base[1];
  row.fill_(5);
  CHECK(base.version() == before + 1);
  CHECK(base.detach().version() == base.version());
  CHECK(base.clone().version() == 0);
  CHECK(equal(base, tensor({0.0, 0.0, 0.0, 5.0, 5.0, 5.0}, {2, 3})));
}

TEST_CASE("autograd: a leaf that requires grad is written under NoGradGuard only, its views as well") {
  Tensor x = leaf({1, 2});
  CHECK_THROWS_WITH_AS(
      x.add_(1),
      "add_: a leaf that requires grad cannot be written in place while grad mode is on; use "
      "NoGradGuard",
      Error);
  Tensor view = x.slice(0, 0, 1);
  CHECK_THROWS_WITH_AS(view.mul_(2),
                       "mul_: a view of a leaf that requires grad cannot be written in place while grad mode "
                       "is on; use NoGradGuard",
                       Error);
  const NoGradGuard no_grad;
  x.add_(1);
  CHECK(is(x, {2, 3}));
  CHECK(x.is_leaf());
}

TEST_CASE("autograd: a write through a view reaches the base's gradient, and other views follow") {
  const Tensor x = leaf({1, 2, 3});
  const Tensor y = x * 1;
  const Tensor other = y.slice(0, 1, 3);
  Tensor first = y.slice(0, 0, 2);
  first.mul_(10);
  sum(y).backward({}, true);
  CHECK(is(x.grad(), {10, 10, 1}));
  x.set_grad({});
  sum(other * tensor({1.0, 5.0})).backward();
  CHECK(is(x.grad(), {0, 10, 5}));
}

TEST_CASE("autograd: elements that a view repeats cannot be written, and sum up in the gradient") {
  const Tensor x = leaf({1, 2});
  Tensor y = x * 1;
  Tensor repeated = y.expand({3, 2});
  CHECK_THROWS_WITH_AS(repeated.add_(1),
                       "add_: the tensor of shape [3, 2] repeats its elements along dimension 0; write to a "
                       "clone() of it",
                       Error);
  y.mul_(2);
  sum(repeated).backward();
  CHECK(is(x.grad(), {6, 6}));
}

TEST_CASE(
    "autograd: nothing is recorded under NoGradGuard, nor from what requires no grad, nor past detach") {
  const Tensor x = leaf({1, 2});
  {
    const NoGradGuard no_grad;
    CHECK_FALSE((x * 2).requires_grad());
    CHECK((x * 2).is_leaf());
  }
  CHECK(grad_enabled());
  CHECK((x * 2).requires_grad());
  CHECK((x * x).grad_fn_name() == "mul");
  CHECK_FALSE(x.detach().requires_grad());
  sum(x.detach() * x).backward();
  CHECK(is(x.grad(), {1, 2}));
  CHECK_FALSE((tensor({1.0}) * 2).requires_grad());
}

TEST_CASE("autograd: the mode of grad belongs to the thread") {
  const NoGradGuard no_grad;
  bool enabled_there = false;
  std::thread([&] { enabled_there = grad_enabled(); }).join();
  CHECK(enabled_there);
  CHECK_FALSE(grad_enabled());
}

TEST_CASE("autograd: hooks run in order, once, with the whole gradient; they may replace it or go") {
  const Tensor x = leaf({1, 2});
  std::vector<int> order;
  Tensor seen;
  x.register_hook([&](const Tensor& gradient) {
    order.push_back(1);
    seen = gradient.clone();
    return gradient * 10;
  });
  const int gone = x.register_hook([&](const Tensor&) { return order.push_back(99), Tensor(); });
  x.register_hook([&](const Tensor& gradient) {
    order.push_back(2);
    CHECK(is(gradient, {50, 70}));
    return Tensor();
  });
  x.remove_hook(gone);
  sum(x * x + x * 3).backward();
  CHECK(order == std::vector<int>{1, 2});
  CHECK(is(seen, {5, 7}));
  CHECK(is(x.grad(), {50, 70}));
}

TEST_CASE("autograd: hooks and kept gradients of what is no leaf") {
  const Tensor x = leaf({1, 2});
  const Tensor y = x * 3;
  y.retain_grad();
  y.register_hook([](const Tensor& gradient) { return gradient * 2; });
  sum(y * y).backward();
  CHECK(is(y.grad(), {6, 12}));
  CHECK(is(x.grad(), {36, 72}));
  CHECK_THROWS_AS(tensor({1.0}).register_hook([](const Tensor&) { return Tensor(); }), Error);
}

TEST_CASE("autograd: a backward inside a hook") {
  const Tensor x = leaf({2}), inner = leaf({5});
  x.register_hook([&](const Tensor& gradient) {
    set_grad_enabled(true);
    sum(inner * inner).backward();
    set_grad_enabled(false);
    return gradient * inner.grad();
  });
  sum(x * 3).backward();
  CHECK(is(inner.grad(), {10}));
  CHECK(is(x.grad(), {30}));
}

TEST_CASE("autograd: an error in a hook ends the backward and leaves a usable state") {
  const Tensor x = leaf({2});
  const int id = x.register_hook([](const Tensor&) -> Tensor { throw Error("from the hook"); });
  CHECK_THROWS_WITH_AS(sum(x * 3).backward(), "from the hook", Error);
  CHECK(grad_enabled());
  x.remove_hook(id);
  sum(x * 3).backward();
  CHECK(is(x.grad(), {3}));
}

TEST_CASE("autograd: a chain of a million nodes is built, walked and destroyed") {
  const std::int64_t before = memory_stats().used;
  for (const bool with_backward : {true, false}) {
    const Tensor x = leaf({1});
    Tensor y = x;
    for (int i = 0; i < 1'000'000; ++i) y = y + 1;
    if (with_backward) {
      y.backward();
      CHECK(is(x.grad(), {1}));
    }
  }
  CHECK(memory_stats().used == before);
}

TEST_CASE("autograd: threads differentiate independently") {
  const Tensor shared = leaf({2});
  std::vector<std::thread> threads;
  std::vector<double> results(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        const Tensor x = leaf({1.0 + t});
        results[static_cast<std::size_t>(t)] = autograd::grad({sum(x * x * shared)}, {x})[0].item();
      }
    });
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < 4; ++t) CHECK(results[static_cast<std::size_t>(t)] == 4 * (1.0 + t));
}

TEST_CASE("autograd: a backward that fails leaves every gradient as it was") {
  const Tensor early = leaf({1, 2}), added_to = leaf({1, 2}), late = leaf({1, 2});
  sum(added_to * 5).backward();
  const Tensor middle = late * 3;
  middle.register_hook([](const Tensor&) -> Tensor { throw Error("from the hook"); });
  // Nodes of higher numbers run first: both leaves have their gradients when the hook runs.
  const Tensor loss = sum(middle + early * 2 + added_to * added_to);
  CHECK_THROWS_WITH_AS(loss.backward(), "from the hook", Error);
  CHECK_FALSE(early.grad().defined());
  CHECK_FALSE(late.grad().defined());
  CHECK(is(added_to.grad(), {5, 5}));
}

TEST_CASE("autograd: two gradients of one memory, and one that another leaf gets, become two") {
  const Tensor a = leaf({1, 2}), b = leaf({1, 2}), has = leaf({1, 2});
  sum(has * 2).backward();
  sum(a + b + has).backward();
  a.grad().mul_(10);
  CHECK(is(a.grad(), {10, 10}));
  CHECK(is(b.grad(), {1, 1}));
  CHECK(is(has.grad(), {3, 3}));
}

TEST_CASE("autograd: leaves that a user has given one gradient add to it one after the other") {
  const Tensor a = leaf({1, 2}), b = leaf({1, 2}), c = leaf({1, 2}), shared = tensor({10.0, 20.0});
  a.set_grad(shared);
  b.set_grad(shared);
  c.set_grad(tensor({100.0, 100.0}));
  sum(a * 2 + b * 3).backward();
  CHECK(is(shared, {15, 25}));
  (c + c * 0).backward(shared);  // which goes on to be the gradient of `a` while it is that of `c`
  CHECK(is(c.grad(), {115, 125}));
  (a + c).backward(shared);
  CHECK(is(shared, {30, 50}));
  CHECK(is(c.grad(), {130, 150}));
}

TEST_CASE("autograd: gradients made with create_graph share nothing with each other or the caller's") {
  const Tensor a = ones({2}, {.requires_grad = true}), b = ones({2}, {.requires_grad = true});
  const Tensor gradient = ones({2}, {.requires_grad = true});
  const Tensor sum = a + b;
  for (int i = 0; i < 2; ++i) autograd::backward({sum}, {gradient}, {.create_graph = true});
  CHECK_FALSE(a.grad().is_same(b.grad()));
  CHECK(a.grad().to_vector<float>() == std::vector<float>{2, 2});
  a.set_grad({});
  b.set_grad({});
  autograd::backward({sum}, {gradient.detach()}, {.create_graph = true});
  a.grad().mul_(5);
  CHECK(b.grad().to_vector<float>() == std::vector<float>{1, 1});
}

TEST_CASE("autograd: kept gradients add up and belong to one tensor each") {
  const Tensor x = ones({2}, {.requires_grad = true});
  const Tensor y = x * 2, z = y + 1;
  y.retain_grad();
  z.retain_grad();
  z.sum().backward({}, true);
  z.sum().backward();
  z.grad().zero_();
  CHECK(y.grad().to_vector<float>() == std::vector<float>{2, 2});
}

TEST_CASE("autograd: a hook's gradient must be like the one it replaces") {
  const Tensor x = ones({2, 3}, {.requires_grad = true}), weight = ones({4, 3});
  const Tensor y = linear(x, weight);
  y.register_hook([](const Tensor&) { return ones({1, 4}); });
  CHECK_THROWS_WITH_AS(y.sum().backward(), doctest::Contains("a hook at linear returned float32 [1, 4]"),
                       Error);
  const Tensor z = tanh(x);
  x.register_hook([](const Tensor& g) { return g.to(float64); });
  CHECK_THROWS_WITH_AS(z.sum().backward(), doctest::Contains("returned float64"), Error);
}

TEST_CASE("autograd: grad frees what it walked, not the rest") {
  const Tensor x = ones({2}, {.requires_grad = true}), head = ones({2}, {.requires_grad = true});
  const Tensor trunk = tanh(x);
  (void)autograd::grad({(trunk * head).sum()}, {head});
  CHECK_NOTHROW(trunk.sum().backward());
}

TEST_CASE("autograd: a model converted between forward and backward") {
  nn::Linear layer(3, 1);
  const Tensor weight = layer.weight.detach().clone(), x = ones({2, 3}, {.requires_grad = true});
  const Tensor loss = layer(x).sum();
  to(layer, float64);
  loss.backward();
  CHECK(equal(x.grad()[0], weight[0]));
  CHECK(layer.weight.grad().dtype() == float64);
}

}  // namespace
}  // namespace miniparallel
