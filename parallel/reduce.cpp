#include "parallel/reduce.h"

#include <miniparallel/autograd.h>
#include <miniparallel/parallel/reduce.h>

#include "engine/ops/common.h"
#include "kernels/collective.h"

#include <algorithm>
#include <bit>
#include <span>

namespace miniparallel::parallel {
namespace {

constexpr int kWidth = kernels::kMaxSummands;

/// What values of the dtype are summed in.
DType accumulator_of(DType dtype) { return size_of(dtype) == 2 ? float32 : dtype; }

/// y = the sum of the parts, which are on its device; their ranks differ in the lowest bits alone.
void launch(std::span<const Part> parts, const Tensor& y) {
  kernels::TreeSumArgs args{.n = y.numel()};
  for (const Part& part : parts) args.x[part.rank % kWidth] = raw(part.values);
  backend(y).collective.sum(parts.front().values.dtype(), y.dtype(), args, raw(y), stream(y));
}

/// The same for any ranks: kWidth neighbours at a time, then their sums.
void sum_here(std::vector<Part> parts, const Tensor& y) {
  while (parts.front().rank / kWidth != parts.back().rank / kWidth) {
    std::vector<Part> sums;
    for (auto first = parts.begin(); first != parts.end();) {
      const int group = first->rank / kWidth;
      const auto last =
          std::find_if(first, parts.end(), [&](const Part& part) { return part.rank / kWidth != group; });
      const DType dtype = accumulator_of(first->values.dtype());
      if (last - first == 1) {
        sums.push_back({group, first->values.to(dtype)});
      } else {
        sums.push_back({group, make_tensor(y.shape(), dtype, y.device())});
        launch({first, last}, sums.back().values);
      }
      first = last;
    }
    parts = std::move(sums);
  }
  launch(parts, y);
}

/// Sums the whole subtrees that one device other than `here` has, all of whose ranks agree above `bits` bits.
std::vector<Part> sum_on_devices(std::span<const Part> parts, int bits, Device here) {
  const Tensor& first = parts.front().values;
  const bool together =
      std::ranges::all_of(parts, [&](const Part& p) { return p.values.device() == first.device(); });
  if (together && (parts.size() == 1 || first.device() == here)) return {parts.begin(), parts.end()};
  if (together) {
    const Tensor sum = make_tensor(first.shape(), accumulator_of(first.dtype()), first.device());
    sum_here({parts.begin(), parts.end()}, sum);
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

std::int64_t sum_parts(std::vector<Part> parts, const Tensor& sum) {
  const int bits = std::bit_width(static_cast<unsigned>(parts.back().rank));
  parts = sum_on_devices(parts, bits, sum.device());
  const DType own = parts.front().values.dtype();
  const bool mixed = std::ranges::any_of(parts, [&](const Part& p) { return p.values.dtype() != own; });
  std::int64_t bytes = 0;
  for (Part& part : parts) {
    if (part.values.device() != sum.device())
      bytes += part.values.numel() * static_cast<std::int64_t>(size_of(part.values.dtype()));
    part.values = part.values.to(sum.device(), mixed ? accumulator_of(own) : part.values.dtype());
  }
  sum_here(std::move(parts), sum);
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
