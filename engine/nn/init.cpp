#include <miniparallel/nn/init.h>

#include <miniparallel/autograd.h>

#include "engine/error.h"

#include <cmath>

namespace miniparallel::nn::init {

namespace {

double gain(const KaimingOptions& options) {
  return std::sqrt(2 / (1 + options.negative_slope * options.negative_slope));
}

double fan(const Tensor& weight, Fan mode) {
  const Fans both = fans(weight);
  return mode == Fan::in ? both.in : both.out;
}

}  // namespace

Tensor uniform_(Tensor tensor, double low, double high) {
  const NoGradGuard guard;
  return tensor.uniform_(low, high);
}

Tensor normal_(Tensor tensor, double mean, double stddev) {
  const NoGradGuard guard;
  return tensor.normal_(mean, stddev);
}

Tensor constant_(Tensor tensor, double value) {
  const NoGradGuard guard;
  return tensor.fill_(value);
}

Tensor zeros_(Tensor tensor) { return constant_(std::move(tensor), 0); }
Tensor ones_(Tensor tensor) { return constant_(std::move(tensor), 1); }

Fans fans(const Tensor& weight) {
  check(weight.dim() >= 2, "init: got shape ", weight.shape(),
        "; fan in and fan out need a weight (out, in, ...)");
  double receptive_field = 1;
  for (int i = 2; i < weight.dim(); ++i) receptive_field *= static_cast<double>(weight.size(i));
  return {.in = static_cast<double>(weight.size(1)) * receptive_field,
          .out = static_cast<double>(weight.size(0)) * receptive_field};
}

Tensor xavier_uniform_(Tensor weight, double gain) {
  const Fans both = fans(weight);
  const double bound = gain * std::sqrt(6 / (both.in + both.out));
  return uniform_(std::move(weight), -bound, bound);
}

Tensor xavier_normal_(Tensor weight, double gain) {
  const Fans both = fans(weight);
  return normal_(std::move(weight), 0, gain * std::sqrt(2 / (both.in + both.out)));
}

Tensor kaiming_uniform_(Tensor weight, const KaimingOptions& options) {
  const double bound = gain(options) * std::sqrt(3 / fan(weight, options.mode));
  return uniform_(std::move(weight), -bound, bound);
}

Tensor kaiming_normal_(Tensor weight, const KaimingOptions& options) {
  const double stddev = gain(options) / std::sqrt(fan(weight, options.mode));
  return normal_(std::move(weight), 0, stddev);
}

}  // namespace miniparallel::nn::init
