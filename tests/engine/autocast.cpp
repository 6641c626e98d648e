#include "engine/ops/autocast.h"

#include <miniparallel/miniparallel.h>

#include "engine/threads/thread_state.h"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace miniparallel::testing {
namespace {

TEST_CASE("autocast: float64 and integers stay, and so does what is written in place") {
  const Autocast guard;
  const Tensor x = ones({2, 2}, {.dtype = float64});
  CHECK(matmul(x, x).dtype() == float64);
  CHECK(exp(x).dtype() == float64);
  CHECK(sum(arange(3)).dtype() == int64);
  Tensor half = ones({2}, {.dtype = bfloat16});
  half.exp_();
  CHECK(half.dtype() == bfloat16);
}

TEST_CASE("autocast: guards nest, and none is left behind") {
  const Tensor x = ones({2, 2});
  CHECK_FALSE(autocast_enabled());
  CHECK_THROWS_WITH_AS(autocast_dtype(),
                       "autocast_dtype: no Autocast guard is enabled in this thread; make one", Error);
  {
    const Autocast outer({.dtype = bfloat16});
    {
      const Autocast inner({.dtype = float16});
      CHECK(autocast_dtype() == float16);
      CHECK(matmul(x, x).dtype() == float16);
    }
    {
      const Autocast off({.enabled = false});
      CHECK_FALSE(autocast_enabled());
      CHECK(matmul(x, x).dtype() == float32);
    }
    CHECK(matmul(x, x).dtype() == bfloat16);
  }
  CHECK(matmul(x, x).dtype() == float32);
  CHECK_THROWS_WITH_AS(Autocast({.dtype = float32}), "Autocast: got float32; it must be float16 or bfloat16",
                       Error);
}

TEST_CASE("autocast: the mode is the thread's, and goes with its state") {
  const Autocast guard;
  const ThreadState state;
  bool alone = true, handed_on = false;
  std::thread([&] {
    alone = autocast_enabled();
    const ThreadStateScope scope(state);
    handed_on = autocast_enabled();
  }).join();
  CHECK_FALSE(alone);
  CHECK(handed_on);
}

TEST_CASE("autocast: a parameter is converted once, until it is written or a backward has run") {
  Tensor weight = ones({2, 2}).requires_grad_();
  const Tensor x = ones({1, 2});
  const Autocast guard;
  const auto cast = [&] { return autocast_to(bfloat16, *autocast_mode(), weight); };
  const Tensor first = cast();
  CHECK(cast().is_same(first));
  {
    const Autocast inner;
    CHECK(cast().is_same(first));
    const NoGradGuard no_grad;
    CHECK_FALSE(cast().requires_grad());
  }
  {
    const NoGradGuard no_grad;
    weight.mul_(2);
  }
  const Tensor second = cast();
  CHECK_FALSE(second.is_same(first));
  CHECK(equal(second.detach(), full({2, 2}, 2, {.dtype = bfloat16})));
  sum(linear(x, weight)).backward();
  sum(linear(x, weight)).backward();  // by a conversion of its own: the first walk has used the other up
  CHECK(equal(weight.grad(), full({2, 2}, 2.0f)));
  CHECK_FALSE(cast().is_same(second));
}

TEST_CASE(
    "autocast: gradients have the dtype of the leaf, inside the guard and outside, and so have theirs") {
  manual_seed(3);
  Tensor x = randn({4, 3}).requires_grad_(), weight = randn({2, 3}).requires_grad_();
  Tensor loss;
  {
    const Autocast guard;
    const Tensor y = linear(x, weight);
    CHECK(y.dtype() == bfloat16);
    loss = sum(square(softmax(y, 1)));
  }
  CHECK(loss.dtype() == float32);
  const std::vector<Tensor> g = autograd::grad({loss}, {x, weight}, {.create_graph = true});
  CHECK(g[0].dtype() == float32);
  CHECK(g[1].dtype() == float32);
  const std::vector<Tensor> second = autograd::grad({sum(square(g[1]))}, {x, weight});
  CHECK(second[0].dtype() == float32);
  const Tensor exact = sum(square(softmax(linear(x, weight), 1)));
  const std::vector<Tensor> expected = autograd::grad({exact}, {x, weight});
  CHECK(amax(abs(g[0].detach() - expected[0])).item() < 0.03);
}

TEST_CASE("autocast: a classifier learns in bfloat16 as in float32") {
  const auto accuracy_in = [](bool enabled) {
    manual_seed(7);
    const Tensor images = randn({256, 16}), wanted = argmax(images.narrow(1, 0, 4), 1);
    nn::Linear first(16, 32), second(32, 4);
    optim::Adam optimizer({first.weight, first.bias, second.weight, second.bias}, {.lr = 1e-2});
    Tensor logits;
    for (int step = 0; step < 60; ++step) {
      Tensor loss;
      {
        const Autocast guard({.enabled = enabled});
        logits = second(relu(first(images)));
        CHECK(logits.dtype() == (enabled ? bfloat16 : float32));
        loss = cross_entropy(logits, wanted);
      }
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    return accuracy(logits.detach(), wanted).item();
  };
  const double in_float32 = accuracy_in(false), in_bfloat16 = accuracy_in(true);
  CHECK(in_float32 > 0.9);
  CHECK(in_bfloat16 > in_float32 - 0.02);
}

TEST_CASE("autocast: replicas compute in the mode of the caller, and their gradients are float32") {
  manual_seed(5);
  DataParallel model{nn::Linear{3, 2}, {.devices = {Device::cpu(), Device::cpu()}}};
  const Tensor x = randn({4, 3});
  Tensor y;
  {
    const Autocast guard;
    y = model(x);
  }
  CHECK(y.dtype() == bfloat16);
  y.sum().backward();
  for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad().dtype() == float32);
}

/// The product of x and the transpose of w, as a user writes it.
struct Product : autograd::Function<Product> {
  static constexpr const char* name = "product";
  static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs) {
    context.save_for_backward(inputs);
    return {matmul(inputs[0], inputs[1].t())};
  }
  static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients) {
    const Tensor &x = context.saved()[0], &w = context.saved()[1], &g = gradients[0];
    seen = g.dtype();
    was_enabled = autocast_enabled();
    return {matmul(g, w.to(g.dtype())), matmul(g.t(), x.to(g.dtype()))};
  }
  static inline DType seen = float64;
  static inline bool was_enabled = true;
};

TEST_CASE("autocast: a user's Function computes in the guard's dtype, its inputs get gradients in theirs") {
  const Tensor x = ones({4, 3}).requires_grad_(), w = full({2, 3}, 1.001).requires_grad_();
  const auto check_gradients = [&] {
    CHECK(Product::seen == float16);
    CHECK_FALSE(Product::was_enabled);
    CHECK(x.grad().dtype() == float32);
    CHECK(equal(x.grad(), full({4, 3}, 2 * 1.0009765625)));  // 1.001 in float16, twice
    CHECK(equal(w.grad(), full({2, 3}, 4.0)));
    x.set_grad({});
    w.set_grad({});
  };
  Tensor y;
  {
    const Autocast guard({.dtype = float16});
    y = Product::apply({x, w})[0];
    CHECK(y.dtype() == float16);
    sum(Product::apply({x, w})[0]).backward();
    check_gradients();
  }
  sum(y.to(float32)).backward();
  check_gradients();
}

TEST_CASE("half: a graph keeps 16-bit elements, not the float32 ones that ops compute in") {
  const Tensor x = randn({64, 1024}, {.dtype = bfloat16}).requires_grad_();
  const Tensor weight = randn({16, 1024}, {.dtype = bfloat16}).requires_grad_();
  const std::int64_t before = memory_stats().used;
  const Tensor y = linear(x, weight);
  CHECK(memory_stats().used - before < 64 * 1024 * 2);  // the result, and nothing of x
  const Tensor z = layer_norm(x, {1024});
  CHECK(memory_stats().used - before < 64 * 1024 * 2 + 16 * 1024);
  {
    const NoGradGuard no_grad;
    Tensor written = x;
    written.mul_(2);
  }
  CHECK_THROWS_AS(sum(z).backward(), Error);
}

}  // namespace
}  // namespace miniparallel::testing
