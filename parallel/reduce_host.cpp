#include "engine/capturing.h"
#include "engine/ops/common.h"
#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

#include <utility>

namespace miniparallel::parallel {
namespace {

/// While it lives, the calling thread's host memory is pinned.
class PinnedMemory {
 public:
  PinnedMemory() : before_(set_pins_memory(true)) {}
  ~PinnedMemory() { set_pins_memory(before_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

 private:
  bool before_;
};

Tensor pinned_like(const Tensor& values) {
  const PinnedMemory pinned;
  return make_tensor(values.shape(), values.dtype(), Device::cpu());
}

}  // namespace

Tensor mirrored(const Tensor& values, Device reader) {
  if (values.device().is_cpu() || reader.is_cpu()) return values.to(reader);
  stop_capture("sums gradients through host memory", "use GPUs that reach each other");
  Tensor mirror = pinned_like(values);
  Storage& storage = *mirror.impl()->storage;
  if (!storage.is_pinned()) return values.to(reader);
  storage.record_use(stream(values));
  storage.record_use(stream(reader));
  // Does not wait, since the memory is pinned.
  accelerator(values.device())
      .copy_to_host(raw(mirror), raw(values), static_cast<std::size_t>(bytes_of(values)), stream(values));
  return mirror;
}

std::int64_t sum_host(std::vector<Part> parts, const Tensor& sum) {
  const Device here = sum.device();
  std::vector<Device> devices = devices_of(parts, sum);
  std::int64_t bytes = 0;
  for (Part& part : parts) {
    if (part.values.device() == here) continue;
    bytes += bytes_of(part.values);
    part.values = mirrored(part.values, here);
  }
  wait_for(here, {devices.begin() + 1, devices.end()});
  sum_on(here, std::move(parts), sum);
  return bytes;
}

}  // namespace miniparallel::parallel
