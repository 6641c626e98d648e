#pragma once

#include <miniparallel/device.h>

#include "kernels/stream.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace miniparallel {

class CachingAllocator;
class Pending;
struct Allocation;
struct TensorImpl;

/// Counts the writes to an alias group: a base and its views.
struct Version {
  std::atomic<std::uint32_t> writes = 0;
  /// `writes` after the last write that autograd recorded: views made before have a stale history.
  std::atomic<std::uint32_t> last_recorded = 0;
  /// Of a copy in a wider dtype that an op made for itself: the elements of which it is an exact copy until
  /// it is written.
  std::shared_ptr<TensorImpl> exact_of;
};

/// Owns one block of memory of a device, taken from and given back to a caching allocator, or uses memory
/// that somebody else owns. It belongs to the stream that the calling thread used when it was made.
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  /// Takes a block over.
  Storage(const Allocation& block, std::size_t bytes, Device device);
  /// Uses memory of somebody else.
  Storage(void* foreign, std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// The counter of the tensor that was allocated together with this storage.
  Version& version() { return version_; }

  kernels::Stream stream() const { return stream_; }
  const CachingAllocator& allocator() const { return *allocator_; }
  /// Puts another block, of the same bytes and elements, in the place of this one, which it returns.
  Allocation exchange_block(const Allocation& other);
  /// Notes that work already enqueued on `stream` uses this block too, which is then not handed out again
  /// before that work is done.
  void record_use(kernels::Stream stream);

  /// What to call when foreign memory is no longer used, by streams neither.
  void set_released(std::function<void(void*)> released) { released_ = std::move(released); }

  /// Whether this is host memory from which GPUs copy by themselves, later than `to` returns.
  bool is_pinned() const;
  /// Before the host writes here: waits until GPUs have copied what they were told to. Of other memory than
  /// pinned no copy is left behind.
  void wait_for_copies();

  /// Work of other streams for which users of a part of this block wait; null, as of
  /// most, where nothing waits.
  Pending* pending() const { return pending_.get(); }
  /// Before other threads use the block.
  void set_pending(std::unique_ptr<Pending> pending);

 private:
  void release_foreign() noexcept;

  CachingAllocator* allocator_;
  kernels::Stream stream_;
  std::vector<kernels::Stream> users_;
  std::byte* data_;
  std::unique_ptr<Pending> pending_;
  std::size_t bytes_;
  Device device_;
  Version version_;
  bool is_foreign_ = false;
  std::function<void(void*)> released_;  // of foreign memory
};

}  // namespace miniparallel
