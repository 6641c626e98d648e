#pragma once

#include <miniparallel/device.h>

#include "kernels/stream.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace miniparallel {

class CachingAllocator;

/// Counts the writes to an alias group: a base and its views.
struct Version {
  std::atomic<std::uint32_t> writes = 0;
  /// `writes` after the last write that autograd recorded: views made before have a stale history.
  std::atomic<std::uint32_t> last_recorded = 0;
};

/// Owns one block of memory of a device, taken from and given back to that device's caching allocator. It
/// belongs to the stream that the calling thread used when it was made.
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// The counter of the tensor that was allocated together with this storage.
  Version& version() { return version_; }

  kernels::Stream stream() const { return stream_; }
  /// Notes that work already enqueued on `stream` uses this block too, which is then not handed out again
  /// before that work is done.
  void record_use(kernels::Stream stream);

 private:
  CachingAllocator& allocator_;
  kernels::Stream stream_;
  std::vector<kernels::Stream> users_;
  std::byte* data_;
  std::size_t bytes_;
  Device device_;
  Version version_;
};

}  // namespace miniparallel
