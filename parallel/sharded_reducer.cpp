#include "parallel/sharded_reducer.h"

#include "engine/autograd/node.h"
#include "engine/capturing.h"
#include "engine/tensor/tensor_impl.h"
#include "parallel/devices.h"
#include "parallel/reduce_paths.h"
#include "parallel/scattered_sums.h"
#include "parallel/stream_order.h"

#include <utility>

namespace miniparallel::parallel {

ShardedReducer::ShardedReducer(std::vector<Tensor> parameters, std::vector<Arena> values,
                               std::vector<Device> replicas, const ReductionOptions& options,
                               std::shared_ptr<std::atomic<int>> no_sync, std::function<void()> refresh,
                               std::function<void(Parts)> exchange)
    : Reducer(std::move(parameters), values[0], replicas, options, std::move(no_sync)),
      values_(std::move(values)),
      devices_(each_once(replicas)),
      refresh_(std::move(refresh)),
      exchange_(std::move(exchange)) {}

bool ShardedReducer::has_copies_of(const Tensor& parameter) const {
  return values_[0].holds(autograd::meta_of(parameter).sink_end, parameter);
}

std::vector<optim::Shards::Part> ShardedReducer::parts(const Tensor& run) const {
  std::vector<Part> parts;
  for (const auto& [device, begin, end] : partition()->shards(run))
    parts.push_back({device, make_alias(run, {end - begin}, {1}, begin)});
  return parts;
}

Tensor ShardedReducer::on(std::size_t device, const Tensor& values) const {
  const std::int64_t begin = values.impl()->offset;
  return elements_of(values_[device], values.dtype(), begin, begin + values.numel());
}

Tensor ShardedReducer::gradient_on(std::size_t device, const Tensor& gradient) const {
  if (Tensor there = ScatteredSums::in_shards_of(device, gradient); there.defined()) return there;
  if (!reach_each_other(devices_[0], devices_[device])) return gradient.to(devices_[device]);
  raw(gradient);  // brings it to the first device before the others wait for that
  return gradient;
}

void ShardedReducer::step(Parts parts, const std::function<void()>& update) {
  stop_capture("divides the optimizer's work (shard_optimizer)", "leave that option out");
  refresh_();  // where parameters have been written since the last forward
  {
    const JointWork ordered(devices_);  // `grad` may have been written by the first device
    update();
  }
  exchange_(parts);
}

}  // namespace miniparallel::parallel
