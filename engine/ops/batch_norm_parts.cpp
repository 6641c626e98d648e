#include "engine/ops/batch_norm_parts.h"

#include "engine/ops/batch_norm_gradient.h"
#include "engine/ops/native_half.h"

#include <algorithm>
#include <utility>

namespace miniparallel {
namespace {

using kernels::Destination;

thread_local BatchNormMeeting* current = nullptr;

/// What backward reads of a part. The inputs of the node are x, weight and bias of each, in order.
struct Part {
  autograd::Saved x, weight;
  Tensor mean;
  BatchNorm norm;

  Device device() const { return mean.device(); }
};
using Parts = std::vector<Part>;

/// `tensor` where each part is, copied once for each device.
template <class AllParts, class DeviceOf>
std::vector<Tensor> send_to_each(const Tensor& tensor, const AllParts& parts, const DeviceOf& device_of) {
  std::vector<Tensor> sent;
  for (const auto& part : parts) {
    const Device device = device_of(part);
    const auto there = std::ranges::find(sent, device, &Tensor::device);
    sent.push_back(there == sent.end() ? tensor.to(device) : *there);
  }
  return sent;
}

void check_no_meeting() {
  check(
      current == nullptr,
      "batch_norm: a backward through a part of a batch before all parts are done; the gradients need those "
      "of all parts, so call it on what all of them have returned");
}

/// The gradients of weight and bias of each part, by set, and the sums of both over the parts: (2, channels).
Tensor sum_gradients(Backward& b, const Parts& parts, const std::vector<Tensor>& grads) {
  const Device first = parts[0].device();
  std::vector<Tensor> sent;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Tensor& g = grads[i];
    if (!g.defined()) continue;
    const Part& part = parts[i];
    const Tensor sums = make_tensor({2, part.norm.geometry.channels}, part.mean.dtype(), g.device());
    const Tensor sum_g = sums[0], sum_gx = sums[1];
    backend(g).norm.batch_sums(g.dtype(), part.norm.args(part.x.get(b), part.mean, part.weight.get(b)),
                               {raw(g), raw(sum_g), raw(sum_gx), part.norm.count, {}}, stream(g));
    sent.push_back(sums.to(first));
    b.set(static_cast<int>(3 * i) + 1, sum_gx);
    b.set(static_cast<int>(3 * i) + 2, sum_g);
  }
  return sum(stack(sent), {0});
}

void parts_fused(Backward& b, const Parts& parts) {
  std::vector<Tensor> grads;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Tensor g = b.take_grad(static_cast<int>(i));
    grads.push_back(g.defined() ? laid_out(parts[i].norm.channels_last, g) : g);
  }
  const std::vector<Tensor> sums =
      send_to_each(sum_gradients(b, parts, grads), parts, [](const Part& part) { return part.device(); });
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const int input = static_cast<int>(3 * i);
    if (!b.needs(input)) continue;
    const Part& part = parts[i];
    const Tensor x = part.x.get(b), weight = part.weight.get(b), sum_g = sums[i][0], sum_gx = sums[i][1];
    // A part whose result nobody used still had a share in the statistics.
    const Tensor g = grads[i].defined() ? std::move(grads[i]) : result_laid_as(x).zero_();
    b.write_over(input, g, [&](const Tensor& dx, int beta) {
      backend(g).norm.batch_data_gradient(
          g.dtype(), part.norm.args(x, part.mean, weight),
          {raw(g), raw(sum_g), raw(sum_gx), part.norm.count, Destination{raw(dx), beta}}, stream(g));
    });
  }
}

void backward_of_parts(Backward& b, const Parts& parts) {
  check_no_meeting();
  if (!b.create_graph()) return parts_fused(b, parts);
  std::vector<BatchNormGradient> gradients;
  for (std::size_t i = 0; i < parts.size(); ++i)
    gradients.push_back({parts[i].x.get(b), parts[i].weight.get(b), b.grad(static_cast<int>(i))});
  batch_norm_composed(b, gradients, parts[0].norm.count, parts[0].norm.eps);
}

void check_one_layer(std::span<BatchNormPart* const> parts) {
  const BatchNormPart& first = *parts[0];
  for (const BatchNormPart* const part : parts)
    check(part->statistics.shape() == first.statistics.shape() && part->x.dtype() == first.x.dtype() &&
              part->eps == first.eps && part->weight.defined() == first.weight.defined() &&
              part->bias.defined() == first.bias.defined(),
          "batch_norm: parts of one batch have shapes ", first.x.shape(), " and ", part->x.shape(),
          ", dtypes ", first.x.dtype(), " and ", part->x.dtype(), ", eps ", first.eps, " and ", part->eps,
          "; parts that meet must be of one layer");
}

/// Sets `whole` of the first part, and returns mean and inverse standard deviation: (2, channels).
Tensor merge_statistics(std::span<BatchNormPart* const> parts) {
  BatchNormPart& first = *parts[0];
  std::vector<Tensor> sent;
  for (const BatchNormPart* const part : parts) {
    sent.push_back(part->statistics.to(first.x.device()));
    first.whole.count += part->x.numel() / part->x.size(1);
  }
  const Tensor all = stack(sent, 1);  // (3, parts, channels)
  const Tensor share = all[0] / sum(all[0], {0}), means = all[1], variances = all[2];
  first.whole.mean = sum(means * share, {0});
  first.whole.variance = sum((variances + square(means - first.whole.mean)) * share, {0});
  return stack({first.whole.mean, inverse_std(first.whole.variance, first.eps)});
}

}  // namespace

BatchNormMeetingScope::BatchNormMeetingScope(BatchNormMeeting* meeting)
    : previous_(std::exchange(current, meeting)) {}
BatchNormMeetingScope::~BatchNormMeetingScope() { current = previous_; }
BatchNormMeeting* batch_norm_meeting() { return current; }

void join_parts(std::span<BatchNormPart* const> parts) {
  check_one_layer(parts);
  Parts made;
  {
    const NoGradGuard no_grad;
    const std::vector<Tensor> statistics = send_to_each(
        merge_statistics(parts), parts, [](const BatchNormPart* part) { return part->x.device(); });
    for (std::size_t i = 0; i < parts.size(); ++i) {
      parts[i]->mean = statistics[i][0];
      parts[i]->inv_std = statistics[i][1];
    }
  }
  std::vector<Tensor> inputs, outputs;
  for (const BatchNormPart* const part : parts) {
    inputs.insert(inputs.end(), {part->x, part->weight, part->bias});
    outputs.push_back(part->y);
  }
  if (!recording(inputs)) return;
  for (const BatchNormPart* const part : parts)
    made.push_back({save(part->x),
                    save(part->weight),
                    part->mean,
                    {geometry_of(part->x), parts[0]->whole.count, part->eps, part->inv_std,
                     part->x.impl()->channels_last}});
  record("batch_norm", outputs, inputs,
         [made = std::move(made)](Backward& b) { backward_of_parts(b, made); });
}

Tensor batch_norm_part(const Tensor& x, const Tensor& weight, const Tensor& bias,
                       const RunningStatistics& running, double eps, BatchNormMeeting& meeting) {
  BatchNormPart part{x,
                     weight,
                     bias,
                     eps,
                     running,
                     make_tensor({3, x.size(1)}, computed_dtype(x), x.device()),
                     result_laid_as(x)};
  Tensor count = part.statistics[0];
  const Tensor mean = part.statistics[1], variance = part.statistics[2];
  count.fill_(x.numel() / x.size(1));
  backend(x).norm.batch_statistics(x.dtype(), geometry_of(x), raw(x), {raw(mean), raw(variance)}, stream(x));
  meeting.meet(part);
  if (running.mean.defined() && part.whole.mean.defined()) update_or_hand_over(running, part.whole);
  const BatchNorm norm{geometry_of(x), part.whole.count, eps, part.inv_std};
  backend(x).norm.batch_normalize(x.dtype(), norm.args(x, part.mean, weight, bias), raw(part.y), stream(x));
  return part.y;
}

}  // namespace miniparallel
