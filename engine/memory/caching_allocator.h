#pragma once

#include <miniparallel/memory.h>

#include "kernels/stream.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel {

/// Where a caching allocator's blocks come from and go back to.
class MemorySource {
 public:
  /// A point in the work of a stream of `device`: a cudaEvent_t. Memory that no stream uses has none.
  struct Mark {
    void* event = nullptr;
    int device = -1;
    std::uint64_t capture = 0;  ///< in which it was recorded; 0 outside of one
  };

  /// Null when the system has no more.
  virtual void* take(std::size_t bytes) = 0;
  virtual void give_back(void* block, std::size_t bytes) = 0;
  /// Follows the last `give_back` of a cache that is emptied.
  virtual void gave_back() {}
  /// Waits until nothing uses cached blocks: before they are given back.
  virtual void synchronize() {}
  /// Whether that may wait for other threads, which in the meantime may want memory.
  virtual bool waits() const { return false; }
  /// Text to add to the message about memory used up.
  virtual std::string describe() const { return ""; }

  virtual Mark record_mark(kernels::Stream) { return {}; }
  virtual void release_mark(Mark) {}
  /// Whether memory that was used up to the mark may be
  /// used by `stream` next; a GPU's stream is made to wait.
  virtual bool wait_mark(Mark, kernels::Stream) { return true; }

  /// For checkers of memory: a block begins and ends its life without the system knowing. A block that other
  /// streams than its own may still use ends when it is handed out again.
  virtual void handed_out(void* /*block*/, std::size_t /*bytes*/, kernels::Stream) {}
  virtual void returned(void* /*block*/, std::size_t /*bytes*/, kernels::Stream) {}

 protected:
  ~MemorySource() = default;  // never destroyed through this class
};

/// Keeps freed blocks by stream and size class and hands them out again, so that a steady training step asks
/// the system for nothing. Classes are four to a doubling: at most a quarter of a block is unused. A block
/// returns to the stream it was made for, whose order guards it; other streams that used it leave a mark
/// each, which is waited for before the block is used again. Thread-safe.
class CachingAllocator {
 public:
  using Stream = kernels::Stream;

  /// `smallest`: bytes of the smallest block, a power of two; blocks are as well aligned. `mutex`: the one to
  /// use, which outlives the allocator; its own without.
  CachingAllocator(std::string name, MemorySource& source, std::size_t smallest, std::mutex* mutex = nullptr)
      : name_(std::move(name)),
        source_(source),
        smallest_(smallest),
        mutex_(mutex != nullptr ? *mutex : own_mutex_) {}

  /// A block of at least `bytes` for use on `stream`. Throws `OutOfMemoryError` when the system refuses even
  /// after the cache was emptied.
  void* allocate(std::size_t bytes, Stream stream);
  /// Null when the system refuses; the cache stays.
  void* try_allocate(std::size_t bytes, Stream stream);
  /// `users`: the other streams that used the block. Never throws: a device that fails is reported by the
  /// next call that can.
  void deallocate(void* block, std::size_t bytes, Stream stream, const std::vector<Stream>& users) noexcept;
  /// Adds `stream` to a block's users, which the allocator's lock guards.
  void add_user(std::vector<Stream>& users, Stream stream);
  /// Empties a block's users and returns them.
  std::vector<Stream> take_users(std::vector<Stream>& users);

  /// Bytes of the block for so many: the smallest size class that holds them, 2^k times 1, 1.25, 1.5 or 1.75.
  std::size_t size_class(std::size_t bytes) const;
  std::size_t smallest() const { return smallest_; }
  MemorySource& source() const { return source_; }
  /// Nothing waits for the marks of cached blocks any more.
  void drop_marks();

  MemoryStats stats() const;
  void reset_peak();
  void empty_cache();

 private:
  struct Block {
    void* memory;
    std::vector<MemorySource::Mark> marks;
  };
  using Key = std::pair<void*, std::size_t>;  // stream and size class

  void* hand_out(void* block, std::size_t size, std::size_t bytes, Stream stream);
  void* take_cached(const Key& key, Stream stream);
  void* take_new(std::size_t size, std::size_t asked, std::unique_lock<std::mutex>& lock);
  bool wait_marks(Block& block, Stream stream);
  void empty_cache(std::unique_lock<std::mutex>& lock);

  std::string name_;
  MemorySource& source_;
  std::size_t smallest_;
  std::mutex own_mutex_;
  std::mutex& mutex_;
  std::map<Key, std::vector<Block>> free_;
  bool emptying_ = false;
  std::condition_variable emptied_;
  MemoryStats stats_;
};

/// The allocator of the CPU's memory.
CachingAllocator& host_allocator();

}  // namespace miniparallel
