#include "engine/device/accelerator.h"

#include <miniparallel/cuda.h>

#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/profiler/span.h"

#include <atomic>
#include <utility>
#include <vector>

namespace miniparallel {
namespace {

constexpr const char* kNotBuilt = "this build of miniparallel has no CUDA backend";

/// By device.
thread_local std::vector<StreamKind> chosen;

StreamKind& chosen_stream(int device) {
  const auto index = static_cast<std::size_t>(device);
  if (chosen.size() <= index) chosen.resize(index + 1, StreamKind::compute);
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
  return owner.stream(device.index, chosen_stream(device.index));
}

const std::vector<StreamKind>& chosen_streams() { return chosen; }
void set_chosen_streams(std::vector<StreamKind> kinds) { chosen = std::move(kinds); }

void* current_stream(Device device) { return stream(device).handle; }

void synchronize(Device device) {
  stop_capture("waits for a device", "call synchronize after the step");
  const profiler::Span span(profiler::Kind::device, "synchronize");
  if (device.is_cuda()) accelerator(device).synchronize(device.index);
}

StreamScope::StreamScope(Device device, StreamKind kind) : device_(device) {
  if (device.is_cpu()) return;
  static_cast<void>(accelerator(device));  // throws for one that does not exist
  previous_ = std::exchange(chosen_stream(device.index), kind);
}

StreamScope::~StreamScope() {
  if (device_.is_cuda()) chosen_stream(device_.index) = previous_;
}

struct Event::Handle {
  Accelerator& owner;
  int device;
  void* event;
  // The pool's event may have marked other work before.
  std::atomic<bool> recorded = false;
  std::atomic<std::uint64_t> capture = 0;  // in which it was recorded; 0 outside of one

  Handle(Accelerator& of, int index) : owner(of), device(index), event(of.take_event(index)) {}
  ~Handle() { owner.return_event(device, event); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

Event::Event(Device device) {
  if (device.is_cuda()) handle_ = std::make_shared<Handle>(accelerator(device), device.index);
}

void Event::record() {
  if (!handle_) return;
  handle_->owner.record(handle_->event, stream(Device::cuda(handle_->device)));
  handle_->capture = capture_number();
  handle_->recorded = true;
}

void Event::wait(Device device) const {
  if (!handle_ || !handle_->recorded) return;
  if (device.is_cpu()) return synchronize();
  if (handle_->capture == capture_number()) return handle_->owner.wait(stream(device), handle_->event);
  // Between a graph and other work the launch of the graph makes the order, for all streams that the graph
  // takes the place of.
  if (capturing != nullptr)
    for (const StreamKind kind : {StreamKind::compute, StreamKind::communication, StreamKind::copy})
      static_cast<void>(handle_->owner.stream(handle_->device, kind));
}

bool Event::is_done() const {
  stop_capture("asks whether an event has come to pass", "ask after the step");
  if (!handle_ || !handle_->recorded) return true;
  if (handle_->capture == 0) return handle_->owner.is_done(handle_->event);
  synchronize();  // nobody can ask for a point within a graph
  return true;
}

void Event::synchronize() const {
  stop_capture("waits for an event", "wait after the step");
  if (!handle_ || !handle_->recorded) return;
  if (handle_->capture == 0)
    handle_->owner.synchronize_event(handle_->event);
  else
    handle_->owner.synchronize_stream(stream(Device::cuda(handle_->device)));
  handle_->owner.throw_reported();
}

}  // namespace miniparallel
