#include <miniparallel/optim/clip_grad.h>

#include "engine/ops/native_half.h"
#include "engine/optim/gradient.h"
#include "engine/tensor/arena.h"

#include <limits>

namespace miniparallel::nn::utils {

namespace {

/// On the CPU those of a 16-bit dtype are clipped as float32.
struct Gradients {
  std::vector<Tensor> stored, tensors;
  std::vector<kernels::GradientRow> rows;

  void finish() const {
    const NoGradGuard no_grad;
    for (std::size_t i = 0; i < stored.size(); ++i) {
      Tensor gradient = stored[i];
      if (gradient.is_same(tensors[i]))
        bump_version(gradient);
      else
        gradient.copy_(tensors[i]);
    }
  }
};

Gradients collect(const char* op, const std::vector<Tensor>& parameters) {
  Gradients gradients;
  for (const Tensor& parameter : parameters) {
    const Tensor gradient = optim::dense_gradient(op, parameter);
    if (!gradient.defined()) continue;
    if (!gradients.stored.empty()) {
      const Tensor& first = gradients.stored.front();
      check(gradient.dtype() == first.dtype() && gradient.device() == first.device(), op,
            ": gradients must share dtype and device; got ", first.dtype(), " on ", first.device(), " and ",
            gradient.dtype(), " on ", gradient.device(), "; clip them apart");
    }
    gradients.stored.push_back(gradient);
    gradients.tensors.push_back(is_half_on_cpu(gradient) ? gradient.detach().to(float32) : gradient);
    gradients.rows.push_back({raw(gradients.tensors.back()), gradient.numel()});
  }
  return gradients;
}

/// A row for each run of neighbours, for what treats elements one by one. The order of a norm's sums is that
/// of a row for each gradient.
std::vector<kernels::GradientRow> joined_rows(const std::vector<Tensor>& gradients) {
  std::vector<kernels::GradientRow> rows;
  for_each_run(
      gradients.size(), [&](std::size_t i) { return are_neighbours(gradients[i], gradients[i + 1]); },
      [&](std::size_t first, std::size_t last) {
        rows.push_back({raw(gradients[first], gradients[last]), elements(gradients[first], gradients[last])});
      });
  return rows;
}

kernels::NormKind norm_kind(double norm_type) {
  if (norm_type == 1) return kernels::NormKind::one;
  if (norm_type == 2) return kernels::NormKind::two;
  check(norm_type == std::numeric_limits<double>::infinity(), "clip_grad_norm_: norm_type is ", norm_type,
        "; it must be 1, 2 or infinity");
  return kernels::NormKind::infinity;
}

}  // namespace

Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm, double norm_type) {
  check(max_norm >= 0, "clip_grad_norm_: max_norm is ", max_norm, "; it must be at least 0");
  const kernels::NormKind kind = norm_kind(norm_type);
  const Gradients all = collect("clip_grad_norm_", parameters);
  const auto& [stored, gradients, rows] = all;
  if (gradients.empty()) return scalar_tensor(0.0);
  const DType dtype = gradients.front().dtype();
  const Device device = gradients.front().device();
  const auto partials = make_tensor({kernels::norm_partials(rows)}, float64, device);
  const auto norm = make_tensor({}, float64, device);
  auto* total = reinterpret_cast<double*>(raw(norm));
  backend(device).optimizer.norm(dtype, kind, rows, reinterpret_cast<double*>(raw(partials)), total,
                                 stream(device));
  backend(device).optimizer.clip_norm(dtype, joined_rows(gradients), total, max_norm, stream(device));
  all.finish();
  return norm.to(stored.front().dtype());
}

void clip_grad_value_(const std::vector<Tensor>& parameters, double clip_value) {
  check(clip_value >= 0, "clip_grad_value_: clip_value is ", clip_value, "; it must be at least 0");
  const Gradients all = collect("clip_grad_value_", parameters);
  const std::vector<Tensor>& gradients = all.tensors;
  if (gradients.empty()) return;
  const Device device = gradients.front().device();
  backend(device).optimizer.clip_value(gradients.front().dtype(), joined_rows(gradients), clip_value,
                                       stream(device));
  all.finish();
}

}  // namespace miniparallel::nn::utils
