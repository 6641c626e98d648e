#pragma once

#include <miniparallel/tensor.h>

#include <utility>

namespace miniparallel {

/// The elementwise part of an LSTM's step: (h', c') from the products with input and state, (n, 4 hidden)
/// with gates [i, f, g, o], and c, (n, hidden). The caller has checked shapes, dtypes and devices.
std::pair<Tensor, Tensor> lstm_step(const Tensor& input_sums, const Tensor& hidden_sums, const Tensor& c);

/// The same of a GRU: h' from products of (n, 3 hidden) with gates [r, z, m], and h, (n, hidden).
Tensor gru_step(const Tensor& input_sums, const Tensor& hidden_sums, const Tensor& h);

}  // namespace miniparallel
