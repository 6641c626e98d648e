#include "parallel/sharded_reducer.h"

#include "engine/autograd/node.h"
#include "engine/tensor/tensor_impl.h"
#include "parallel/devices.h"
#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

#include <utility>

namespace miniparallel::parallel {

ShardedReducer::ShardedReducer(std::vector<Tensor> parameters, std::vector<Arena> values,
                               std::vector<Device> replicas, const ReductionOptions& options,
                               std::shared_ptr<std::atomic<int>> no_sync, std::function<void()> refresh,
                               std::function<void(std::int64_t)> gathered)
    : Reducer(std::move(parameters), values[0], replicas, options, std::move(no_sync)),
      values_(std::move(values)),
      devices_(each_once(replicas)),
      refresh_(std::move(refresh)),
      gathered_(std::move(gathered)) {}

bool ShardedReducer::has_copies_of(const Tensor& parameter) const {
  return values_[0].holds(autograd::meta_of(parameter).sink_end, parameter);
}

bool ShardedReducer::reads_first(std::size_t device) const {
  return reach_each_other(devices_[0], devices_[device]);
}

Tensor ShardedReducer::on(std::size_t device, const Tensor& values) const {
  std::size_t block = 0;
  while (values_[0].blocks()[block].impl()->storage != values.impl()->storage) ++block;
  return make_alias(values_[device].blocks()[block], values.shape(), values.strides(), values.impl()->offset);
}

void ShardedReducer::step(std::span<const Part> parts, const std::function<void()>& update) {
  refresh_();  // where parameters have been written since the last forward
  {
    const JointWork ordered(devices_);
    update();
  }
  std::int64_t bytes = 0;
  for (std::size_t round = 1; round < devices_.size(); ++round)  // in which each sends to one other
    for (const auto& [device, values] : parts) {
      on((device + round) % devices_.size(), values).copy_(on(device, values));
      bytes += bytes_of(values);
    }
  gathered_(bytes);
}

}  // namespace miniparallel::parallel
