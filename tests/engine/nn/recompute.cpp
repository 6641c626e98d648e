#include <miniparallel/miniparallel.h>

#include "tests/op_cases.h"
#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

// checkpoint: the same bits in less memory.

namespace miniparallel {
namespace {

using testing::error_of;

using Values = std::vector<std::vector<double>>;

void append(Values& values, const Tensor& tensor) {
  values.push_back(tensor.defined() ? tensor.detach().to(float64).to_vector<double>() : std::vector{-1e9});
}

/// Calls a function, or `checkpoint` with it.
struct Way {
  bool checkpoints;
  template <class F, class... Arguments>
  auto operator()(F&& function, Arguments&&... arguments) const {
    return checkpoints ? checkpoint(function, arguments...) : function(arguments...);
  }
};

/// What `run(way)` gives has the same bits in both ways.
template <class Run>
void check_same(Run run) {
  const auto in = [&](bool checkpoints) {
    manual_seed(5);
    Values values = run(Way{checkpoints});
    append(values, randn({2}));  // random numbers go on from the same place
    return values;
  };
  const Values plain = in(false), again = in(true);
  CHECK(again.size() == plain.size());
  CHECK(again == plain);
}

struct Mlp {
  nn::Linear first{6, 16}, second{16, 6};
  nn::Dropout drop{0.4};
  Tensor operator()(const Tensor& x) { return drop(relu(second(tanh(first(x))))); }
  static Tensor batch() { return randn({5, 6}); }
};

struct Cnn {
  nn::Conv2d conv1{2, 4, 3, {.padding = 1}}, conv2{4, 2, 3, {.padding = 1}};
  nn::BatchNorm2d norm1{4, {.activation = Activation::relu}}, norm2{2, {.momentum = std::nullopt}};
  nn::Dropout2d drop{0.3};
  Tensor operator()(const Tensor& x) {
    return drop(norm2(conv2(upsample(max_pool2d(norm1(conv1(x)), 2), 2)))) + x;
  }
  static Tensor batch() { return randn({3, 2, 6, 6}); }
};

struct Block {
  nn::LayerNorm norm1{8}, norm2{8};
  nn::MultiheadAttention attention{8, 2, {.dropout = 0.2}};
  nn::Linear wide{8, 16, {.activation = Activation::gelu_tanh}}, narrow{16, 8};
  nn::Dropout drop{0.2};
  Tensor operator()(Tensor x) {
    x = x + attention(norm1(x), {.causal = true});
    return norm2.add_norm(narrow(wide(x)), x, 0.1).y;
  }
  static Tensor batch() { return randn({3, 5, 8}); }
};

template <class Net>
void check_training() {
  CAPTURE(reflect::type_name<Net>);
  check_same([](const Way& way) {
    std::vector<Net> nets(3);
    optim::SGD optimizer(parameters(nets), {.lr = 0.1});
    Values values;
    for (int step = 0; step < 2; ++step) {
      Tensor x = Net::batch().requires_grad_();
      Tensor h = x;
      for (Net& net : nets) h = way(net, h);
      const Tensor loss = mean(square(h));
      loss.backward();
      optimizer.step();
      for (const Tensor& each : {loss, x.grad()}) append(values, each);
      for (const auto& parameter : parameters(nets)) append(values, parameter.grad());
      optimizer.zero_grad();
    }
    for (const auto& [name, tensor] : state_dict(nets)) append(values, tensor);
    return values;
  });
}

TEST_CASE("checkpoint: an MLP with dropout trains with the same bits") { check_training<Mlp>(); }
TEST_CASE("checkpoint: a CNN with batch normalisation trains with the same bits") { check_training<Cnn>(); }
TEST_CASE("checkpoint: a transformer block trains with the same bits") { check_training<Block>(); }

TEST_CASE("checkpoint: every op of the table has the same gradients, and gradients of gradients") {
  for (const testing::OpCase& row : testing::op_cases()) {
    if (row.has(testing::no_gradient)) continue;
    CAPTURE(row.name);
    check_same([&](const Way& way) {
      std::vector<Tensor> leaves, wanted;
      for (std::size_t i = 0; i < row.inputs.size(); ++i) {
        leaves.push_back(testing::make_inputs(row)[i]);
        if (row.inputs[i].kind == testing::Input::Kind::real)
          wanted.push_back(leaves.back().requires_grad_());
      }
      // Behind another op, whose result the row may write to.
      const Tensor y = way(
          [&row](std::vector<Tensor> inputs) {
            for (Tensor& input : inputs)
              if (input.is_floating()) input = input * 1;
            return row.function(inputs) * 0.5;
          },
          leaves);
      Values values;
      append(values, y);
      if (!y.requires_grad()) return values;
      const bool twice = !row.has(testing::no_second);
      const std::vector<Tensor> gradients =
          autograd::grad({sum(sin(y))}, wanted, {.create_graph = twice, .allow_unused = true});
      Tensor total = zeros({}, {.dtype = float64});
      for (const Tensor& gradient : gradients) {
        append(values, gradient);
        if (twice && gradient.defined()) total = total + sum(sin(gradient));
      }
      if (total.requires_grad())
        for (const Tensor& second : autograd::grad({total}, wanted, {.allow_unused = true}))
          append(values, second);
      return values;
    });
  }
}

struct Pair {
  Tensor sum;
  std::vector<Tensor> parts;
  double factor;
};

TEST_CASE("checkpoint: arguments and results are anything that holds tensors") {
  check_same([](const Way& way) {
    Tensor a = randn({4}).requires_grad_(), b = randn({4}).requires_grad_(), frozen = randn({4});
    Tensor captured = randn({4}).requires_grad_();
    const std::map<std::string, std::tuple<Tensor, std::optional<Tensor>>> nested{{"a", {a, b}},
                                                                                  {"b", {frozen, {}}}};
    const Pair out = way(
        [&](const auto& values, double factor, const std::vector<std::int64_t>& order, Tensor undefined) {
          CHECK(!undefined.defined());
          const auto& [first, second] = values.at("a");
          const Tensor product = tanh(first * *second) * captured * std::get<0>(values.at("b"));
          return Pair{sum(product) * factor,
                      {sigmoid(product), exp(product) * static_cast<double>(order[1])},
                      factor};
        },
        nested, 1.5, std::vector<std::int64_t>{3, 4}, Tensor());
    CHECK(out.factor == 1.5);
    (out.sum + sum(out.parts[0] * out.parts[1])).backward();
    Values values;
    for (const Tensor& each : {out.sum, a.grad(), b.grad(), captured.grad(), frozen.grad()})
      append(values, each);
    return values;
  });
}

TEST_CASE("checkpoint: nested ones") {
  check_same([](const Way& way) {
    Tensor x = randn({3, 4}).requires_grad_(), w = randn({4, 4}).requires_grad_();
    const auto inner = [&](const Tensor& h, double p) { return tanh(dropout(matmul(h, w), p)); };
    const auto middle = [&](Tensor h) {
      h = way(inner, sin(h), 0.3);
      return way(inner, exp(h) * h, 0.5);
    };
    const Tensor y = way([&](const Tensor& h) { return square(way(middle, cos(h)) * w[0]); }, x);
    sum(y).backward();
    Values values;
    for (const Tensor& each : {y, x.grad(), w.grad()}) append(values, each);
    return values;
  });
}

std::int64_t used() { return memory_stats().used; }

/// The most memory, beyond that at the beginning, of a step of 12 blocks of width 64 and 1024 rows.
std::int64_t peak_of_chain(const Way& way, int depth = 1) {
  struct Wide {
    nn::Linear first{64, 64}, second{64, 64}, third{64, 64};
    Tensor operator()(const Tensor& x) { return tanh(third(sigmoid(second(tanh(first(x)))))); }
  };
  std::vector<Wide> blocks(12);
  const Tensor x = randn({1024, 64});
  const std::int64_t before = used();
  reset_peak_memory();
  const auto section = [&](std::size_t begin, std::size_t end, Tensor h) {
    for (std::size_t i = begin; i < end; ++i) h = way(blocks[i], h);
    return h;
  };
  Tensor h = x;
  if (depth == 1) {
    h = section(0, 12, h);
  } else {
    for (std::size_t i = 0; i < 12; i += 4) h = way(section, i, i + 4, h);
  }
  mean(h).backward();
  return memory_stats().peak - before;
}

TEST_CASE("checkpoint: the memory of a chain of blocks is that of its seams and of one block") {
  constexpr std::int64_t kTensor = 1024 * 64 * 4, kGradients = 12 * 3 * (64 * 64 + 64) * 4;
  const std::int64_t plain = peak_of_chain({false}), again = peak_of_chain({true}),
                     nested = peak_of_chain({true}, 2);
  CHECK(plain >= 3 * 12 * kTensor);
  CHECK(again <= (12 + 8) * kTensor + kGradients);
  CHECK(nested <= (3 + 4 + 8) * kTensor + kGradients);
}

TEST_CASE("checkpoint: what is computed again is free when backward has passed it") {
  nn::Linear layer{32, 32};
  const auto run = [&] {
    const Tensor x = randn({64, 32});
    const Tensor y = checkpoint([&](const Tensor& h) { return tanh(layer(tanh(layer(h)))); }, x);
    const std::int64_t kept = used();
    sum(y).backward();
    zero_grad(layer);
    CHECK(used() <= kept);
  };
  run();
  const std::int64_t before = used();
  run();
  CHECK(used() == before);
}

TEST_CASE("checkpoint: without grad mode, or without anything to learn, the function just runs") {
  int calls = 0;
  const auto twice = [&](const Tensor& x) {
    ++calls;
    return x * 2;
  };
  {
    const NoGradGuard no_grad;
    CHECK(!checkpoint(twice, ones({2}).requires_grad_()).requires_grad());
  }
  CHECK(!checkpoint(twice, ones({2})).requires_grad());
  CHECK(calls == 2);
}

TEST_CASE("checkpoint: the function runs once more for each backward that frees, and under its modes") {
  Tensor x = ones({2}).requires_grad_();
  std::vector<DType> dtypes;
  std::vector<bool> modes;
  const auto function = [&](const Tensor& h) {
    dtypes.push_back(default_dtype());
    modes.push_back(grad_enabled());
    return exp(h * zeros({2}) + h).to(float64);
  };
  set_default_dtype(float64);
  const Tensor y = checkpoint(function, x);
  set_default_dtype(float32);
  const Tensor total = sum(y);
  {
    const NoGradGuard no_grad;
    total.backward({}, true);
    total.backward({}, true);
  }
  autograd::grad({y}, {x}, {.gradients = {ones_like(y)}});
  CHECK(dtypes == std::vector{float64, float64});
  CHECK(modes == std::vector{true, true});
  CHECK(default_dtype() == float32);
}

TEST_CASE("checkpoint: a model is as it was in the first call") {
  Mlp net;
  Tensor x = Mlp::batch().requires_grad_();
  manual_seed(3);
  const Tensor plain = net(x);
  manual_seed(3);
  const Tensor y = checkpoint(net, x);
  eval(net);
  CHECK(equal(autograd::grad({sum(y)}, {x})[0], autograd::grad({sum(plain)}, {x})[0]));
}

TEST_CASE("checkpoint: batch normalisation counts its batch once") {
  nn::BatchNorm1d norm{3};
  checkpoint(norm, randn({4, 3}).requires_grad_()).sum().backward();
  CHECK(norm.num_batches_tracked.item<int>() == 1);
}

TEST_CASE("checkpoint: a tensor that was written since is an error") {
  Tensor x = randn({3, 4}).requires_grad_(), w = randn({4, 4}).requires_grad_();
  Tensor bias = randn({4}).requires_grad_(), h = x * 2, mask = randn({3, 4});
  const auto backward_after = [&](Tensor& written) {
    const Tensor y = checkpoint(
        [&](const Tensor& at) {
          Tensor masked = (at * mask).detach() * tanh(matmul(at, w) + bias);
          return masked;
        },
        h);
    {
      const NoGradGuard no_grad;
      written.add_(1);
    }
    return error_of([&] { sum(y).backward({}, true); });
  };
  CHECK(backward_after(bias) ==
        "checkpoint: a tensor of shape [4] that its function reads was written in place since; backward must "
        "come first, as the function runs again there");
  CHECK(backward_after(w).starts_with("checkpoint: a tensor of shape [4, 4] that its function reads"));
  CHECK(backward_after(h).starts_with("checkpoint: a tensor of shape [3, 4] that its function reads"));
  // Of what has no gradient only arguments, and what ops have saved.
  Tensor argument = randn({3, 4}), saved = randn({3, 4});
  const Tensor y = checkpoint([&](const Tensor& a) { return (w[0] + a) * saved; }, argument);
  const Tensor z = checkpoint([&](const Tensor& a) { return exp(w[0] + a); }, argument);
  saved.add_(1);
  CHECK(
      error_of([&] { sum(y).backward({}, true); }) ==
      "checkpoint: a tensor of shape [3, 4] that its function saved for backward was written in place since "
      "(version 1, saved at 0); write to a clone instead\n"
      "  while checkpoint ran its function again for backward");
  argument.add_(1);
  CHECK(error_of([&] { sum(z).backward({}, true); }) ==
        "backward: a tensor of shape [3, 4] that checkpoint saved was written in place since (version 1, "
        "saved at 0); write to a clone instead\n"
        "  while checkpoint ran its function again for backward");
}

TEST_CASE("checkpoint: a function that does something else the second time is an error") {
  Tensor x = randn({3, 4}).requires_grad_();
  int calls = 0;
  const auto backward_of = [&](auto function) {
    calls = 0;
    const Tensor y = checkpoint(function, x);
    return error_of([&] { sum(y).backward(); });
  };
  CHECK(backward_of([&](const Tensor& h) { return calls++ == 0 ? exp(h) : exp(h[0]); }) ==
        "checkpoint: where its function saved a float32 [3, 4] on cpu for backward, it came to a float32 [4] "
        "on cpu when it ran again; it must do the same each time\n"
        "  while checkpoint ran its function again for backward");
  CHECK(backward_of([&](const Tensor& h) { return calls++ == 0 ? exp(h) : exp(exp(h)); }) ==
        "checkpoint: its function saved 1 tensors for backward, and 2 when it ran again; it must do the same "
        "each time, whatever numbers of the host it depends on\n"
        "  while checkpoint ran its function again for backward");
  CHECK(!x.grad().defined());
}

TEST_CASE("checkpoint: an exception of the second call leaves everything as it was") {
  Tensor x = randn({3, 4}).requires_grad_();
  bool fails = false;
  manual_seed(4);
  const Tensor y = checkpoint(
      [&](const Tensor& h) {
        Tensor dropped = exp(dropout(h, 0.5));
        if (fails) throw std::runtime_error("no");
        return dropped;
      },
      x);
  const RandomState before = random_state();
  fails = true;
  CHECK_THROWS_WITH(sum(y).backward({}, true), "no");
  CHECK(!x.grad().defined());
  CHECK(random_state() == before);
  CHECK(grad_enabled());
  const Tensor z = exp(x);  // is kept as usual
  CHECK(equal(autograd::grad({sum(z)}, {x})[0], z));
  fails = false;
  sum(y).backward();
  manual_seed(4);
  CHECK(equal(x.grad(), autograd::grad({sum(exp(dropout(x, 0.5)))}, {x})[0]));
}

TEST_CASE("checkpoint: an exception of the first call ends it") {
  Tensor x = randn({3}).requires_grad_();
  CHECK_THROWS_WITH(
      checkpoint([](const Tensor& h) -> Tensor { throw std::runtime_error(h.defined() ? "no" : ""); }, x),
      "no");
  const std::int64_t before = used();
  const Tensor y = exp(x);
  CHECK(used() > before);
  sum(y).backward();
  CHECK(equal(x.grad(), y));
}

TEST_CASE("checkpoint: a backward inside of the function is an error") {
  Tensor x = randn({3}).requires_grad_();
  CHECK(error_of(
            [&] { checkpoint([](const Tensor& h) { return autograd::grad({sum(exp(h))}, {h})[0]; }, x); }) ==
        "checkpoint: a backward through what its function has computed, before that has ended; call backward "
        "outside of it");
}

}  // namespace
}  // namespace miniparallel
