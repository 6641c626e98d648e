#include "engine/device/accelerator.h"

#include <miniparallel/cuda.h>

#include "engine/error.h"
#include "engine/profiler/span.h"

#include <utility>
#include <vector>

namespace miniparallel {
namespace {

constexpr const char* kNotBuilt = "this build of miniparallel has no CUDA backend";

/// By device; where the calling thread has chosen another than the compute stream.
thread_local std::vector<kernels::Stream> chosen;

kernels::Stream& chosen_stream(int device) {
  const auto index = static_cast<std::size_t>(device);
  if (chosen.size() <= index) chosen.resize(index + 1);
  return chosen[index];
}

}  // namespace

int cuda_device_count() {
  const Accelerator* const built = built_accelerator();
  return built == nullptr ? 0 : built->device_count();
}

std::string cuda_unavailable_reason() {
  const Accelerator* const built = built_accelerator();
  return built == nullptr ? kNotBuilt : built->unavailable();
}

CudaDeviceProperties cuda_device_properties(int device) {
  return accelerator(Device::cuda(device)).properties(device);
}

Accelerator& accelerator(Device device) {
  Accelerator* const built = built_accelerator();
  const int count = built == nullptr ? 0 : built->device_count();
  check(count > 0, device, ": ", built == nullptr ? kNotBuilt : built->unavailable(), "; use Device::cpu()");
  check(device.index >= 0 && device.index < count, device, ": there is no such device; the last is ",
        Device::cuda(count - 1));
  return *built;
}

kernels::Stream stream(Device device) {
  if (device.is_cpu()) return {};
  Accelerator& owner = accelerator(device);
  const kernels::Stream other = chosen_stream(device.index);
  return other.handle != nullptr ? other : owner.stream(device.index, StreamKind::compute);
}

const std::vector<kernels::Stream>& chosen_streams() { return chosen; }
void set_chosen_streams(std::vector<kernels::Stream> streams) { chosen = std::move(streams); }

void* current_stream(Device device) { return stream(device).handle; }

void synchronize(Device device) {
  const profiler::Span span(profiler::Kind::device, "synchronize");
  if (device.is_cuda()) accelerator(device).synchronize(device.index);
}

StreamScope::StreamScope(Device device, StreamKind kind) : device_(device) {
  if (device.is_cuda())
    previous_ = std::exchange(chosen_stream(device.index), accelerator(device).stream(device.index, kind));
}

StreamScope::~StreamScope() {
  if (device_.is_cuda()) chosen_stream(device_.index) = previous_;
}

struct Event::Handle {
  Accelerator& owner;
  int device;
  void* event;

  Handle(Accelerator& of, int index) : owner(of), device(index), event(of.take_event(index)) {}
  ~Handle() { owner.return_event(device, event); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

Event::Event(Device device) {
  if (device.is_cuda()) handle_ = std::make_shared<Handle>(accelerator(device), device.index);
}

void Event::record() {
  if (handle_) handle_->owner.record(handle_->event, stream(Device::cuda(handle_->device)));
}

void Event::wait(Device device) const {
  if (!handle_) return;
  if (device.is_cpu()) return synchronize();
  handle_->owner.wait(stream(device), handle_->event);
}

bool Event::is_done() const { return !handle_ || handle_->owner.is_done(handle_->event); }

void Event::synchronize() const {
  if (!handle_) return;
  handle_->owner.synchronize_event(handle_->event);
  handle_->owner.throw_reported();
}

}  // namespace miniparallel
