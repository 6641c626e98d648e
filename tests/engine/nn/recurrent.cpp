#include "engine/ops/recurrent.h"

#include <miniparallel/autocast.h>
#include <miniparallel/autograd.h>

#include "tests/engine/nn/golden_layer.h"

#include <functional>
#include <sstream>
#include <tuple>

using namespace miniparallel;
using namespace miniparallel::testing;

namespace {

Tensor in_one(const std::pair<Tensor, Tensor>& results) {
  return cat({results.first.flatten(), results.second.flatten()});
}
Tensor in_one(const std::pair<Tensor, nn::LSTMState>& results) {
  const auto& [outputs, state] = results;
  return cat({outputs.flatten(), state.h.flatten(), state.c.flatten()});
}

/// A layer called with the inputs: a sequence and, where given, states.
template <class Layer>
Tensor call_layer(Layer& layer, const Inputs& x) {
  if constexpr (std::is_same_v<Layer, nn::LSTM>) {
    return in_one(x.size() == 1 ? layer(x[0]) : layer(x[0], {x[1], x[2]}));
  } else {
    return in_one(x.size() == 1 ? layer(x[0]) : layer(x[0], x[1]));
  }
}

const auto with_lengths = [](auto& layer, const Inputs& x) {
  return in_one(layer(x[0], {}, {.lengths = tensor({2, 4, 1})}));
};

/// First and second derivatives of f against finite differences.
template <class F>
void check_derivatives(const F& f, const Inputs& inputs) {
  CHECK(autograd::gradcheck(f, inputs) == "");
  CHECK(autograd::gradgradcheck(f, inputs) == "");
}

}  // namespace

TEST_CASE("recurrent layers against PyTorch: whole sequences, both directions, states, packed lengths") {
  check_against_pytorch("rnn", nn::RNN{3, 5}, call_layer<nn::RNN>);
  check_against_pytorch("rnn_relu", nn::RNN{3, 5, {.bias = false, .nonlinearity = nn::Nonlinearity::relu}},
                        call_layer<nn::RNN>);
  check_against_pytorch("lstm", nn::LSTM{3, 5}, call_layer<nn::LSTM>);
  check_against_pytorch("lstm_state", nn::LSTM{3, 5, {.num_layers = 2}}, call_layer<nn::LSTM>);
  const nn::RecurrentOptions both{.num_layers = 2, .batch_first = true, .bidirectional = true};
  check_against_pytorch("lstm_both", nn::LSTM{3, 5, both}, call_layer<nn::LSTM>);
  check_against_pytorch("lstm_packed", nn::LSTM{3, 5, both}, with_lengths);
  check_against_pytorch("gru", nn::GRU{3, 5}, call_layer<nn::GRU>);
  check_against_pytorch("gru_both", nn::GRU{3, 5, {.num_layers = 2, .bidirectional = true}},
                        call_layer<nn::GRU>);
  check_against_pytorch("gru_unbatched", nn::GRU{3, 5}, call_layer<nn::GRU>);
  check_against_pytorch("gru_packed", nn::GRU{3, 5}, with_lengths);
}

TEST_CASE("recurrent cells against PyTorch") {
  check_against_pytorch("lstm_cell", nn::LSTMCell{3, 5}, [](nn::LSTMCell& cell, const Inputs& x) {
    const auto [h, c] = cell(x[0], {x[1], x[2]});
    return cat({h, c}, 1);
  });
  check_against_pytorch("gru_cell", nn::GRUCell{3, 5, {.bias = false}},
                        [](nn::GRUCell& cell, const Inputs& x) { return cell(x[0], x[1]); });
  check_against_pytorch("rnn_cell", nn::RNNCell{3, 5},
                        [](nn::RNNCell& cell, const Inputs& x) { return cell(x[0]); });
}

TEST_CASE("recurrent cells: first and second derivatives") {
  manual_seed(1);
  const auto random = [](const Shape& shape) { return randn(shape, {.dtype = float64}).requires_grad_(); };
  nn::LSTMCell lstm{3, 4};
  nn::GRUCell gru{3, 4};
  to(lstm, float64);
  to(gru, float64);
  const Inputs inputs{random({2, 3}), random({2, 4}), random({2, 4})};
  const auto lstm_call = [&](const Inputs& x) {
    const auto [h, c] = lstm(x[0], {x[1], x[2]});
    return cat({h, c}, 1);
  };
  check_derivatives(lstm_call, inputs);
  check_derivatives([&](const Inputs& x) { return lstm(x[0], {x[1], x[2]}).c; }, inputs);
  check_derivatives([&](const Inputs& x) { return gru(x[0], x[1]); }, {inputs[0], inputs[1]});
}

/// What one direction of a layer computes, step by step: outputs, then the last state.
Tensor step_by_step(const nn::RecurrentWeights& w, bool lstm, const Tensor& x, Tensor h, Tensor c,
                    bool reverse) {
  std::vector<Tensor> outputs(static_cast<std::size_t>(x.size(0)));
  for (std::size_t k = 0; k < outputs.size(); ++k) {
    const std::size_t t = reverse ? outputs.size() - 1 - k : k;
    const Tensor input = linear(x[static_cast<std::int64_t>(t)], w.weight_ih, w.bias_ih);
    const Tensor hidden = linear(h, w.weight_hh, w.bias_hh);
    if (lstm)
      std::tie(h, c) = lstm_step(input, hidden, c);
    else
      h = gru_step(input, hidden, h);
    outputs[t] = h;
  }
  return cat({stack(outputs, 0).flatten(), h.flatten(), c.flatten()});
}

/// The same by the layer, which walks both ways at once.
Tensor walked(const nn::LSTM& layer, const Tensor& x, const Tensor& h, const Tensor& c, bool reverse) {
  const auto [y, state] = layer(x, {cat({h, h}), cat({c, c})});
  const std::int64_t i = reverse ? 1 : 0, hidden = h.size(2);
  return cat({y.narrow(2, i * hidden, hidden).flatten(), state.h[i].flatten(), state.c[i].flatten()});
}
Tensor walked(const nn::GRU& layer, const Tensor& x, const Tensor& h, const Tensor& c, bool reverse) {
  const auto [y, state] = layer(x, cat({h, h}));
  const std::int64_t i = reverse ? 1 : 0, hidden = h.size(2);
  return cat({y.narrow(2, i * hidden, hidden).flatten(), state[i].flatten(), c.flatten()});
}

/// f, its gradients, those by kernels without a graph, and gradients of a function of them.
Inputs derivatives_of(const std::function<Tensor()>& f, const Inputs& leaves) {
  const Tensor y = f(), weights = cos(arange(y.numel(), {.dtype = float64}));
  const Inputs first = autograd::grad({sum(y * weights)}, leaves, {.create_graph = true});
  Inputs squares;
  for (const Tensor& g : first)
    if (g.requires_grad()) squares.push_back(sum(g * g));
  const Inputs plain = autograd::grad({sum(f() * weights)}, leaves);
  Inputs second = autograd::grad(squares, leaves, {.allow_unused = true});
  for (Tensor& g : second)
    if (!g.defined()) g = zeros({1}, {.dtype = float64});
  Inputs all{y};
  for (const Inputs& some : {first, plain, second}) all.insert(all.end(), some.begin(), some.end());
  return all;
}

template <class Layer>
void check_walks(bool bias, std::int64_t length, std::int64_t n, std::int64_t hidden) {
  constexpr bool lstm = std::is_same_v<Layer, nn::LSTM>;
  Layer layer{3, hidden, {.bias = bias, .bidirectional = true}};
  to(layer, float64);
  const auto random = [](const Shape& shape) { return randn(shape, {.dtype = float64}).requires_grad_(); };
  const Tensor x = random({length, n, 3}), h = random({1, n, hidden}), c = random({1, n, hidden});
  for (const bool reverse : {false, true}) {
    const nn::RecurrentWeights& w = layer.weights(0, reverse);
    Inputs leaves{x, h, c, w.weight_ih, w.weight_hh};
    if (bias) leaves.insert(leaves.end(), {w.bias_ih, w.bias_hh});
    const auto walk = [&] { return walked(layer, x, h, c, reverse); };
    const Inputs got = derivatives_of(walk, leaves);
    const Inputs expected =
        derivatives_of([&] { return step_by_step(w, lstm, x, h[0], c[0], reverse); }, leaves);
    for (std::size_t i = 0; i < got.size(); ++i) {
      CAPTURE(i);
      CHECK(allclose(got[i], expected[i], 1e-10, 1e-10));
    }
    const NoGradGuard no_grad;
    CHECK(equal(walk(), got[0]));
  }
}

TEST_CASE(
    "recurrent layers: a walk over a sequence is what its steps are, with first and second derivatives") {
  manual_seed(2);
  struct Case {
    std::int64_t length, n, hidden;
  };
  for (const bool bias : {true, false})
    for (const Case& one : {Case{1, 2, 4}, Case{2, 7, 4}, Case{5, 3, 1}, Case{3, 30, 20}}) {
      INFO(bias, ", ", one.length, " steps of ", one.n, " rows, ", one.hidden, " elements");
      check_walks<nn::LSTM>(bias, one.length, one.n, one.hidden);
      check_walks<nn::GRU>(bias, one.length, one.n, one.hidden);
    }
}

TEST_CASE("recurrent layers: gradients in 16 bits are those of float32, a few roundings apart") {
  manual_seed(12);
  const auto check_layer = [](const auto& layer) {
    const Tensor x = randn({5, 3, 4});
    const auto gradient = [&](DType dtype) {
      auto mine = clone(layer);
      to(mine, dtype);
      Tensor leaf = x.to(dtype).clone();
      leaf.requires_grad_();
      mine(leaf).first.sum().backward();
      return leaf.grad().to(float32);
    };
    CHECK(allclose(gradient(bfloat16), gradient(float32), 0.1, 0.02));
    CHECK(allclose(gradient(float16), gradient(float32), 0.02, 0.004));
  };
  check_layer(nn::LSTM{4, 6});
  check_layer(nn::GRU{4, 6});
}

TEST_CASE("recurrent layers: within an Autocast guard states have its dtype, and cells take them back") {
  const Tensor x = ones({4, 2, 3});
  const Autocast guard;
  const auto [y, state] = nn::LSTM{3, 5}(x, {}, {.lengths = tensor({4, 2})});
  for (const Tensor& result : {y, state.h, state.c}) CHECK(result.dtype() == bfloat16);
  const nn::LSTMCell lstm{3, 5};
  CHECK(lstm(x[0], lstm(x[0])).c.dtype() == bfloat16);
  const nn::GRUCell gru{3, 5};
  CHECK(gru(x[0], gru(x[0])).dtype() == bfloat16);
  CHECK(error_of([&] { gru(x[0], ones({2, 5}, float64)); }) ==
        "GRUCell: got a float64 state on cpu and float32 x on cpu; bring them together with to(...)");
}

TEST_CASE("recurrent layers: parameters have PyTorch's names; clones and saved ones are the same layer") {
  nn::LSTM lstm{3, 5, {.num_layers = 2, .bidirectional = true}};
  std::ostringstream names;
  for (const auto& [name, parameter] : named_parameters(lstm)) names << name << parameter.shape() << ' ';
  CHECK(names.str() ==
        "weight_ih_l0[20, 3] weight_hh_l0[20, 5] bias_ih_l0[20] bias_hh_l0[20] "
        "weight_ih_l0_reverse[20, 3] weight_hh_l0_reverse[20, 5] bias_ih_l0_reverse[20] "
        "bias_hh_l0_reverse[20] weight_ih_l1[20, 10] weight_hh_l1[20, 5] bias_ih_l1[20] bias_hh_l1[20] "
        "weight_ih_l1_reverse[20, 10] weight_hh_l1_reverse[20, 5] bias_ih_l1_reverse[20] "
        "bias_hh_l1_reverse[20] ");
  nn::LSTM copy = clone(lstm);
  const Tensor x = randn({6, 2, 3});
  CHECK(equal(copy(x).first, lstm(x).first));
  CHECK_FALSE(copy.weights(1, true).weight_hh.is_same(lstm.weights(1, true).weight_hh));
}

TEST_CASE("recurrent layers: dropout between layers, in training alone") {
  nn::GRU gru{3, 5, {.num_layers = 2, .dropout = 1}};
  const Tensor x = randn({4, 2, 3});
  train(gru);
  const Tensor dropped = gru(x).first;
  eval(gru);
  CHECK_FALSE(allclose(gru(x).first, dropped));
  // The second layer sees zeros in place of what the first put out.
  CHECK(equal(dropped.select(1, 0), dropped.select(1, 1)));
}

TEST_CASE("recurrent layers: bad input is an error that says what is wrong") {
  CHECK(error_of([] { nn::LSTM{0, 4}; }) ==
        "LSTM: got an input size of 0 and a hidden size of 4; each must be at least 1");
  CHECK(error_of([] { nn::LSTM{3, 4, {.num_layers = 0}}; }) ==
        "LSTM: num_layers is 0; it must be at least 1");
  CHECK(error_of([] { nn::GRU{3, 4, {.dropout = 2}}; }) == "GRU: dropout is 2; a probability is in [0, 1]");
  CHECK(error_of([] { nn::LSTM{3, 4, {.nonlinearity = nn::Nonlinearity::relu}}; }) ==
        "LSTM: the nonlinearity is an option of RNN; its gates have their own");
  CHECK(error_of([] { nn::LSTM{3, 4}(ones({5, 2, 4})); }) ==
        "LSTM: got x [5, 2, 4]; it must be (length, n, 3), (n, length, 3) with batch_first, or (length, 3)");
  CHECK(error_of([] { nn::RNN{3, 4}(ones({0, 2, 3})); }) ==
        "RNN: got x [0, 2, 3], a sequence without elements");
  const auto with_weights = [](const auto& replace) {
    return error_of([&] {
      nn::LSTM lstm{3, 4};
      replace(lstm.weights(0));
      lstm(ones({5, 2, 3}));
    });
  };
  CHECK(with_weights([](nn::RecurrentWeights& w) { w.weight_hh = nn::Parameter(ones({16, 3})); }) ==
        "LSTM: weight_hh has shape [16, 3]; it must be [16, 4]");
  CHECK(with_weights([](nn::RecurrentWeights& w) { w.bias_hh = nn::Parameter(ones({15})); }) ==
        "LSTM: bias_hh has shape [15]; it must be [16]");
  CHECK(with_weights([](nn::RecurrentWeights& w) { w.bias_ih = nn::Parameter(); }) == "nothing was thrown");
  CHECK(with_weights([](nn::RecurrentWeights& w) {
          w.weight_hh = nn::Parameter(ones({16, 4}, {.dtype = float64}));
        }).starts_with("LSTM: "));
  CHECK(error_of([] { nn::GRU{3, 4}(ones({5, 2, 3}), ones({2, 2, 4})); }) ==
        "GRU: got a state of shape [2, 2, 4]; it must be [1, 2, 4]");
  CHECK(error_of([] { nn::GRU{3, 4}(ones({5, 2, 3}), {}, {.lengths = tensor({1, 2, 3})}); }) ==
        "GRU: got lengths int64 [3]; they must be (2) integers");
  const auto with_lengths_of = [](const Tensor& lengths) {
    return error_of([&] { nn::GRU{3, 4}(ones({5, 2, 3}), {}, {.lengths = lengths}); });
  };
  CHECK(with_lengths_of(tensor({0, 5})) ==
        "GRU: got lengths from 0 to 5; each must be at least 1 and at most 5");
  CHECK(with_lengths_of(tensor({2, 6})) ==
        "GRU: got lengths from 2 to 6; each must be at least 1 and at most 5");
  CHECK(error_of([] { nn::LSTM{3, 4}(ones({5, 2, 3}), {ones({1, 2, 4}), ones({1, 2, 4}, float64)}); }) ==
        "LSTM: got a float64 state on cpu and float32 x on cpu; bring them together with to(...)");
  CHECK(error_of([] { nn::LSTMCell{3, 4}(ones({2, 3}), {{}, ones({2, 4}, float64)}); }) ==
        "LSTMCell: got a float64 state on cpu and float32 x on cpu; bring them together with to(...)");
  CHECK(error_of([] { nn::LSTMCell{3, 4}(Tensor()); }) == "LSTMCell: got x undefined; it must be (n, 3)");
  CHECK(error_of([] { nn::LSTMCell{3, 4}(ones({2, 4})); }) == "LSTMCell: got x [2, 4]; it must be (n, 3)");
  CHECK(error_of([] { nn::RNN{3, 4}.weights(0, true); }) ==
        "RNN: there are no weights of layer 0 in reverse; it has 1 layers");
}
