#include "parallel/stream_order.h"

#include <miniparallel/cuda.h>

#include <exception>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// The host waits for the calling thread's stream where another stream cannot be told to: the order
/// holds all the same.
void wait_instead(Device device) noexcept {
  if (device.is_cpu()) return;
  try {
    accelerator(device).synchronize_stream(stream(device));
  } catch (const std::exception&) {
    // The device has failed for good: nothing is computed there any more.
  }
}

/// For destructors. What has failed is in order, and other calls tell of a device that has failed for good.
template <class F>
void quietly(const F& f) noexcept {
  try {
    f();
  } catch (const std::exception&) {
    // See above.
  }
}

}  // namespace

void let_wait(const std::vector<Device>& later, Device device) {
  if (later.empty()) return;
  try {
    Event event(device);
    event.record();
    for (const Device other : later) event.wait(other);
  } catch (const std::exception&) {
    wait_instead(device);
    throw;
  }
}

void wait_for(Device device, const std::vector<Device>& earlier) {
  std::exception_ptr error;
  for (const Device other : earlier) {
    try {
      let_wait({device}, other);
    } catch (const std::exception&) {
      error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
}

void wait_for(Device device, const Event& mark, Device earlier) noexcept {
  try {
    mark.wait(device);
  } catch (const std::exception&) {
    wait_instead(earlier);
  }
}

MarkedWork::~MarkedWork() {
  try {
    mark_.record();
  } catch (const std::exception&) {
    wait_instead(device_);
  }
}

StreamsScope::StreamsScope(const std::vector<Device>& devices, StreamKind kind) {
  for (const Device device : devices) scopes_.emplace_back(device, kind);
}

void enter(const std::vector<Device>& devices, StreamKind kind) {
  for (const Device device : devices) {
    Event event(device);
    event.record();
    const StreamScope scope(device, kind);
    event.wait(device);
  }
}

void leave(const std::vector<Device>& devices, StreamKind kind) {
  std::exception_ptr error;
  for (const Device device : devices) {
    try {
      Event event(device);
      {
        const StreamScope scope(device, kind);
        event.record();
      }
      event.wait(device);
    } catch (const std::exception&) {
      error = std::current_exception();
      const StreamScope scope(device, kind);
      wait_instead(device);
    }
  }
  if (error) std::rethrow_exception(error);
}

PeerWork::PeerWork(Device reader, std::vector<Device> owners) : reader_(reader), owners_(std::move(owners)) {
  wait_for(reader_, owners_);
}

PeerWork::~PeerWork() {
  quietly([this] { let_wait(owners_, reader_); });
}

JointWork::JointWork(const std::vector<Device>& devices)
    : PeerWork(devices.front(), {devices.begin() + 1, devices.end()}) {
  let_wait(owners_, reader_);
}

JointWork::~JointWork() {
  quietly([this] { wait_for(reader_, owners_); });
}

}  // namespace miniparallel::parallel
