#include <miniparallel/ops.h>

#include "engine/capturing.h"
#include "engine/device/accelerator.h"
#include "engine/device/collectives.h"
#include "engine/tensor/tensor_impl.h"
#include "parallel/reduce_paths.h"

#include <algorithm>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// The sum of the parts on the device, zeros where there is none.
Tensor sum_there(const std::vector<Part>& parts, Device device) {
  std::vector<Part> there;
  std::ranges::copy_if(parts, std::back_inserter(there),
                       [&](const Part& part) { return part.values.device() == device; });
  const Tensor& like = parts.front().values;
  if (there.empty()) return zeros(like.shape(), {like.dtype(), device});
  if (there.size() == 1) return there.front().values;
  Tensor sum = make_tensor(like.shape(), like.dtype(), device);
  sum_on(device, std::move(there), sum);
  return sum;
}

}  // namespace

std::int64_t sum_nccl(std::vector<Part> parts, const Tensor& sum) {
  stop_capture("sums gradients by NCCL", "use GradientReduction::automatic");
  const std::vector<Device> devices = devices_of(parts, sum);
  std::vector<int> indices;
  std::vector<Tensor> of_device;
  std::vector<Collectives::Array> arrays;
  for (const Device device : devices) {
    indices.push_back(device.index);
    of_device.push_back(sum_there(parts, device));
    arrays.push_back({raw(of_device.back()), stream(device)});
  }
  const DType dtype = of_device.front().dtype();
  const Tensor y = dtype == sum.dtype() ? sum : make_tensor(sum.shape(), dtype, sum.device());
  accelerator(sum.device()).collectives(indices)->sum(arrays, raw(y), y.numel(), dtype);
  if (!y.is_same(sum)) sum.detach().copy_(y);
  return static_cast<std::int64_t>(devices.size() - 1) * bytes_of(y);
}

}  // namespace miniparallel::parallel
