#include "engine/autograd/trace.h"
#include "engine/ops/autocast.h"
#include "engine/ops/native_half.h"
#include "engine/ops/norm.h"

#include <limits>

namespace miniparallel {
namespace {

/// x (n, channels, ...) in groups of neighbouring channels.
struct GroupNorm {
  std::int64_t n, channels, groups, inner;
  double eps;
  Tensor mean, inv_std;  // (n groups)

  GroupNorm(const Tensor& x, std::int64_t of_groups, double epsilon)
      : n(x.size(0)),
        channels(x.size(1)),
        groups(of_groups),
        inner(Shape(x.shape().begin() + 2, x.shape().end()).numel()),
        eps(epsilon) {}

  std::int64_t group() const { return channels / groups; }  // channels of one
  std::int64_t width() const { return group() * inner; }
  Tensor as_rows(const Tensor& x) const { return x.reshape({n, groups, width()}); }
  Tensor per_channel(const Tensor& parameter, int rank) const {
    Shape shape = Shape::filled(rank, 1);
    shape[1] = channels;
    return parameter.view(shape);
  }
  /// As a batch normalisation of one item, that has the channels of all.
  kernels::BatchNormArgs args(const Tensor& x, const Tensor& weight, const Tensor& bias = {}) const {
    return {.geometry = {1, n * channels, inner},
            .x = raw(x),
            .mean = raw(mean),
            .inv_std = raw(inv_std),
            .weight = raw_or_null(weight),
            .bias = raw_or_null(bias),
            .group = group(),
            .parameters = channels};
  }
};

/// Made of other ops.
Tensor composed(const Tensor& x, const Tensor& weight, const Tensor& bias, const GroupNorm& norm) {
  Tensor y = layer_norm(norm.as_rows(x), {norm.width()}, {}, {}, norm.eps).view(x.shape());
  if (weight.defined()) y = y * norm.per_channel(weight, x.dim());
  if (bias.defined()) y = y + norm.per_channel(bias, x.dim());
  return y;
}

void backward_composed(Backward& b, const Tensor& x, const Tensor& weight, const GroupNorm& norm) {
  const Tensor g = widened(b.grad());
  const Normalized normalized(norm.as_rows(widened(x)), {2}, norm.eps, true);
  Shape others{0};
  for (int d = 2; d < x.dim(); ++d) others.push_back(d);
  if (b.needs(1)) b.set(1, sum(g * normalized.y.reshape(x.shape()), others));
  if (b.needs(2)) b.set(2, sum(g, others));
  const Tensor of_y = weight.defined() ? g * norm.per_channel(weight, x.dim()) : g;
  b.set(0, normalized.backward(norm.as_rows(of_y)).reshape(x.shape()).to(x.dtype()));
}

void backward_fused(Backward& b, const Tensor& x, const Tensor& weight, const GroupNorm& norm) {
  const Tensor g = b.take_grad().contiguous();
  const kernels::BatchNormArgs args = norm.args(x, weight);
  // Of g and of g times the normalised x, for each channel of each item.
  const Tensor sums = make_tensor({2, norm.n, norm.channels}, norm.mean.dtype(), x.device());
  const Tensor sum_g = sums.select(0, 0), sum_gx = sums.select(0, 1);
  backend(x).norm.batch_sums(x.dtype(), args,
                             {.g = raw(g), .sum_g = raw(sum_g), .sum_gx = raw(sum_gx), .dx = {}}, stream(x));
  if (b.needs(1)) b.set(1, sum(sum_gx, {0}));
  if (b.needs(2)) b.set(2, sum(sum_g, {0}));
  if (!b.needs(0)) return;
  const Tensor of_y = weight.defined() ? sums * weight : sums;
  const Tensor of_groups = sum(of_y.view({2, norm.n * norm.groups, norm.group()}), {2});
  b.write_over(0, g, [&](const Tensor& dx, int beta) {
    backend(x).norm.batch_data_gradient(x.dtype(), args,
                                        {.g = raw(g),
                                         .sum_g = raw(of_groups.select(0, 0)),
                                         .sum_gx = raw(of_groups.select(0, 1)),
                                         .count = norm.width(),
                                         .dx = {raw(dx), beta}},
                                        stream(x));
  });
}

Tensor fused(const char* op, const Tensor& input, const Tensor& scale, const Tensor& offset, GroupNorm norm) {
  const Tensor x = input.contiguous(), weight = contiguous_or_none(widened(scale)),
               bias = contiguous_or_none(widened(offset));
  norm.mean = make_tensor({norm.n * norm.groups}, computed_dtype(x), x.device());
  norm.inv_std = result_like(norm.mean);
  const Tensor variance = result_like(norm.mean);
  Tensor y = result_like(x);
  backend(x).norm.batch_statistics(x.dtype(), {1, norm.n * norm.groups, norm.width()}, raw(x),
                                   {raw(norm.mean), raw(variance), raw(norm.inv_std), norm.eps}, stream(x));
  backend(x).norm.batch_normalize(x.dtype(), norm.args(x, weight, bias), raw(y), stream(x));
  if (recording(x, weight, bias))
    record(op, y, {x, weight, bias}, [x = save(x), weight = save(weight), norm](Backward& b) {
      const auto backward = b.create_graph() ? backward_composed : backward_fused;
      backward(b, x.get(b), weight.get(b), norm);
    });
  return y;
}

Tensor grouped(const char* op, const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias,
               double eps) {
  check_same_device(op, {x, weight, bias});
  check_parameter_dtype(op, x, {weight, bias});
  if (is_half_on_cpu(x)) return in_float32(grouped, op, x, groups, weight, bias, eps);
  check_parameter(op, "weight", weight, {x.size(1)});
  check_parameter(op, "bias", bias, {x.size(1)});
  const GroupNorm norm(x, groups, eps);
  const bool few = norm.n * norm.channels <= std::numeric_limits<std::int32_t>::max();
  // What is traced for another language is best made of ops that it knows.
  if (few && x.numel() > 0 && autograd::tracing == nullptr) return fused(op, x, weight, bias, norm);
  if (is_half(x)) return in_float32(grouped, op, x, groups, weight, bias, eps);
  return composed(x, weight, bias, norm);
}

}  // namespace

Tensor group_norm(const Tensor& x, std::int64_t groups, const Tensor& weight, const Tensor& bias,
                  double eps) {
  MP_AUTOCAST(group_norm, x, groups, weight, bias, eps);
  const char* const op = "group_norm";
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() >= 2, op, ": got shape ", x.shape(), "; it must be (n, channels, ...)");
  check(groups > 0 && x.size(1) % groups == 0, op, ": ", groups, " groups do not divide ", x.size(1),
        " channels; choose a divisor");
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  return grouped(op, x, groups, weight, bias, eps);
}

Tensor instance_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps) {
  const char* const op = "instance_norm";
  check_defined(op, x);
  check_floating(op, x);
  check(x.dim() >= 3 && x.size(1) > 0, op, ": got shape ", x.shape(),
        "; it must be (n, channels, ...), with at least ", "three dimensions");
  check(eps > 0, op, ": eps is ", eps, "; it must be above 0");
  return grouped(op, x, x.size(1), weight, bias, eps);
}

}  // namespace miniparallel
