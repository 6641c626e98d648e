#include "engine/ops/batch_norm_gradient.h"

namespace miniparallel {

Shape batch_dims(const Tensor& x) {
  Shape dims{0};
  for (int i = 2; i < x.dim(); ++i) dims.push_back(i);
  return dims;
}

Tensor per_channel(const Tensor& numbers, const Tensor& x) {
  Shape shape = Shape::filled(x.dim(), 1);
  shape[1] = x.size(1);
  return numbers.view(shape);
}

void batch_norm_composed(Backward& b, const std::vector<BatchNormGradient>& parts, std::int64_t count,
                         double eps) {
  std::vector<Tensor> inputs, gradients;
  for (const BatchNormGradient& part : parts) {
    inputs.push_back(widened(part.x));
    gradients.push_back(part.g.defined() ? widened(part.g) : Tensor());
  }
  // Over all parts, per channel: of f(i), which is as large as part i; on the first part's device.
  const auto mean_of = [&](const auto& f) {
    Tensor total;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Tensor& x = parts[i].x;
      const Tensor part = sum(f(i), batch_dims(x)).to(parts[0].x.device());
      total = total.defined() ? total + part : part;
    }
    return total * share_of(count);
  };
  const auto at = [&](const Tensor& numbers, std::size_t i) {
    return per_channel(numbers.to(parts[i].x.device()), parts[i].x);
  };
  std::vector<Tensor> y, scaled;  // x without mean, then normalised; the gradients of that
  const Tensor mean = mean_of([&](std::size_t i) { return inputs[i]; });
  for (std::size_t i = 0; i < parts.size(); ++i) y.push_back(inputs[i] - at(mean, i));
  const Tensor inv_std = inverse_std(mean_of([&](std::size_t i) { return y[i] * y[i]; }), eps);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Tensor &x = inputs[i], &weight = parts[i].weight, &g = gradients[i];
    y[i] = y[i] * at(inv_std, i);
    scaled.push_back(!g.defined() ? zeros_like(x) : weight.defined() ? g * per_channel(weight, x) : g);
    const int input = static_cast<int>(3 * i);
    if (g.defined() && b.needs(input + 1)) b.set(input + 1, sum(g * y[i], batch_dims(x)));
    if (g.defined() && b.needs(input + 2)) b.set(input + 2, sum(g, batch_dims(x)));
  }
  const Tensor mean_g = mean_of([&](std::size_t i) { return scaled[i]; });
  const Tensor mean_gy = mean_of([&](std::size_t i) { return scaled[i] * y[i]; });
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (const int input = static_cast<int>(3 * i); b.needs(input))
      b.set(input,
            (at(inv_std, i) * (scaled[i] - at(mean_g, i) - y[i] * at(mean_gy, i))).to(parts[i].x.dtype()));
}

}  // namespace miniparallel
