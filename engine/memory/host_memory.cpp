#include "engine/fork.h"
#include "engine/memory/caching_allocator.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#if defined(__SANITIZE_ADDRESS__)  // GCC
#define MP_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)  // Clang
#define MP_ADDRESS_SANITIZER
#endif
#endif

#ifdef MP_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace miniparallel {
namespace {

constexpr std::size_t kSmallest = 64;
constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// From half a huge page on: whole mappings, aligned so that huge pages can back them.
constexpr bool is_mapped(std::size_t bytes) { return bytes >= kHugePage / 2; }

void* map(std::size_t bytes) {
  const std::size_t padded = bytes + kHugePage;
  if (padded < bytes) return nullptr;
  void* const mapping = mmap(nullptr, padded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  std::byte* const begin = static_cast<std::byte*>(mapping);
  const std::size_t misalignment = reinterpret_cast<std::uintptr_t>(begin) % kHugePage;
  const std::size_t before = misalignment == 0 ? 0 : kHugePage - misalignment;
  const std::size_t page = 4096, kept = (bytes + page - 1) / page * page;
  if (before > 0) munmap(begin, before);
  if (padded > before + kept) munmap(begin + before + kept, padded - before - kept);
  madvise(begin + before, kept, MADV_HUGEPAGE);  // advice: a system without huge pages works as well
  return begin + before;
}

class HostMemory final : public MemorySource {
 public:
  void* take(std::size_t bytes) override {
    return is_mapped(bytes) ? map(bytes) : std::aligned_alloc(kSmallest, bytes);
  }
  void give_back(void* block, std::size_t bytes) override {
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    if (!is_mapped(bytes)) return std::free(block);
    munmap(block, (bytes + 4095) / 4096 * 4096);
  }
  void gave_back() override {
#ifdef __GLIBC__
    ::malloc_trim(0);  // else the C library keeps small blocks that were freed, 150 MB of them just as well
#endif
  }
  void handed_out(void* block, std::size_t bytes, kernels::Stream) override {
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  }
  void returned(void* block, std::size_t bytes, kernels::Stream) override {
    ASAN_POISON_MEMORY_REGION(block, bytes);
  }
};

}  // namespace

CachingAllocator& host_allocator() {
  static auto* const allocator = new CachingAllocator(
      "cpu", *new HostMemory, kSmallest, &fork_safe_mutex(LockOrder::memory));  // outlives every static
  return *allocator;
}

}  // namespace miniparallel
