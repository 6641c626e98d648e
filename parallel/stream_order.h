#pragma once

#include <miniparallel/cuda.h>

#include "engine/device/accelerator.h"

#include <deque>
#include <vector>

namespace miniparallel::parallel {

/// Work of several devices on the same memory: what `reader` is given while this lives starts after what the
/// owners of the memory have been given before, and what they are given later starts after it. Of each device
/// that is the calling thread's stream.
class PeerWork {
 public:
  PeerWork(Device reader, std::vector<Device> owners);
  ~PeerWork();
  PeerWork(const PeerWork&) = delete;
  PeerWork& operator=(const PeerWork&) = delete;

 protected:
  Device reader_;
  std::vector<Device> owners_;
};

/// What all of these devices are given while this lives starts after what each has been given before, and
/// what they are given later starts after all of it. The first one's stream is where they meet.
class JointWork : private PeerWork {
 public:
  explicit JointWork(const std::vector<Device>& devices);
  ~JointWork();
};

/// When it ends, marks what the calling thread has given `device`; another one waits for the mark by
/// `wait_for`.
class MarkedWork {
 public:
  MarkedWork(Event& mark, Device device) : mark_(mark), device_(device) {}
  ~MarkedWork();
  MarkedWork(const MarkedWork&) = delete;
  MarkedWork& operator=(const MarkedWork&) = delete;

 private:
  Event& mark_;
  Device device_;
};

/// While it lives, the calling thread's work for these devices goes to their streams of this kind.
class StreamsScope {
 public:
  StreamsScope(const std::vector<Device>& devices, StreamKind kind);

 private:
  std::deque<StreamScope> scopes_;
};

/// The devices' streams of this kind start what comes next after what the calling thread's streams have been
/// given, or the other way round. After an error of these, and of the next ones, the host has waited: what
/// was to come first has ended.
void enter(const std::vector<Device>& devices, StreamKind kind);
void leave(const std::vector<Device>& devices, StreamKind kind);

/// What `later` are given from now on starts after what `device` has been given.
void let_wait(const std::vector<Device>& later, Device device);
/// What `device` is given from now on starts after what `earlier` have been given.
void wait_for(Device device, const std::vector<Device>& earlier);
/// What `device` is given from now on starts after the mark of `earlier`.
void wait_for(Device device, const Event& mark, Device earlier) noexcept;

}  // namespace miniparallel::parallel
