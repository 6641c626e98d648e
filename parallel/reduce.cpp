#include "parallel/reduce.h"

#include <miniparallel/autograd.h>
#include <miniparallel/parallel/reduce.h>

#include "engine/ops/common.h"
#include "kernels/collective.h"
#include "parallel/reduce_paths.h"

#include <algorithm>
#include <bit>
#include <span>

namespace miniparallel::parallel {
namespace {

constexpr int kWidth = kernels::kMaxSummands;

/// What values of the dtype are summed in.
DType accumulator_of(DType dtype) { return size_of(dtype) == 2 ? float32 : dtype; }

/// y = the sum of the parts, whose ranks differ in the lowest bits alone, by a kernel of `device`.
void launch(Device device, std::span<const Part> parts, const Tensor& y) {
  kernels::TreeSumArgs args{.n = y.numel()};
  for (const Part& part : parts) args.x[part.rank % kWidth] = raw(part.values);
  backend(device).collective.sum(parts.front().values.dtype(), y.dtype(), args, raw(y), stream(device));
}

/// Sums the whole subtrees that one device other than `here` has, all of whose ranks agree above `bits` bits.
std::vector<Part> sum_on_devices(std::span<const Part> parts, int bits, Device here) {
  const Tensor& first = parts.front().values;
  const bool together =
      std::ranges::all_of(parts, [&](const Part& p) { return p.values.device() == first.device(); });
  if (together && (parts.size() == 1 || first.device() == here)) return {parts.begin(), parts.end()};
  if (together) {
    const Tensor sum = make_tensor(first.shape(), accumulator_of(first.dtype()), first.device());
    sum_on(first.device(), {parts.begin(), parts.end()}, sum);
    return {{parts.front().rank, sum}};
  }
  const auto middle =
      std::ranges::find_if(parts, [&](const Part& part) { return (part.rank >> (bits - 1)) % 2 == 1; });
  std::vector<Part> sums;
  for (const std::span half : {std::span(parts.begin(), middle), std::span(middle, parts.end())}) {
    if (half.empty()) continue;
    const std::vector<Part> of_half = sum_on_devices(half, bits - 1, here);
    sums.insert(sums.end(), of_half.begin(), of_half.end());
  }
  return sums;
}

/// The same of all parts, brought to one dtype.
std::vector<Part> summed_on_devices(const std::vector<Part>& parts, Device here) {
  std::vector<Part> sums =
      sum_on_devices(parts, std::bit_width(static_cast<unsigned>(parts.back().rank)), here);
  const DType own = sums.front().values.dtype();
  if (sums.size() > 1 && std::ranges::any_of(sums, [&](const Part& p) { return p.values.dtype() != own; }))
    for (Part& part : sums) part.values = part.values.to(accumulator_of(own));
  return sums;
}

/// Shards pay where the sum's device would read more than one other.
SumPath path_of(GradientReduction reduction, const std::vector<Device>& devices, std::int64_t bytes) {
  using enum GradientReduction;
  if (reduction == host) return sum_host;
  if (reduction == nccl) return sum_nccl;
  const bool in_shards =
      reduction == sharded || (reduction == automatic && devices.size() > 2 && bytes >= kShardedBytes);
  return in_shards && all_reach_each_other(devices) ? sum_sharded : sum_direct;
}

/// `sum_parts` of contiguous parts as a new tensor, differentiable.
Tensor sum_recorded(const std::vector<Part>& parts, Device device) {
  const Tensor& first = parts.front().values;
  Tensor sum = make_tensor(first.shape(), first.dtype(), device);
  std::vector<Tensor> inputs;
  for (const Part& part : parts) inputs.push_back(part.values);
  {
    const NoGradGuard no_grad;
    sum_parts(parts, sum);
  }
  if (recording(inputs)) {
    std::vector<Device> devices;
    for (const Tensor& input : inputs) devices.push_back(input.device());
    record("reduce_add", sum, inputs, [devices = std::move(devices)](Backward& b) {
      for (std::size_t i = 0; i < devices.size(); ++i)
        if (b.needs(static_cast<int>(i))) b.set(static_cast<int>(i), b.grad().to(devices[i]));
    });
  }
  return sum;
}

}  // namespace

bool reach_each_other(Device a, Device b) {
  if (a == b) return true;
  if (a.is_cpu() || b.is_cpu()) return false;
  Accelerator& owner = accelerator(a);
  return owner.reaches(a.index, b.index) && owner.reaches(b.index, a.index);
}

bool all_reach_each_other(const std::vector<Device>& devices) {
  for (std::size_t i = 0; i < devices.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (!reach_each_other(devices[i], devices[j])) return false;
  return true;
}

std::vector<Device> devices_of(const std::vector<Part>& parts, const Tensor& sum) {
  std::vector<Device> devices{sum.device()};
  for (const Part& part : parts)
    if (std::ranges::find(devices, part.values.device()) == devices.end())
      devices.push_back(part.values.device());
  return devices;
}

void sum_on(Device device, std::vector<Part> parts, const Tensor& y) {
  while (parts.front().rank / kWidth != parts.back().rank / kWidth) {  // kWidth neighbours, then their sums
    std::vector<Part> sums;
    for (auto first = parts.begin(); first != parts.end();) {
      const int group = first->rank / kWidth;
      const auto last =
          std::find_if(first, parts.end(), [&](const Part& part) { return part.rank / kWidth != group; });
      const DType dtype = accumulator_of(first->values.dtype());
      if (last - first == 1 && first->values.dtype() == dtype) {
        sums.push_back({group, first->values});
      } else {
        sums.push_back({group, make_tensor(y.shape(), dtype, device)});
        launch(device, {first, last}, sums.back().values);
      }
      first = last;
    }
    parts = std::move(sums);
  }
  launch(device, parts, y);
}

std::int64_t sum_parts(std::vector<Part> parts, const Tensor& sum, GradientReduction reduction) {
  for (const Part& part : parts)
    raw(part.values);  // what is pending there comes before readers on other devices
  if (parts.size() == 1 && raw(parts[0].values) == raw(sum)) return 0;
  parts = summed_on_devices(parts, sum.device());
  const std::vector<Device> devices = devices_of(parts, sum);
  if (devices.size() == 1) {
    sum_on(sum.device(), std::move(parts), sum);
    return 0;
  }
  return path_of(reduction, devices, bytes_of(sum))(std::move(parts), sum);
}

std::int64_t sum_parts(std::vector<Part> parts, const std::vector<Tensor>& shards,
                       GradientReduction reduction) {
  parts = summed_on_devices(parts, Device::cpu());  // other devices read those of every device
  std::vector<SumShard> sums;
  for (const Tensor& shard : shards) sums.push_back({shard.device(), shard});
  if (reduction != GradientReduction::host && all_reach_each_other(devices_of(parts, sums)))
    return sum_shards(parts, sums);
  std::int64_t bytes = 0, begin = 0;
  for (const Tensor& shard : shards) {
    std::vector<Part> some = narrowed(parts, begin, shard.numel());
    begin += shard.numel();
    if (some.size() == 1 && raw(some[0].values) == raw(shard)) continue;
    bytes += (reduction == GradientReduction::host ? sum_host : sum_direct)(std::move(some), shard);
  }
  return bytes;
}

Tensor reduce_add(const std::vector<Tensor>& tensors, Device device) {
  check(!tensors.empty(), "reduce_add: no tensors were given; pass one for each device");
  std::vector<Part> parts;
  for (const Tensor& tensor : tensors) {
    check_defined("reduce_add", tensor);
    const int rank = static_cast<int>(parts.size());
    check(tensor.is_floating(), "reduce_add: tensor ", rank, " is ", tensor.dtype(),
          "; it sums floating-point numbers, convert with to(float64)");
    check(tensor.shape() == tensors[0].shape() && tensor.dtype() == tensors[0].dtype(), "reduce_add: tensor ",
          rank, " is ", tensor.dtype(), " ", tensor.shape(), ", the first ", tensors[0].dtype(), " ",
          tensors[0].shape(), "; give all one shape and dtype");
    parts.push_back({rank, tensor.contiguous()});
  }
  return sum_recorded(parts, device);
}

std::vector<Tensor> broadcast(const Tensor& tensor, const std::vector<Device>& devices) {
  check_defined("broadcast", tensor);
  std::vector<Tensor> copies;
  copies.reserve(devices.size());
  {
    const NoGradGuard no_grad;
    for (const Device device : devices)
      copies.push_back(device == tensor.device() ? tensor.detach() : tensor.to(device));
  }
  if (tensor.is_floating() && !copies.empty() && recording(tensor))
    record("broadcast", copies, {tensor}, [count = copies.size(), device = tensor.device()](Backward& b) {
      std::vector<Part> parts;
      for (std::size_t i = 0; i < count; ++i)
        if (const Tensor& grad = b.grad(static_cast<int>(i)); grad.defined())
          parts.push_back({static_cast<int>(i), grad.contiguous()});
      if (!parts.empty()) b.set(0, sum_recorded(parts, device));
    });
  return copies;
}

}  // namespace miniparallel::parallel
