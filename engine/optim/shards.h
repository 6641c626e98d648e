#pragma once

#include <miniparallel/device.h>
#include <miniparallel/tensor.h>

#include "engine/autograd/gradient_sink.h"

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace miniparallel::optim {

/// Several devices that have the values of the same parameters and divide the work of stepping them: each
/// updates some of the elements, and keeps the optimizer's state for these alone. A gradient sink that is
/// one, too, says so of the parameters whose gradients it takes.
class Shards {
 public:
  /// Elements that one of the devices updates.
  struct Part {
    std::size_t device;
    Tensor values;  ///< flat, in the memory of the parameters
  };

  virtual ~Shards() = default;
  /// Two at least; the first one has the parameters and their gradients, the others copies of the parameters.
  virtual const std::vector<Device>& devices() const = 0;
  /// Whether the devices have copies of the parameter, which is where they have last found it.
  virtual bool has_copies_of(const Tensor& parameter) const = 0;
  /// Which device updates which elements of a flat run of neighbours, in the memory of the parameters:
  /// consecutive parts. It is the same at every step.
  virtual std::vector<Part> parts(const Tensor& run) const = 0;
  /// Those of the elements on a device, in its own memory.
  virtual Tensor on(std::size_t device, const Tensor& values) const = 0;
  /// What a device's kernels read for elements of `grad` that belong to one of its parts.
  virtual Tensor gradient_on(std::size_t device, const Tensor& gradient) const = 0;
  /// Calls `update`, which enqueues kernels of all devices: those of each find its parts up to date, and the
  /// gradients complete. Then it sends the parts to the other devices; who uses parameters waits for them.
  virtual void step(std::span<const Part> parts, const std::function<void()>& update) = 0;
};

/// Tells who steps a parameter; null where its own device does.
class ShardsFinder {
 public:
  Shards* operator()(const Tensor& parameter);

 private:
  autograd::GradientSink* sink_ = nullptr;  // the last one, which many parameters share
  Shards* shards_ = nullptr;                // that it is
};

}  // namespace miniparallel::optim
