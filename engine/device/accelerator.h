#pragma once

#include <miniparallel/cuda.h>
#include <miniparallel/device.h>

#include "kernels/backend.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace miniparallel {

class CachingAllocator;
class Collectives;

/// A block of memory, whom to give it back to, and the stream that it belongs to.
struct Allocation {
  CachingAllocator* allocator;
  void* data;
  kernels::Stream stream = {};
};

/// Recorded work of GPUs that runs as a whole.
class Graph {
 public:
  /// Waits until it does not run.
  virtual ~Graph() = default;
  /// Whose stream of the calling thread runs it.
  virtual Device device() const = 0;
  /// Enqueues it on that stream, after all work of the GPUs that it uses and before what they do next.
  virtual void launch() = 0;
  /// Kernels and copies.
  virtual std::size_t nodes() const = 0;
};

/// The streams that each GPU has.
enum class StreamKind {
  compute,
  communication,  ///< of high priority: reductions overtake the backward pass
  copy,
};

/// What the engine asks of GPUs. Calls enqueue work and return immediately unless documented to wait.
class Accelerator {
 public:
  virtual ~Accelerator() = default;

  virtual int device_count() const = 0;
  /// Why there is no device, as a sentence; "" when there is one.
  virtual const std::string& unavailable() const = 0;
  virtual const kernels::Backend& backend() const = 0;
  virtual CudaDeviceProperties properties(int device) const = 0;
  /// Whether the device reads and writes memory of `peer` without the host. A link is tried out with real
  /// data when it is first asked for.
  virtual bool reaches(int device, int peer) = 0;
  /// A library's operations over these GPUs, no two of which are the same. Throws `Error`, saying why, where
  /// there is no such library.
  virtual std::shared_ptr<Collectives> collectives(const std::vector<int>& devices) = 0;

  /// Makes the device current for the calling thread, which spares each call there a change of devices.
  virtual void make_current(int device) noexcept = 0;
  virtual kernels::Stream stream(int device, StreamKind kind) = 0;
  virtual CachingAllocator& allocator(int device) = 0;
  /// Pinned host memory, from which GPUs copy without the host; pageable where the system pins no more, which
  /// is logged once.
  virtual Allocation allocate_pinned(std::size_t bytes) = 0;
  /// Waits for everything enqueued on the device, then throws what went wrong there.
  virtual void synchronize(int device) = 0;
  /// Waits for what has been enqueued on the stream.
  virtual void synchronize_stream(kernels::Stream stream) = 0;
  /// Throws the bad index that a kernel of any device has reported since the last call, if one has arrived.
  /// Does not wait.
  virtual void throw_reported() = 0;

  /// Events come from a pool of the device; handles are cudaEvent_t.
  virtual void* take_event(int device) = 0;
  virtual void return_event(int device, void* event) = 0;
  virtual void record(void* event, kernels::Stream stream) = 0;
  virtual void wait(kernels::Stream stream, void* event) = 0;
  virtual bool is_done(void* event) = 0;
  virtual void synchronize_event(void* event) = 0;

  /// `from` is host memory and may be written again on return.
  virtual void copy_to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream) = 0;
  /// `from` is pinned and must stay as it is until the stream has got so far.
  virtual void copy_pinned_to_device(void* to, const void* from, std::size_t bytes,
                                     kernels::Stream stream) = 0;
  /// Waits.
  virtual void copy_to_host(void* to, const void* from, std::size_t bytes, kernels::Stream stream) = 0;
  /// Within a GPU.
  virtual void copy_within(void* to, const void* from, std::size_t bytes, kernels::Stream stream) = 0;

  /// From now on the calling thread's streams record its work, in one graph for all GPUs. One thread at a
  /// time; others wait.
  virtual void begin_capture() = 0;
  /// Null where nothing was recorded. The streams are those of before, also if it throws.
  virtual std::unique_ptr<Graph> end_capture() = 0;

  /// Between GPUs: after the work of both streams, before what both do next.
  virtual void copy_between(void* to, kernels::Stream to_stream, const void* from,
                            kernels::Stream from_stream, std::size_t bytes) = 0;
};

/// The accelerator that this build has; null in a build for the
/// CPU alone. Defined by the one file that knows the backends.
Accelerator* built_accelerator();

/// The accelerator that `device`, a GPU, belongs to. Throws
/// `Error`, saying why, when there is no such device.
Accelerator& accelerator(Device device);

/// The allocator of a device's memory; lives as long as the device is in use.
CachingAllocator& allocator(Device device);

/// A block of the device's memory for use on the calling thread's stream.
Allocation allocate(std::size_t bytes, Device device);
/// Whether host memory that the calling thread allocates is pinned, where there are GPUs. Returns what was
/// set before.
bool set_pins_memory(bool on);

/// The calling thread's stream for the device: its compute stream, unless a StreamScope is alive.
kernels::Stream stream(Device device);

/// The streams that StreamScopes of the calling thread chose, by device; those after the last are the compute
/// streams.
const std::vector<StreamKind>& chosen_streams();
void set_chosen_streams(std::vector<StreamKind> kinds);

/// While it lives, work of the calling thread for one device
/// goes to another of its streams. Nothing on the CPU.
class StreamScope {
 public:
  StreamScope(Device device, StreamKind kind);
  ~StreamScope();
  StreamScope(const StreamScope&) = delete;
  StreamScope& operator=(const StreamScope&) = delete;

 private:
  Device device_;
  StreamKind previous_ = StreamKind::compute;
};

}  // namespace miniparallel
