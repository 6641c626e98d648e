#include <miniparallel/nn/recurrent.h>

#include <miniparallel/model/plain_members.h>
#include <miniparallel/nn/init.h>
#include <miniparallel/ops.h>

#include "engine/autograd/trace.h"
#include "engine/error.h"
#include "engine/nn/observer.h"
#include "engine/ops/recurrent.h"
#include "engine/threads/autocast_mode.h"

#include <cmath>
#include <string>

namespace miniparallel::nn {
namespace {

constexpr std::int64_t kRnnGates = 1, kGruGates = 3, kLstmGates = 4;

RecurrentWeights make_weights(std::string_view op, std::int64_t gates, std::int64_t input,
                              std::int64_t hidden, bool bias) {
  check(input > 0 && hidden > 0, op, ": got an input size of ", input, " and a hidden size of ", hidden,
        "; each must be at least 1");
  const double bound = 1 / std::sqrt(static_cast<double>(hidden));
  const auto start = [&](const Shape& shape) {
    return Parameter(init::uniform_(empty(shape), -bound, bound));
  };
  RecurrentWeights weights;
  weights.weight_ih = start({gates * hidden, input});
  weights.weight_hh = start({gates * hidden, hidden});
  if (bias) {
    weights.bias_ih = start({gates * hidden});
    weights.bias_hh = start({gates * hidden});
  }
  return weights;
}

/// A program may have replaced them.
void check_weights(std::string_view op, const RecurrentWeights& weights, std::int64_t gates,
                   std::int64_t input, std::int64_t hidden) {
  const auto check_one = [&](const char* name, const Tensor& parameter, const Shape& shape) {
    check(parameter.shape() == shape, op, ": ", name, " has shape ", parameter.shape(), "; it must be ",
          shape);
  };
  check_one("weight_ih", weights.weight_ih, {gates * hidden, input});
  check_one("weight_hh", weights.weight_hh, {gates * hidden, hidden});
  if (weights.bias_ih.defined()) check_one("bias_ih", weights.bias_ih, {gates * hidden});
  if (weights.bias_hh.defined()) check_one("bias_hh", weights.bias_hh, {gates * hidden});
}

/// An `Autocast` guard brings float32 and 16 bits together.
bool fit(DType state, DType x) {
  return state == x || (in_autocast && is_floating(state) && promote(state, x) == float32);
}

void check_state(std::string_view op, const Tensor& state, const Shape& shape, const Tensor& x) {
  check(state.shape() == shape, op, ": got a state of shape ", state.shape(), "; it must be ", shape);
  check(fit(state.dtype(), x.dtype()) && state.device() == x.device(), op, ": got a ", state.dtype(),
        " state on ", state.device(), " and ", x.dtype(), " x on ", x.device(),
        "; bring them together with to(...)");
}

std::string shape_of(const Tensor& x) { return x.defined() ? message(x.shape()) : "undefined"; }

/// The state of a cell, zeros where none is given.
Tensor state_or_zeros(std::string_view op, const RecurrentWeights& cell, const Tensor& x,
                      const Tensor& state) {
  const std::int64_t input = cell.weight_ih.size(1), hidden = cell.weight_hh.size(1);
  check(x.defined() && x.dim() == 2 && x.size(1) == input, op, ": got x ", shape_of(x), "; it must be (n, ",
        input, ")");
  const Shape shape{x.size(0), hidden};
  if (!state.defined()) return zeros(shape, {.dtype = x.dtype(), .device = x.device()});
  check_state(op, state, shape, x);
  return state;
}

LSTMState rnn_tanh(const Tensor& a, const Tensor& b, const LSTMState&) { return {tanh(a + b), {}}; }
LSTMState rnn_relu(const Tensor& a, const Tensor& b, const LSTMState&) { return {relu(a + b), {}}; }
LSTMState gru(const Tensor& a, const Tensor& b, const LSTMState& state) {
  return {gru_step(a, b, state.h), {}};
}
LSTMState lstm(const Tensor& a, const Tensor& b, const LSTMState& state) {
  auto [h, c] = lstm_step(a, b, state.c);
  return {std::move(h), std::move(c)};
}

/// The state in the dtype of the products, which a guard chooses.
LSTMState as_summed(const Tensor& sums, const LSTMState& state) {
  return {state.h.to(sums.dtype()), state.c.defined() ? state.c.to(sums.dtype()) : Tensor()};
}

template <class Step>
LSTMState step_cell(const Step& step, const RecurrentWeights& weights, const Tensor& x,
                    const LSTMState& given) {
  const Tensor sums = linear(x, weights.weight_ih, weights.bias_ih);
  const LSTMState state = as_summed(sums, given);
  return step(sums, linear(state.h, weights.weight_hh, weights.bias_hh), state);
}

LSTMState where_running(const Tensor& running, const LSTMState& next, const LSTMState& before) {
  if (!running.defined()) return next;
  return {where(running, next.h, before.h), next.c.defined() ? where(running, next.c, before.c) : Tensor()};
}

/// An LSTM or a GRU over a whole sequence at once; see walk.
std::pair<Tensor, LSTMState> walk_at_once(kernels::Cell cell, const RecurrentWeights& weights,
                                          const Tensor& x, const LSTMState& initial, bool reverse) {
  Tensor input_bias = weights.bias_ih, bias = weights.bias_hh;
  if (cell == kernels::Cell::lstm && input_bias.defined() && bias.defined()) {
    // It adds both to the same sums.
    bias = input_bias + bias;
    input_bias = {};
  }
  const Tensor sums = linear(x.contiguous(), weights.weight_ih, input_bias);
  const LSTMState state = as_summed(sums, initial);
  const auto [h, c] = walk_sequence(cell, reverse, sums, weights.weight_hh, bias, state.h, state.c);
  const std::int64_t last = reverse ? 0 : x.size(0) - 1;
  return {h, {h.select(0, last), c.defined() ? c.select(0, last) : Tensor()}};
}

/// Walks over a sequence x (length, n, in) in one direction. `running` has for each step the rows (n, 1) that
/// have not ended; empty where all have one length. The outputs, and the state after the last
/// step of each row.
template <class Step>
std::pair<Tensor, LSTMState> walk(const Step& step, const RecurrentWeights& weights, const Tensor& x,
                                  LSTMState state, const std::vector<Tensor>& running, bool reverse) {
  // A model that is written down as a file is so step by step.
  if ((step == lstm || step == gru) && running.empty() && autograd::tracing == nullptr)
    return walk_at_once(step == lstm ? kernels::Cell::lstm : kernels::Cell::gru, weights, x, state, reverse);
  const std::vector<Tensor> sums = linear(x, weights.weight_ih, weights.bias_ih).unbind(0);
  std::vector<Tensor> outputs(sums.size());
  state = as_summed(sums[0], state);
  for (std::size_t k = 0; k < sums.size(); ++k) {
    const std::size_t t = reverse ? sums.size() - 1 - k : k;
    const Tensor runs = running.empty() ? Tensor() : running[t];
    const LSTMState next = step(sums[t], linear(state.h, weights.weight_hh, weights.bias_hh), state);
    outputs[t] = runs.defined() ? where(runs, next.h, 0) : next.h;
    state = where_running(runs, next, state);
  }
  return {stack(outputs, 0), std::move(state)};
}

/// Row `i` of a state, of which c may be undefined.
LSTMState row_of(const LSTMState& state, std::int64_t i) {
  return {state.h.select(0, i), state.c.defined() ? state.c.select(0, i) : Tensor()};
}

std::vector<Tensor> rows_that_run(std::string_view op, const Tensor& lengths, const Tensor& x) {
  if (!lengths.defined()) return {};
  const std::int64_t length = x.size(0), n = x.size(1);
  check(lengths.shape() == Shape{n} && !is_floating(lengths.dtype()), op, ": got lengths ", lengths.dtype(),
        " ", lengths.shape(), "; they must be (", n, ") integers");
  if (lengths.device().is_cpu() && n > 0) {
    const std::int64_t least = min(lengths).item<std::int64_t>(), most = max(lengths).item<std::int64_t>();
    check(least >= 1 && most <= length, op, ": got lengths from ", least, " to ", most,
          "; each must be at least 1 and at most ", length);
  }
  const Tensor steps = arange(length, {.device = x.device()}).view({length, 1, 1});
  return (steps < lengths.to(x.device()).view({1, n, 1})).unbind(0);
}

}  // namespace

RNNCell::RNNCell(std::int64_t input_size, std::int64_t hidden_size, const RNNCellOptions& options)
    : RecurrentWeights(make_weights("RNNCell", kRnnGates, input_size, hidden_size, options.bias)),
      nonlinearity(options.nonlinearity) {}

Tensor RNNCell::operator()(const Tensor& x, const Tensor& h) const {
  const LSTMState state{state_or_zeros("RNNCell", *this, x, h), {}};
  return observed(*this,
                  step_cell(nonlinearity == Nonlinearity::tanh ? rnn_tanh : rnn_relu, *this, x, state).h);
}

LSTMCell::LSTMCell(std::int64_t input_size, std::int64_t hidden_size, const CellOptions& options)
    : RecurrentWeights(make_weights("LSTMCell", kLstmGates, input_size, hidden_size, options.bias)) {}

LSTMState LSTMCell::operator()(const Tensor& x, const LSTMState& state) const {
  LSTMState next = step_cell(
      lstm, *this, x,
      {state_or_zeros("LSTMCell", *this, x, state.h), state_or_zeros("LSTMCell", *this, x, state.c)});
  next.h = observed(*this, next.h);
  return next;
}

GRUCell::GRUCell(std::int64_t input_size, std::int64_t hidden_size, const CellOptions& options)
    : RecurrentWeights(make_weights("GRUCell", kGruGates, input_size, hidden_size, options.bias)) {}

Tensor GRUCell::operator()(const Tensor& x, const Tensor& h) const {
  return observed(*this, step_cell(gru, *this, x, {state_or_zeros("GRUCell", *this, x, h), {}}).h);
}

RecurrentLayer::RecurrentLayer(std::string_view type, std::int64_t gates, std::int64_t input_size,
                               std::int64_t hidden_size, const RecurrentOptions& options)
    : type_(type), input_(input_size), hidden_(hidden_size), options_(options) {
  check(options.num_layers >= 1, type, ": num_layers is ", options.num_layers, "; it must be at least 1");
  check(options.dropout >= 0 && options.dropout <= 1, type, ": dropout is ", options.dropout,
        "; a probability is in [0, 1]");
  check(gates == kRnnGates || options.nonlinearity == Nonlinearity::tanh, type,
        ": the nonlinearity is an option of RNN; its gates have their own");
  const std::int64_t directions = options.bidirectional ? 2 : 1;
  for (std::int64_t i = 0; i < options.num_layers * directions; ++i)
    weights_.push_back(make_weights(type, gates, i < directions ? input_size : directions * hidden_size,
                                    hidden_size, options.bias));
}

RecurrentWeights& RecurrentLayer::weights(std::int64_t layer, bool reverse) {
  check(layer >= 0 && layer < options_.num_layers && (!reverse || options_.bidirectional), type_,
        ": there are no weights of layer ", layer, reverse ? " in reverse" : "", "; it has ",
        options_.num_layers, options_.bidirectional ? " layers in both directions" : " layers");
  return weights_[static_cast<std::size_t>(options_.bidirectional ? 2 * layer + (reverse ? 1 : 0) : layer)];
}

void RecurrentLayer::visit_parts(reflect::Inventory& inventory) {
  inventory.begin_module(type_, this);
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const std::size_t directions = options_.bidirectional ? 2 : 1;
    const std::string suffix =
        "_l" + std::to_string(i / directions) + (i % directions == 1 ? "_reverse" : "");
    const auto visit = [&](const char* name, Parameter& parameter) {
      inventory.enter(name + suffix);
      inventory.leaf(parameter);
      inventory.leave();
    };
    visit("weight_ih", weights_[i].weight_ih);
    visit("weight_hh", weights_[i].weight_hh);
    visit("bias_ih", weights_[i].bias_ih);
    visit("bias_hh", weights_[i].bias_hh);
  }
  inventory.leaf(training_);
  inventory.end();
}

void RecurrentLayer::assign_plain_parts(const RecurrentLayer& from, const reflect::Path& path) {
  if (from.weights_.size() != weights_.size() || from.input_ != input_ || from.hidden_ != hidden_)
    reflect::fail_to_assign(path, message("layers of other sizes"));
  options_ = from.options_;
  training_ = from.training_;
}

std::pair<Tensor, LSTMState> RecurrentLayer::run(const Tensor& input, const LSTMState& initial,
                                                 const SequenceOptions& sequence, Step step) const {
  const bool batched = input.defined() && input.dim() == 3;
  check(input.defined() && (batched || input.dim() == 2) && input.size(-1) == input_, type_, ": got x ",
        shape_of(input), "; it must be (length, n, ", input_, "), (n, length, ", input_,
        ") with batch_first, or (length, ", input_, ")");
  Tensor x = !batched ? input.unsqueeze(1) : options_.batch_first ? input.transpose(0, 1) : input;
  check(x.size(0) > 0, type_, ": got x ", input.shape(), ", a sequence without elements");
  const std::int64_t directions = options_.bidirectional ? 2 : 1, n = x.size(1);
  const std::vector<Tensor> running = rows_that_run(type_, sequence.lengths, x);

  const auto start = [&](const Tensor& state) {
    const Shape shape{options_.num_layers * directions, n, hidden_};
    if (!state.defined()) return zeros(shape, {.dtype = x.dtype(), .device = x.device()});
    check_state(type_, state, batched ? shape : Shape{shape[0], hidden_}, x);
    return batched ? state : state.unsqueeze(1);
  };
  const bool has_cell = step == lstm;
  const LSTMState before{start(initial.h), has_cell ? start(initial.c) : Tensor()};
  std::vector<Tensor> h, c;
  const std::int64_t gates = step == gru ? kGruGates : has_cell ? kLstmGates : kRnnGates;
  for (std::int64_t layer = 0; layer < options_.num_layers; ++layer) {
    if (layer > 0 && training_ && options_.dropout > 0) x = dropout(x, options_.dropout);
    std::vector<Tensor> outputs;
    for (std::int64_t direction = 0; direction < directions; ++direction) {
      const std::int64_t i = layer * directions + direction;
      check_weights(type_, weights_[static_cast<std::size_t>(i)], gates, x.size(2), hidden_);
      auto [output, state] =
          walk(step, weights_[static_cast<std::size_t>(i)], x, row_of(before, i), running, direction == 1);
      outputs.push_back(std::move(output));
      h.push_back(std::move(state.h));
      c.push_back(std::move(state.c));
    }
    x = directions == 1 ? outputs[0] : cat(outputs, 2);
  }
  const auto finish = [&](const std::vector<Tensor>& states) {
    const Tensor state = stack(states, 0);
    return batched ? state : state.squeeze(1);
  };
  if (!batched)
    x = x.squeeze(1);
  else if (options_.batch_first)
    x = x.transpose(0, 1);
  return {x, {finish(h), has_cell ? finish(c) : Tensor()}};
}

RNN::RNN(std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options)
    : RecurrentLayer("RNN", kRnnGates, input_size, hidden_size, options) {}

std::pair<Tensor, Tensor> RNN::operator()(const Tensor& x, const Tensor& h,
                                          const SequenceOptions& sequence) const {
  auto [outputs, state] =
      run(x, {h, {}}, sequence, options().nonlinearity == Nonlinearity::tanh ? rnn_tanh : rnn_relu);
  return {observed(*this, outputs), state.h};
}

GRU::GRU(std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options)
    : RecurrentLayer("GRU", kGruGates, input_size, hidden_size, options) {}

std::pair<Tensor, Tensor> GRU::operator()(const Tensor& x, const Tensor& h,
                                          const SequenceOptions& sequence) const {
  auto [outputs, state] = run(x, {h, {}}, sequence, gru);
  return {observed(*this, outputs), state.h};
}

LSTM::LSTM(std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options)
    : RecurrentLayer("LSTM", kLstmGates, input_size, hidden_size, options) {}

std::pair<Tensor, LSTMState> LSTM::operator()(const Tensor& x, const LSTMState& state,
                                              const SequenceOptions& sequence) const {
  auto [outputs, last] = run(x, state, sequence, lstm);
  return {observed(*this, outputs), last};
}

}  // namespace miniparallel::nn
