#include "engine/memory/caching_allocator.h"

#include "engine/error.h"

#include <algorithm>
#include <bit>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace miniparallel {
namespace {

constexpr std::size_t kSmallest = 64;

/// The smallest size class that holds `bytes`: 2^k times 1, 1.25, 1.5 or 1.75.
std::size_t size_class(std::size_t bytes) {
  if (bytes <= kSmallest) return kSmallest;
  const std::size_t step = std::max(kSmallest, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

}  // namespace

void* CachingAllocator::allocate(std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  const std::scoped_lock lock(mutex_);
  void* block = nullptr;
  if (std::vector<void*>& blocks = free_[size]; !blocks.empty()) {
    block = blocks.back();
    blocks.pop_back();
    stats_.cached -= static_cast<std::int64_t>(size);
    ASAN_UNPOISON_MEMORY_REGION(block, size);
  } else {
    ++stats_.system_calls;
    block = source_.take(size);
    if (block == nullptr) {
      const MemoryStats before = stats_;
      empty_cache_locked();
      block = source_.take(size);
      if (block == nullptr)
        throw OutOfMemoryError(
            message(device_, ": out of memory: ", bytes, " bytes were asked for, ", before.used,
                    " are used by tensors, ", before.cached,
                    " were cached and have been given back; use a smaller batch or free tensors"));
    }
  }
  stats_.used += static_cast<std::int64_t>(size);
  stats_.peak = std::max(stats_.peak, stats_.used);
  ++stats_.allocations;
  return block;
}

void CachingAllocator::deallocate(void* block, std::size_t bytes) {
  const std::size_t size = size_class(bytes);
  const std::scoped_lock lock(mutex_);
  free_[size].push_back(block);
  stats_.used -= static_cast<std::int64_t>(size);
  stats_.cached += static_cast<std::int64_t>(size);
  ASAN_POISON_MEMORY_REGION(block, size);
}

MemoryStats CachingAllocator::stats() const {
  const std::scoped_lock lock(mutex_);
  return stats_;
}

void CachingAllocator::reset_peak() {
  const std::scoped_lock lock(mutex_);
  stats_.peak = stats_.used;
}

void CachingAllocator::empty_cache() {
  const std::scoped_lock lock(mutex_);
  empty_cache_locked();
}

void CachingAllocator::empty_cache_locked() {
  for (auto& [size, blocks] : free_) {
    for (void* block : blocks) {
      ASAN_UNPOISON_MEMORY_REGION(block, size);
      source_.give_back(block, size);
    }
    blocks.clear();
  }
  stats_.cached = 0;
}

}  // namespace miniparallel
