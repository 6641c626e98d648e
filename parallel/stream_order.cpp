#include "parallel/stream_order.h"

#include <miniparallel/cuda.h>

#include <exception>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// For destructors: a device that cannot be told to wait has failed, and the next call that can says so.
template <class F>
void quietly(const F& f) noexcept {
  try {
    f();
  } catch (const std::exception&) {
    // Said by the next call.
  }
}

}  // namespace

void let_wait(const std::vector<Device>& later, Device device) {
  if (later.empty()) return;
  Event event(device);
  event.record();
  for (const Device other : later) event.wait(other);
}

void wait_for(Device device, const std::vector<Device>& earlier) {
  for (const Device other : earlier) let_wait({device}, other);
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
  for (const Device device : devices) {
    Event event(device);
    {
      const StreamScope scope(device, kind);
      event.record();
    }
    event.wait(device);
  }
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
