#pragma once

#include "engine/optim/shards.h"
#include "parallel/reducer.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace miniparallel::parallel {

/// A Reducer whose devices all step the parameters: each has an equal share of the elements, with the optimizer's
/// state for them. It reads the sums of their gradients in the first device's memory, updates the values in its own,
/// and sends them to all others.
class ShardedReducer final : public Reducer, public optim::Shards {
 public:
  /// `values`: of the parameters on each of the devices, the master's first. `refresh` brings all of them up to date;
  /// `gathered` is told that they are, and how many bytes that took.
  ShardedReducer(std::vector<Tensor> parameters, std::vector<Arena> values, std::vector<Device> replicas,
                 const ReductionOptions& options, std::shared_ptr<std::atomic<int>> no_sync,
                 std::function<void()> refresh, std::function<void(std::int64_t)> gathered);

  const std::vector<Device>& devices() const override { return devices_; }
  bool has_copies_of(const Tensor& parameter) const override;
  bool reads_first(std::size_t device) const override;
  Tensor on(std::size_t device, const Tensor& values) const override;
  void step(std::span<const Part> parts, const std::function<void()>& update) override;

 private:
  const std::vector<Arena> values_;
  const std::vector<Device> devices_;
  const std::function<void()> refresh_;
  const std::function<void(std::int64_t)> gathered_;
};

}  // namespace miniparallel::parallel
