#pragma once

#include <miniparallel/model/inventory.h>
#include <miniparallel/nn/parameter.h>
#include <miniparallel/nn/training.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

/// Recurrent layers with PyTorch's names, shapes, initial values and gates. Weights and biases start uniform
/// within 1 / sqrt(hidden). An LSTM or a GRU walks over a sequence without `lengths` as one op: it lays the
/// weight of the state out once for all steps, and makes its gradient of one product. Elementwise work of a
/// step is one kernel in forward and one in backward.

namespace miniparallel {

namespace nn {

/// The parameters of one cell; `gates` is 4 of an LSTM, 3 of a GRU, 1 of an RNN.
struct RecurrentWeights {
  Parameter weight_ih;  ///< (gates hidden, in)
  Parameter weight_hh;  ///< (gates hidden, hidden)
  Parameter bias_ih;    ///< (gates hidden), or undefined
  Parameter bias_hh;
};

enum class Nonlinearity { tanh, relu };

struct RNNCellOptions {
  bool bias = true;
  Nonlinearity nonlinearity = Nonlinearity::tanh;
};

/// h' = tanh(x W_ih^T + b_ih + h W_hh^T + b_hh): x (n, in), h (n, hidden), zeros where none is given, ->
/// (n, hidden). (Elman: "Finding structure in time", 1990.)
struct RNNCell : RecurrentWeights {
  RNNCell(std::int64_t input_size, std::int64_t hidden_size, const RNNCellOptions& options = {});
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;

  Nonlinearity nonlinearity;
  MINIPARALLEL_MEMBERS(weight_ih, weight_hh, bias_ih, bias_hh, nonlinearity)
};

struct LSTMState {
  Tensor h, c;
};

struct CellOptions {
  bool bias = true;
};

/// One step of an LSTM: x (n, in), state of (n, hidden) each, zeros where none is given, -> the next state.
/// c' = sigmoid(f) c + sigmoid(i) tanh(g), h' = sigmoid(o) tanh(c') with [i, f, g, o] = x W_ih^T + b_ih +
/// h W_hh^T + b_hh. (Hochreiter, Schmidhuber: "Long short-term memory", 1997; forget gate:
/// Gers et al., 2000.)
struct LSTMCell : RecurrentWeights {
  LSTMCell(std::int64_t input_size, std::int64_t hidden_size, const CellOptions& options = {});
  LSTMState operator()(const Tensor& x, const LSTMState& state = {}) const;

  MINIPARALLEL_MEMBERS(weight_ih, weight_hh, bias_ih, bias_hh)
};

/// One step of a GRU: x (n, in), h (n, hidden), zeros where none is given, -> (n, hidden). h' = m + z (h - m)
/// with a = x W_ih^T + b_ih and b = h W_hh^T + b_hh of gates [r, z, m]: r = sigmoid(a_r + b_r),
/// z = sigmoid(a_z + b_z), m = tanh(a_m + r b_m). (Cho et al.: "Learning phrase representations using RNN
/// encoder-decoder", 2014, in the form of cuDNN and PyTorch.)
struct GRUCell : RecurrentWeights {
  GRUCell(std::int64_t input_size, std::int64_t hidden_size, const CellOptions& options = {});
  Tensor operator()(const Tensor& x, const Tensor& h = {}) const;

  MINIPARALLEL_MEMBERS(weight_ih, weight_hh, bias_ih, bias_hh)
};

struct RecurrentOptions {
  std::int64_t num_layers = 1;
  bool bias = true;
  bool batch_first = false;    ///< x and the outputs are (n, length, ...) instead of (length, n, ...)
  double dropout = 0;          ///< of the outputs of all layers but the last, in training
  bool bidirectional = false;  ///< outputs of both directions stand side by side: (..., 2 hidden)
  Nonlinearity nonlinearity = Nonlinearity::tanh;  ///< of an RNN
};

struct SequenceOptions {
  /// (n), integers on any device: how much of each sequence counts, as a packed sequence says in PyTorch.
  /// Outputs beyond are 0; final states are those at the end of each. `Error` for a length below 1 or beyond
  /// the sequence on the CPU; on a GPU, where that would wait for it, it counts as none, or as all.
  Tensor lengths = {};
};

/// What RNN, LSTM and GRU have in common: their options and parameters, under PyTorch's names: weight_ih_l0,
/// weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, weight_ih_l1, ...
class RecurrentLayer {
 public:
  /// Those of a layer, in one direction. Throws `Error` where there is no such layer.
  RecurrentWeights& weights(std::int64_t layer = 0, bool reverse = false);
  const RecurrentOptions& options() const { return options_; }
  std::int64_t hidden_size() const { return hidden_; }

  void visit_parts(reflect::Inventory& inventory);
  void assign_plain_parts(const RecurrentLayer& from, const reflect::Path& path);

 protected:
  /// The next state from x W_ih^T + b_ih, h W_hh^T + b_hh and the state, of which c is an LSTM's alone.
  using Step = LSTMState (*)(const Tensor& input_sums, const Tensor& hidden_sums, const LSTMState& state);

  RecurrentLayer(std::string_view type, std::int64_t gates, std::int64_t input_size, std::int64_t hidden_size,
                 const RecurrentOptions& options);
  std::pair<Tensor, LSTMState> run(const Tensor& x, const LSTMState& initial, const SequenceOptions& sequence,
                                   Step step) const;

 private:
  std::string_view type_;
  std::int64_t input_, hidden_;
  RecurrentOptions options_;
  std::vector<RecurrentWeights> weights_;  // of layer 0, its reverse, of layer 1, ...
  Training training_;
};

/// x (length, n, in) or (length, in) -> the outputs (length, n, hidden) of the last layer, and the final
/// states (layers * directions, n, hidden), which may be the next call's `h`.
class RNN : public RecurrentLayer {
 public:
  RNN(std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options = {});
  std::pair<Tensor, Tensor> operator()(const Tensor& x, const Tensor& h = {},
                                       const SequenceOptions& sequence = {}) const;
};

/// As RNN with cells of GRUCell.
class GRU : public RecurrentLayer {
 public:
  GRU(std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options = {});
  std::pair<Tensor, Tensor> operator()(const Tensor& x, const Tensor& h = {},
                                       const SequenceOptions& sequence = {}) const;
};

/// As RNN with cells of LSTMCell: `auto [outputs, state] = lstm(x);`
class LSTM : public RecurrentLayer {
 public:
  LSTM(std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options = {});
  std::pair<Tensor, LSTMState> operator()(const Tensor& x, const LSTMState& state = {},
                                          const SequenceOptions& sequence = {}) const;
};

}  // namespace nn
}  // namespace miniparallel
