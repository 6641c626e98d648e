#include "engine/ops/recurrent.h"

#include "engine/ops/common.h"
#include "engine/ops/native_half.h"

// Gates are outputs of the node, though nobody else gets them: a second derivative is one of formulas in
// which they stand, and finds its way back through them.

namespace miniparallel {
namespace {

/// d sigmoid, d tanh, by the result.
Tensor of_sigmoid(const Tensor& g, const Tensor& y) { return g * y * (1 - y); }
Tensor of_tanh(const Tensor& g, const Tensor& y) { return g * (1 - y * y); }

Tensor packed(const Tensor& x) { return x.defined() ? x.contiguous() : x; }

kernels::LstmArgs lstm_args(const Tensor& c, const Tensor& gates, const Tensor& c_next) {
  return {c.size(0), c.size(1), raw(c), raw(gates), raw(c_next)};
}

kernels::GruArgs gru_args(const Tensor& h, const Tensor& hidden_sums, const Tensor& gates) {
  return {h.size(0), h.size(1), raw(h), raw(hidden_sums), raw(gates)};
}

}  // namespace

LstmGradient lstm_gradient(const Tensor& dh_next, const Tensor& dc_next, const Tensor& more,
                           const Tensor& before, const Tensor& after, const Tensor& gates) {
  const Tensor c = widened(before);
  const std::vector<Tensor> gate = widened(gates).chunk(4, 1);
  const Tensor bounded = tanh(widened(after)), dh = dh_next.defined() ? widened(dh_next) : zeros_like(c);
  const Tensor dc = plus(of_tanh(dh * gate[3], bounded), widened(dc_next));
  const Tensor dgates = plus(cat({dc * gate[2], dc * c, dc * gate[0], dh * bounded}, 1), widened(more));
  const std::vector<Tensor> g = dgates.chunk(4, 1);
  const Tensor sums = cat({of_sigmoid(g[0], gate[0]), of_sigmoid(g[1], gate[1]), of_tanh(g[2], gate[2]),
                           of_sigmoid(g[3], gate[3])},
                          1);
  return {sums.to(gates.dtype()), (dc * gate[1]).to(before.dtype())};
}

GruGradient gru_gradient(const Tensor& dh_next, const Tensor& more, const Tensor& before,
                         const Tensor& hidden_sums, const Tensor& gates) {
  const Tensor h = widened(before);
  const std::vector<Tensor> gate = widened(gates).chunk(3, 1);
  const Tensor g = dh_next.defined() ? widened(dh_next) : zeros_like(h);
  const Tensor dgates = cat({zeros_like(h), g * (h - gate[2]), g * (1 - gate[1])}, 1);
  const std::vector<Tensor> d = plus(dgates, widened(more)).chunk(3, 1);
  const Tensor dm = of_tanh(d[2], gate[2]), dz = of_sigmoid(d[1], gate[1]);
  const Tensor dr = of_sigmoid(d[0] + dm * widened(hidden_sums).chunk(3, 1)[2], gate[0]);
  return {cat({dr, dz, dm}, 1).to(gates.dtype()), cat({dr, dz, dm * gate[0]}, 1).to(gates.dtype()),
          (g * gate[1]).to(before.dtype())};
}

std::pair<Tensor, Tensor> lstm_step(const Tensor& input_sums, const Tensor& hidden_sums,
                                    const Tensor& state) {
  if (is_half_on_cpu(state)) return in_float32(lstm_step, input_sums, hidden_sums, state);
  const Tensor a = input_sums.contiguous(), r = hidden_sums.contiguous(), c = state.contiguous();
  Tensor h_next = result_like(c), c_next = result_like(c), gates = result_like(a);
  backend(c).recurrent.lstm_forward(c.dtype(), lstm_args(c, gates, c_next), raw(a), raw(r), raw(h_next),
                                    stream(c));
  if (recording(a, r, c))
    record("lstm_cell", {h_next, c_next, gates}, {a, r, c},
           [c = save(c), c_next = save_output(c_next, 1), gates = save_output(gates, 2)](Backward& b) {
             const Tensor before = c.get(b), after = c_next.get(b), gate = gates.get(b);
             if (b.create_graph() || b.grad(2).defined()) {
               const auto [sums, of_c] = lstm_gradient(b.grad(0), b.grad(1), b.grad(2), before, after, gate);
               b.set(0, sums);
               b.set(1, sums);
               return b.set(2, of_c);
             }
             const Tensor dh = packed(b.grad(0)), dc = packed(b.grad(1));
             const Tensor dsums = result_like(gate), dbefore = result_like(before);
             backend(gate).recurrent.lstm_backward(gate.dtype(), lstm_args(before, gate, after),
                                                   raw_or_null(dh), raw_or_null(dc), raw(dsums), raw(dbefore),
                                                   stream(gate));
             b.set(0, dsums);
             b.set(1, dsums);
             b.set(2, dbefore);
           });
  return {h_next, c_next};
}

Tensor gru_step(const Tensor& input_sums, const Tensor& hidden_sums, const Tensor& state) {
  if (is_half_on_cpu(state)) return in_float32(gru_step, input_sums, hidden_sums, state);
  const Tensor a = input_sums.contiguous(), r = hidden_sums.contiguous(), h = state.contiguous();
  Tensor h_next = result_like(h), gates = result_like(a);
  backend(h).recurrent.gru_forward(h.dtype(), gru_args(h, r, gates), raw(a), raw(h_next), stream(h));
  if (recording(a, r, h))
    record("gru_cell", {h_next, gates}, {a, r, h},
           [h = save(h), r = save(r), gates = save_output(gates, 1)](Backward& b) {
             const Tensor before = h.get(b), hidden = r.get(b), gate = gates.get(b);
             if (b.create_graph() || b.grad(1).defined()) {
               const auto [sums, products, of_h] = gru_gradient(b.grad(0), b.grad(1), before, hidden, gate);
               b.set(0, sums);
               b.set(1, products);
               return b.set(2, of_h);
             }
             const Tensor g = b.grad(0).contiguous();
             const Tensor da = result_like(gate), dr = result_like(gate), dh = result_like(before);
             backend(gate).recurrent.gru_backward(gate.dtype(), gru_args(before, hidden, gate), raw(g),
                                                  raw(da), raw(dr), raw(dh), stream(gate));
             b.set(0, da);
             b.set(1, dr);
             b.set(2, dh);
           });
  return h_next;
}

}  // namespace miniparallel
