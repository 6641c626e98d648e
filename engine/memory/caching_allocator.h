#pragma once

#include <miniparallel/memory.h>

#include <cstddef>
#include <map>
#include <mutex>
#include <vector>

namespace miniparallel {

/// Keeps freed blocks by size class and hands them out again, so that a steady training step asks the system
/// for nothing. Classes are four to a doubling: at most a quarter of a block is unused. Thread-safe.
class CachingAllocator {
 public:
  /// Where blocks come from and go back to. `take` returns null when the system has no more.
  struct Source {
    void* (*take)(std::size_t bytes);
    void (*give_back)(void* block, std::size_t bytes);
  };

  CachingAllocator(Device device, Source source) : device_(device), source_(source) {}

  /// A block of at least `bytes`, aligned to 64. Throws `OutOfMemoryError` when the system refuses even after
  /// the cache was emptied.
  void* allocate(std::size_t bytes);
  void deallocate(void* block, std::size_t bytes);

  MemoryStats stats() const;
  void reset_peak();
  void empty_cache();

 private:
  void empty_cache_locked();

  Device device_;
  Source source_;
  mutable std::mutex mutex_;
  std::map<std::size_t, std::vector<void*>> free_;  // by size class
  MemoryStats stats_;
};

/// The allocator of a device; lives until the process ends.
CachingAllocator& allocator(Device device);

}  // namespace miniparallel
