#include <miniparallel/optim/muon.h>

#include <miniparallel/ops.h>

#include "engine/optim/optimizer_of.h"

#include <algorithm>
#include <cmath>

namespace miniparallel::optim {

static void check_options(const char* optimizer, const MuonOptions& options) {
  check_share(optimizer, "momentum", options.momentum);
}

template class OptimizerOf<Muon, MuonOptions>;

std::span<const char* const> Muon::state_names(int) const {
  static constexpr std::array names{"momentum_buffer"};
  return names;
}

namespace {

/// u v^T for x = u s v^T, nearly: each step takes the singular values s to a s + b s^3 + c s^5, which comes
/// near 1 in few steps but does not settle there.
Tensor orthogonalized(const Tensor& x, double eps) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  constexpr int steps = 5;
  const bool tall = x.size(0) > x.size(1);
  Tensor y = tall ? x.t() : x;
  y = y / clamp_min(norm(y), eps);
  for (int i = 0; i < steps; ++i) {
    const Tensor square = matmul(y, y.t());
    y = a * y + matmul(b * square + c * matmul(square, square), y);
  }
  return tall ? y.t() : y;
}

double step_length(const MuonOptions& of, const Shape& shape) {
  const auto rows = static_cast<double>(shape[0]), columns = static_cast<double>(shape[1]);
  return of.lr * (of.match_rms_adamw ? 0.2 * std::sqrt(std::max(rows, columns))
                                     : std::sqrt(std::max(1.0, rows / columns)));
}

/// Whether the device skips the step; undefined where the host has decided.
Tensor skipped(Device device) {
  if (on_device == nullptr) return {};
  const kernels::OverflowFlags& flags = on_device->overflow;
  return any(from_blob(flags.at, {flags.count}, {.device = device}) != 0);
}

}  // namespace

void Muon::update(DType dtype, Device device, std::span<const Run> runs) {
  stop_capture("steps with Muon", "call the optimizer's step after the step");
  const Tensor skip = skipped(device);
  const auto write = [&](Tensor target, const Tensor& value) {
    target.copy_(skip.defined() ? where(skip, target, value) : value);
  };
  for (const Run& run : runs) {
    if (run.n == 0) continue;
    const MuonOptions& of = options(run.group);
    const auto matrix = [&](const void* elements) {
      return from_blob(const_cast<void*>(elements), run.shape, {.dtype = dtype, .device = device});
    };
    const Tensor p = matrix(run.parameter), g = matrix(run.gradient), buffer = matrix(run.state[0]);
    const Tensor average = lerp(buffer, g, 1 - of.momentum);
    const Tensor direction = orthogonalized(of.nesterov ? lerp(g, average, of.momentum) : average, of.eps);
    write(p, p * (1 - of.lr * of.weight_decay) - direction * step_length(of, run.shape));
    write(buffer, average);
  }
}

}  // namespace miniparallel::optim
