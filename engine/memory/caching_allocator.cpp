#include "engine/memory/caching_allocator.h"

#include "engine/error.h"

#include <algorithm>
#include <bit>
#include <exception>
#include <iterator>
#include <utility>

namespace miniparallel {

std::size_t CachingAllocator::size_class(std::size_t bytes) const {
  if (bytes <= smallest_) return smallest_;
  const std::size_t step = std::max(smallest_, std::bit_floor(bytes - 1) / 4);
  return (bytes + step - 1) / step * step;
}

void* CachingAllocator::allocate(std::size_t bytes, Stream stream) {
  const std::size_t size = size_class(bytes);
  std::unique_lock lock(mutex_);
  void* block = take_cached({stream.handle, size}, stream);
  if (block == nullptr) block = take_new(size, bytes, lock);
  return hand_out(block, size, bytes, stream);
}

void* CachingAllocator::try_allocate(std::size_t bytes, Stream stream) {
  const std::size_t size = size_class(bytes);
  const std::scoped_lock lock(mutex_);
  void* block = take_cached({stream.handle, size}, stream);
  if (block == nullptr) {
    ++stats_.system_calls;
    block = source_.take(size);
  }
  return block == nullptr ? nullptr : hand_out(block, size, bytes, stream);
}

void* CachingAllocator::hand_out(void* block, std::size_t size, std::size_t bytes, Stream stream) {
  stats_.used += static_cast<std::int64_t>(size);
  stats_.peak = std::max(stats_.peak, stats_.used);
  ++stats_.allocations;
  source_.handed_out(block, bytes, stream);
  return block;
}

void* CachingAllocator::take_cached(const Key& key, Stream stream) {
  const auto found = free_.find(key);
  if (found == free_.end()) return nullptr;
  std::vector<Block>& blocks = found->second;
  // The newest block is the warmest; one without a wait is better still.
  auto chosen = std::find_if(blocks.rbegin(), blocks.rend(), [](const Block& b) { return b.marks.empty(); });
  if (chosen == blocks.rend())
    chosen = std::find_if(blocks.rbegin(), blocks.rend(), [&](Block& b) { return wait_marks(b, stream); });
  if (chosen == blocks.rend()) return nullptr;
  void* const memory = chosen->memory;
  blocks.erase(std::next(chosen).base());
  stats_.cached -= static_cast<std::int64_t>(key.second);
  return memory;
}

bool CachingAllocator::wait_marks(Block& block, Stream stream) {
  while (!block.marks.empty()) {
    if (!source_.wait_mark(block.marks.back(), stream)) return false;
    source_.release_mark(block.marks.back());
    block.marks.pop_back();
  }
  return true;
}

void* CachingAllocator::take_new(std::size_t size, std::size_t asked, std::unique_lock<std::mutex>& lock) {
  ++stats_.system_calls;
  if (void* const block = source_.take(size); block != nullptr) return block;
  const MemoryStats before = stats_;
  empty_cache(lock);
  if (void* const block = source_.take(size); block != nullptr) return block;
  throw OutOfMemoryError(message(name_, ": out of memory: ", asked, " bytes were asked for, ", before.used,
                                 " are used by tensors, ", before.cached,
                                 " were cached and have been given back", source_.describe(),
                                 "; use a smaller batch or free tensors"));
}

void CachingAllocator::deallocate(void* block, std::size_t bytes, Stream stream,
                                  const std::vector<Stream>& users) noexcept {
  const std::size_t size = size_class(bytes);
  std::unique_lock lock(mutex_);
  Block freed{block, {}};
  try {
    for (const Stream user : users) freed.marks.push_back(source_.record_mark(user));
    if (users.empty()) source_.returned(block, size, stream);
  } catch (const std::exception&) {
    lock.unlock();
    try {
      source_.synchronize();  // instead of the mark
    } catch (const std::exception&) {
      // The device has failed for good, or the process ends.
    }
    lock.lock();
  }
  free_[{stream.handle, size}].push_back(std::move(freed));
  stats_.used -= static_cast<std::int64_t>(size);
  stats_.cached += static_cast<std::int64_t>(size);
}

void CachingAllocator::add_user(std::vector<Stream>& users, Stream stream) {
  const std::scoped_lock lock(mutex_);
  if (std::find(users.begin(), users.end(), stream) == users.end()) users.push_back(stream);
}

std::vector<CachingAllocator::Stream> CachingAllocator::take_users(std::vector<Stream>& users) {
  const std::scoped_lock lock(mutex_);
  return std::exchange(users, {});
}

void CachingAllocator::drop_marks() {
  const std::scoped_lock lock(mutex_);
  for (auto& [key, blocks] : free_)
    for (Block& block : blocks)
      for (const MemorySource::Mark mark : std::exchange(block.marks, {})) source_.release_mark(mark);
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
  std::unique_lock lock(mutex_);
  empty_cache(lock);
}

// A GPU is waited for without the lock: who records work needs memory, and nobody may wait before it is done.
void CachingAllocator::empty_cache(std::unique_lock<std::mutex>& lock) {
  emptied_.wait(lock, [&] { return !emptying_; });
  auto unused = std::exchange(free_, {});
  if (stats_.cached > 0 && source_.waits()) {
    emptying_ = true;
    lock.unlock();
    std::exception_ptr error;
    try {
      source_.synchronize();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    emptying_ = false;
    emptied_.notify_all();
    if (error) {
      for (auto& [key, blocks] : unused) {
        std::vector<Block>& others = free_[key];
        others.insert(others.end(), std::make_move_iterator(blocks.begin()),
                      std::make_move_iterator(blocks.end()));
      }
      std::rethrow_exception(error);
    }
  }
  for (auto& [key, blocks] : unused)
    for (Block& block : blocks) {
      for (const MemorySource::Mark mark : block.marks) source_.release_mark(mark);
      source_.give_back(block.memory, key.second);
      stats_.cached -= static_cast<std::int64_t>(key.second);
    }
  source_.gave_back();
}

}  // namespace miniparallel
