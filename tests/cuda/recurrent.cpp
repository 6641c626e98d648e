#include "engine/ops/recurrent.h"

#include <miniparallel/autocast.h>

#include "compare.h"
#include "gpus.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

TEST_CASE("recurrent cells: a block in part, several blocks, no rows; gradients of one state alone") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const auto& [n, hidden] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 5}, {40, 33}, {0, 4}}) {
      CAPTURE(n);
      const auto random = [&](std::int64_t columns) { return randn({n, columns}, dtype).requires_grad_(); };
      const Tensor x = random(2), h = random(hidden), c = random(hidden);
      nn::LSTMCell lstm{2, hidden};
      nn::GRUCell gru{2, hidden};
      to(lstm, dtype);
      to(gru, dtype);
      const auto on = [](auto cell, Device device) {
        auto copy = clone(cell);
        to(copy, device);
        return copy;
      };
      check_like_cpu(
          [&](const Tensors& a) {
            const auto [next_h, next_c] = on(lstm, a[0].device())(a[0], {a[1], a[2]});
            return cat({next_h, next_c}, 1);
          },
          {x, h, c}, gpu);
      check_like_cpu([&](const Tensors& a) { return on(lstm, a[0].device())(a[0], {a[1], a[2]}).c; },
                     {x, h, c}, gpu);
      check_like_cpu([&](const Tensors& a) { return on(lstm, a[0].device())(a[0], {a[1], a[2]}).h; },
                     {x, h, c}, gpu);
      check_like_cpu([&](const Tensors& a) { return on(gru, a[0].device())(a[0], a[1]); }, {x, h}, gpu);
    }
}

TEST_CASE("recurrent cells of 16 bits round each result once") {
  const Gpus machine;
  manual_seed(5);
  for (const DType dtype : {float16, bfloat16})
    for (const auto& [n, hidden] :
         std::vector<std::pair<std::int64_t, std::int64_t>>{{1, 1}, {3, 5}, {40, 33}, {0, 4}}) {
      INFO(dtype, ", ", n, " rows, ", hidden, " elements");
      const auto random = [&](std::int64_t columns) { return randn({n, columns}, {.dtype = dtype}); };
      const Tensor a = random(4 * hidden), b = random(4 * hidden), state = random(hidden);
      const auto exact = [](const Tensor& x) { return x.to(float64); };
      const auto [h, c] = lstm_step(a.to(gpu), b.to(gpu), state.to(gpu));
      const Tensors sums = (exact(a) + exact(b)).chunk(4, 1);
      const Tensor exact_c = sigmoid(sums[1]) * exact(state) + sigmoid(sums[0]) * tanh(sums[2]);
      check_rounded_once(c, exact_c);
      check_rounded_once(h, sigmoid(sums[3]) * tanh(exact_c));

      const Tensor three = a.narrow(1, 0, 3 * hidden), others = b.narrow(1, 0, 3 * hidden);
      const Tensors in = exact(three).chunk(3, 1), back = exact(others).chunk(3, 1);
      const Tensor z = sigmoid(in[1] + back[1]), m = tanh(in[2] + sigmoid(in[0] + back[0]) * back[2]);
      check_rounded_once(gru_step(three.to(gpu), others.to(gpu), state.to(gpu)), m + z * (exact(state) - m));
    }
}

/// Outputs and states of a layer with weights of this dtype.
template <class Layer>
Tensor outputs_of(const Layer& layer, DType dtype, const Tensors& x, const nn::SequenceOptions& sequence) {
  Layer mine = clone(layer);
  to(mine, dtype);
  to(mine, x[0].device());
  const auto [y, state] = mine(x[0], {}, sequence);
  if constexpr (std::is_same_v<Layer, nn::LSTM>)
    return cat({y.flatten(), state.h.flatten(), state.c.flatten()});
  else
    return cat({y.flatten(), state.flatten()});
}

TEST_CASE("recurrent layers walk over a sequence as on the CPU") {
  const Gpus machine;
  manual_seed(8);
  for (const DType dtype : {float32, float64})
    for (const bool bidirectional : {false, true}) {
      const nn::RecurrentOptions options{.num_layers = 2, .bidirectional = bidirectional};
      const nn::LSTM lstm{3, 5, options};
      const nn::GRU gru{3, 5, options};
      for (const std::int64_t length : {1, 6}) {
        INFO(dtype, ", ", bidirectional, ", ", length);
        const Tensor x = random_leaf({length, 4, 3}, dtype);
        check_like_cpu([&](const Tensors& in) { return outputs_of(lstm, dtype, in, {}); }, {x}, gpu);
        check_like_cpu([&](const Tensors& in) { return outputs_of(gru, dtype, in, {}); }, {x}, gpu);
      }
    }
}

TEST_CASE("recurrent layers of 16 bits, of their dtype and in an Autocast guard") {
  const Gpus machine;
  manual_seed(6);
  const nn::RecurrentOptions both{.num_layers = 2, .bidirectional = true};
  const nn::LSTM lstm{3, 5, both};
  const nn::GRU gru{3, 5, both};
  const nn::RNN rnn{3, 5, both};
  const Tensor lengths = tensor({4, 2});
  // A few roundings: the GPU keeps gates of 16 bits for backward, as PyTorch does.
  constexpr double roundings = 4;
  for (const DType dtype : {float16, bfloat16}) {
    const auto check_layer = [&](const auto& layer) {
      for (const bool packed : {false, true})
        for (const DType of_weights : {dtype, float32}) {
          INFO(dtype, ", weights in ", of_weights, ", packed: ", packed);
          const auto call = [&](const Tensors& x) {
            const Autocast guard({.dtype = dtype, .enabled = of_weights == float32});
            const Tensor y =
                outputs_of(layer, of_weights, x, {.lengths = packed ? lengths.to(x[0].device()) : Tensor()});
            CHECK(y.dtype() == dtype);
            return y;
          };
          check_like_cpu(call, {random_leaf({4, 2, 3}, dtype)}, gpu, roundings);
        }
    };
    check_layer(lstm);
    check_layer(gru);
    check_layer(rnn);
  }
}

TEST_CASE("recurrent cells of 16 bits: gradients of one state alone, and their gradients") {
  const Gpus machine;
  manual_seed(7);
  for (const DType dtype : {float16, bfloat16}) {
    const Tensors inputs{random_leaf({3, 20}, dtype), random_leaf({3, 20}, dtype),
                         random_leaf({3, 5}, dtype)};
    const std::vector<Function> ops{
        [](const Tensors& x) { return lstm_step(x[0], x[1], x[2]).first; },
        [](const Tensors& x) { return lstm_step(x[0], x[1], x[2]).second; },
        [](const Tensors& x) {
          const auto [h, c] = lstm_step(x[0], x[1], x[2]);
          return cat({h, c}, 1);
        },
        [](const Tensors& x) { return gru_step(x[0].narrow(1, 0, 15), x[1].narrow(1, 5, 15), x[2]); },
    };
    for (const Function& op : ops) {
      check_like_cpu(op, inputs, gpu);
      check_like_cpu(
          [&](const Tensors& x) {
            const Tensor g = autograd::grad({sum(sin(op(x)))}, {x[0]}, {.create_graph = true})[0];
            CHECK(g.dtype() == dtype);
            return g;
          },
          inputs, gpu, 2);
    }
  }
}

}  // namespace
}  // namespace miniparallel::testing
