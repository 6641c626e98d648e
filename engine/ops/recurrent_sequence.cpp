#include "engine/ops/autocast.h"
#include "engine/ops/common.h"
#include "engine/ops/matrix.h"
#include "engine/ops/native_half.h"
#include "engine/ops/recurrent.h"

// As in recurrent.cpp gates are outputs of the node, for the sake of second derivatives.

namespace miniparallel {
namespace {

using kernels::Cell;

/// Inputs and outputs of the node by number; those of c are an LSTM's.
enum Input { kSums, kWeight, kFirstH, kBias, kFirstC };
enum Output { kH, kGates, kC };

struct SequenceNode {
  Cell cell;
  bool reverse, has_bias;
  autograd::Saved weight, bias, h_first, c_first, h, c, gates;
  Tensor hidden_sums;  // of a GRU
};

/// What a backward pass reads.
struct Walked {
  Tensor weight, h_first, c_first, h, c, gates, hidden_sums;
};

Tensor row_or_none(const Tensor& x, std::int64_t t) { return x.defined() ? x.select(0, t) : x; }

kernels::SequenceArgs sequence_args(Cell cell, bool reverse, bool keeps, const Walked& walked,
                                    const Tensor& bias) {
  return {.cell = cell,
          .length = walked.h.size(0),
          .n = walked.h.size(1),
          .hidden = walked.h.size(2),
          .reverse = reverse,
          .keeps = keeps,
          .weight = raw(walked.weight),
          .bias = raw_or_null(bias),
          .h_first = raw(walked.h_first),
          .c_first = raw_or_null(walked.c_first),
          .h = raw(walked.h),
          .c = raw_or_null(walked.c),
          .gates = raw(walked.gates),
          .hidden_sums = raw_or_null(walked.hidden_sums)};
}

/// The steps but the first, or but the last, of an array (length, n, ...), as the rows of a matrix.
Tensor rows_without(bool first, bool reverse, const Tensor& x) {
  return x.narrow(0, first == reverse ? 0 : 1, x.size(0) - 1).flatten(0, 1);
}
Tensor first_step(bool reverse, const Tensor& x) { return x.select(0, reverse ? x.size(0) - 1 : 0); }

/// The gradient of the weight: of each step's product with the state before it.
void write_weight_gradient(Backward& b, bool reverse, const Walked& walked, const Tensor& dsums) {
  if (!b.needs(kWeight)) return;
  const Tensor& weight = walked.weight;
  b.write(kWeight, weight.shape(), dsums.dtype(), dsums.device(), [&](const Tensor& destination, int beta) {
    multiply_into(destination, first_step(reverse, dsums).t(), walked.h_first, beta);
    multiply_into(destination, rows_without(true, reverse, dsums).t(), rows_without(false, reverse, walked.h),
                  1);
  });
}

/// A gradient that the walk may change: what followed the states, or zeros.
Tensor own_gradient(Tensor g, const Tensor& like) {
  if (!g.defined()) return zeros_like(like);
  g = g.contiguous();
  return is_exclusive(g) ? g : g.clone();
}

void fused_backward(Backward& b, const SequenceNode& node, const Walked& walked) {
  const bool lstm = node.cell == Cell::lstm;
  const Tensor dh = own_gradient(b.take_grad(kH), walked.h);
  Tensor dc = lstm ? b.take_grad(kC) : Tensor();
  if (dc.defined()) dc = own_gradient(std::move(dc), walked.c);
  const Tensor dsums = result_like(walked.gates), dhidden = lstm ? dsums : result_like(dsums);
  const Tensor dh_first = result_like(walked.h_first),
               dc_first = lstm ? result_like(walked.c_first) : Tensor();
  backend(dh).recurrent.sequence_backward(
      dh.dtype(), sequence_args(node.cell, node.reverse, true, walked, {}),
      {raw(dh), raw_or_null(dc), raw(dsums), raw(dhidden), raw(dh_first), raw_or_null(dc_first)}, stream(dh));
  b.set(kSums, dsums);
  write_weight_gradient(b, node.reverse, walked, dhidden);
  b.set(kFirstH, dh_first);
  if (node.has_bias && b.needs(kBias)) b.set(kBias, sum(dhidden, {0, 1}));
  if (lstm) b.set(kFirstC, dc_first);
}

void composed_backward(Backward& b, const SequenceNode& node, const Walked& walked) {
  const bool lstm = node.cell == Cell::lstm;
  const std::int64_t length = walked.h.size(0);
  // The state before each step, and a GRU's products with it, with their history.
  std::vector<Tensor> states = walked.h.unbind(0);
  states.insert(node.reverse ? states.end() : states.begin(), walked.h_first);
  states.erase(node.reverse ? states.begin() : states.end() - 1);
  const Tensor before = stack(states, 0);
  const Tensor hidden_sums = lstm ? Tensor() : linear(before, walked.weight, node.bias.get(b));
  std::vector<Tensor> dsums(states.size()), dhidden(states.size());
  Tensor dh, dc;
  for (std::int64_t i = length - 1; i >= 0; --i) {
    const std::int64_t t = node.reverse ? length - 1 - i : i;
    const auto at = static_cast<std::size_t>(t);
    const Tensor more = row_or_none(b.grad(kGates), t), gates = walked.gates.select(0, t);
    dh = plus(row_or_none(b.grad(kH), t), dh);
    if (lstm) {
      const Tensor c = i == 0 ? walked.c_first : walked.c.select(0, node.reverse ? t + 1 : t - 1);
      LstmGradient step =
          lstm_gradient(dh, plus(row_or_none(b.grad(kC), t), dc), more, c, walked.c.select(0, t), gates);
      dsums[at] = dhidden[at] = std::move(step.sums);
      dc = std::move(step.c);
      dh = matmul(dhidden[at], walked.weight);
    } else {
      GruGradient step = gru_gradient(dh, more, states[at], hidden_sums.select(0, t), gates);
      dsums[at] = std::move(step.input_sums);
      dhidden[at] = std::move(step.hidden_sums);
      dh = step.h + matmul(dhidden[at], walked.weight);
    }
  }
  const Tensor of_products = stack(dhidden, 0);
  b.set(kSums, lstm ? of_products : stack(dsums, 0));
  b.set(kWeight, matmul(of_products.flatten(0, 1).t(), before.flatten(0, 1)));
  b.set(kFirstH, dh);
  if (node.has_bias) b.set(kBias, sum(of_products, {0, 1}));
  if (lstm) b.set(kFirstC, dc);
}

}  // namespace

std::pair<Tensor, Tensor> walk_sequence(Cell cell, bool reverse, const Tensor& input_sums,
                                        const Tensor& weights, const Tensor& bias_of_sums, const Tensor& h,
                                        const Tensor& c) {
  const auto cast = [&](const Tensor& x) {
    return in_autocast && x.defined() ? autocast_to(input_sums.dtype(), *autocast_mode(), x) : x;
  };
  const Tensor weight = cast(weights).contiguous(), bias = cast(bias_of_sums);
  const char* const op = cell == Cell::lstm ? "LSTM" : "GRU";
  check_same_device(op, {input_sums, weight, bias, h, c});
  check_same_dtype(op, {input_sums, weight, bias, h, c});
  if (is_half_on_cpu(input_sums))
    return in_float32([&](const auto&... x) { return walk_sequence(cell, reverse, x...); }, input_sums,
                      weight, bias, h, c);
  const Tensor sums = input_sums.contiguous();
  const bool lstm = cell == Cell::lstm, records = recording(sums, weight, bias, h, c);
  const Shape shape{sums.size(0), sums.size(1), h.size(1)}, one_step{sums.size(1), sums.size(2)};
  const auto make = [&](const Shape& of) { return make_tensor(of, sums.dtype(), sums.device()); };
  const Walked walked{.weight = weight,
                      .h_first = h.contiguous(),
                      .c_first = lstm ? c.contiguous() : Tensor(),
                      .h = make(shape),
                      .c = lstm ? make(shape) : Tensor(),
                      .gates = records ? sums.detach() : make(one_step),
                      .hidden_sums = make(records && !lstm ? sums.shape() : one_step)};
  const Tensor packed_bias = bias.defined() ? bias.contiguous() : bias;
  backend(sums).recurrent.sequence_forward(
      sums.dtype(), sequence_args(cell, reverse, records, walked, packed_bias), raw(sums), stream(sums));
  if (!records) return {walked.h, walked.c};
  bump_version(walked.gates);  // they are no sums any more
  const SequenceNode node{.cell = cell,
                          .reverse = reverse,
                          .has_bias = bias.defined(),
                          .weight = save(weight),
                          .bias = save(lstm ? Tensor() : bias),
                          .h_first = save(walked.h_first),
                          .c_first = save(walked.c_first),
                          .h = save_output(walked.h, kH),
                          .c = lstm ? save_output(walked.c, kC) : autograd::Saved(),
                          .gates = save_output(walked.gates, kGates),
                          .hidden_sums = lstm ? Tensor() : walked.hidden_sums};
  std::vector<Tensor> outputs{walked.h, walked.gates}, inputs{sums, weight, walked.h_first, bias};
  if (lstm) outputs.push_back(walked.c), inputs.push_back(walked.c_first);
  record(lstm ? "lstm" : "gru", outputs, inputs, [node](Backward& b) {
    const Walked kept{node.weight.get(b), node.h_first.get(b), node.c_first.get(b), node.h.get(b),
                      node.c.get(b),      node.gates.get(b),   node.hidden_sums};
    (b.create_graph() || b.grad(kGates).defined() ? composed_backward : fused_backward)(b, node, kept);
  });
  return {walked.h, walked.c};
}

}  // namespace miniparallel
