#pragma once

#include "engine/optim/shards.h"
#include "parallel/reducer.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace miniparallel::parallel {

/// A Reducer whose devices all step the parameters: each has a shard of every bucket, of the sums of
/// gradients and of the optimizer's states. It updates the values of its shards in its own memory, and sends
/// them to all others.
class ShardedReducer final : public Reducer, public optim::Shards {
 public:
  using Parts = std::span<const Part>;
  /// `values`: of the parameters on each of the devices, the master's first. `refresh` brings all of them up
  /// to date; `exchange` sends parts, which their devices have updated, to all others.
  ShardedReducer(std::vector<Tensor> parameters, std::vector<Arena> values, std::vector<Device> replicas,
                 const ReductionOptions& options, std::shared_ptr<std::atomic<int>> no_sync,
                 std::function<void()> refresh, std::function<void(Parts)> exchange);

  const std::vector<Device>& devices() const override { return devices_; }
  bool has_copies_of(const Tensor& parameter) const override;
  std::vector<Part> parts(const Tensor& run) const override;
  Tensor on(std::size_t device, const Tensor& values) const override;
  Tensor gradient_on(std::size_t device, const Tensor& gradient) const override;
  void step(Parts parts, const std::function<void()>& update) override;

 private:
  const std::vector<Arena> values_;
  const std::vector<Device> devices_;
  const std::function<void()> refresh_;
  const std::function<void(Parts)> exchange_;
};

}  // namespace miniparallel::parallel
