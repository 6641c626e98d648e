#pragma once

#include <miniparallel/ops.h>

#include "kernels/recurrent.h"

#include <utility>

namespace miniparallel {

/// The elementwise part of an LSTM's step: (h', c') from the products with input and state, (n, 4 hidden)
/// with gates [i, f, g, o], and c, (n, hidden). The caller has checked shapes, dtypes and devices.
std::pair<Tensor, Tensor> lstm_step(const Tensor& input_sums, const Tensor& hidden_sums, const Tensor& c);

/// The same of a GRU: h' from products of (n, 3 hidden) with gates [r, z, m], and h, (n, hidden).
Tensor gru_step(const Tensor& input_sums, const Tensor& hidden_sums, const Tensor& h);

/// A cell's walk over a sequence, its products with the state included: h, and c of an LSTM, after each step,
/// (length, n, hidden), from the products with the inputs, (length, n, gates hidden), the weight and the bias
/// (may be undefined) of those with the state, and the state before. In `reverse` from the end. One op, whose
/// gradients of weight and bias are one product and one sum over all steps. The gates that backward reads
/// take the memory of `input_sums`, which nobody else may read.
std::pair<Tensor, Tensor> walk_sequence(kernels::Cell cell, bool reverse, const Tensor& input_sums,
                                        const Tensor& weight, const Tensor& bias, const Tensor& h,
                                        const Tensor& c);

// The gradients of what lstm_step and gru_step read, by ops that are themselves differentiable. `more` is
// what came to the gates on other ways. It may be undefined, as may each gradient that comes in.

/// The sum of two gradients.
inline Tensor plus(const Tensor& a, const Tensor& b) { return !a.defined() ? b : !b.defined() ? a : a + b; }

struct LstmGradient {
  Tensor sums, c;
};
LstmGradient lstm_gradient(const Tensor& dh_next, const Tensor& dc_next, const Tensor& more, const Tensor& c,
                           const Tensor& c_next, const Tensor& gates);

struct GruGradient {
  Tensor input_sums, hidden_sums, h;
};
GruGradient gru_gradient(const Tensor& dh_next, const Tensor& more, const Tensor& h,
                         const Tensor& hidden_sums, const Tensor& gates);

}  // namespace miniparallel
