#pragma once

#include <miniparallel/device.h>

#include "kernels/random_stream.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace miniparallel {

class CachingAllocator;
class Tensor;

/// A step that is being captured as a graph (engine/capture/): what the capturing thread enqueues is recorded
/// instead of run, and runs as a whole afterwards, once for this step and again for later ones. So that a
/// later run does what the step would have done, the rest of the engine tells of what it uses, and leaves
/// numbers that change from step to step to memory that is written before each run.
class Capture {
 public:
  /// Work of the host that goes with each further run of the graph.
  class HostPart {
   public:
    virtual ~HostPart() = default;
    /// Whether the graph still does what the step would do now.
    virtual bool is_current() = 0;
    /// Writes numbers for the next run.
    virtual void write_numbers() = 0;
    /// Follows the run.
    virtual void advance() = 0;
  };
  /// Memory for numbers of a step: written on the host, read on the device.
  struct Numbers {
    void* host;
    void* device;
  };

  /// `number`: no other one's, and not 0.
  explicit Capture(std::uint64_t of) : number(of) {}
  virtual ~Capture() = default;
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  const std::uint64_t number;

  /// Whose blocks belong to the graph. Null after it has been stopped.
  virtual CachingAllocator* allocator(int device) = 0;
  /// The step uses the elements of the tensor.
  virtual void uses(const Tensor& tensor) = 0;
  /// What it does depends on whether the tensor requires grad.
  virtual void asks_whether_tracked(const Tensor& tensor) = 0;
  /// It has written them: the version has moved.
  virtual void writes(const Tensor& tensor) = 0;
  /// It is about to drop the gradient of the leaf, or to set one or add to it.
  virtual void changes_gradient(const Tensor& leaf, bool drops) = 0;
  /// Copies host memory of a step's argument to a GPU. False for other memory.
  virtual bool copies_argument(const Tensor& target, const Tensor& source) = 0;
  /// Null pointers where there is no memory left: the capture has been stopped.
  virtual Numbers numbers(Device device, std::size_t bytes) = 0;
  /// Where the process's random numbers stand when the step begins: now and, on the device, whenever it runs.
  struct RandomOrigin {
    kernels::RandomStart now;
    const kernels::RandomStart* on_device;
  };
  /// Without an origin, zero and null, where `numbers` fails.
  virtual RandomOrigin random_origin(Device device) = 0;
  virtual void add(std::unique_ptr<HostPart> part) = 0;

  /// The step does what no graph can: runs what has been recorded, and ends the capture. The thread goes on
  /// as without one. `what` the step does, and `instead` what it should do, for a message.
  virtual void stop(std::string_view what, std::string_view instead) = 0;
};

/// The capture of the calling thread; null without one.
extern constinit thread_local Capture* capturing;

/// While it lives, the calling thread works as if it captured nothing.
class WithoutCapture {
 public:
  WithoutCapture() : previous_(std::exchange(capturing, nullptr)) {}
  ~WithoutCapture() { capturing = previous_; }
  WithoutCapture(const WithoutCapture&) = delete;
  WithoutCapture& operator=(const WithoutCapture&) = delete;

 private:
  Capture* previous_;
};

/// Tells captures apart; 0 outside of one.
inline std::uint64_t capture_number() {
  if (capturing != nullptr) [[unlikely]]
    return capturing->number;
  return 0;
}

/// For work that cannot be captured.
inline void stop_capture(std::string_view what, std::string_view instead) {
  if (capturing != nullptr) [[unlikely]]
    capturing->stop(what, instead);
}

}  // namespace miniparallel
