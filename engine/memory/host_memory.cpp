#include <sys/mman.h>

#include <cstdlib>

#include "engine/error.h"
#include "engine/memory/caching_allocator.h"
#include "engine/memory/storage.h"

namespace miniparallel {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

/// From half a huge page on: whole mappings, aligned so that huge pages can back them.
constexpr bool is_mapped(std::size_t bytes) { return bytes >= kHugePage / 2; }

void* take(std::size_t bytes) {
  if (!is_mapped(bytes)) return std::aligned_alloc(64, bytes);
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

void give_back(void* block, std::size_t bytes) {
  if (!is_mapped(bytes)) return std::free(block);
  munmap(block, (bytes + 4095) / 4096 * 4096);
}

}  // namespace

CachingAllocator& allocator(Device device) {
  check(device.is_cpu(), device, ": this build of miniparallel has no CUDA backend; use Device::cpu()");
  static CachingAllocator* const host =
      new CachingAllocator(Device::cpu(), {take, give_back});  // outlives every static
  return *host;
}

MemoryStats memory_stats(Device device) { return allocator(device).stats(); }
void reset_peak_memory(Device device) { allocator(device).reset_peak(); }
void empty_cache(Device device) { allocator(device).empty_cache(); }

Storage::Storage(std::size_t bytes, Device device)
    : data_(static_cast<std::byte*>(allocator(device).allocate(bytes))), bytes_(bytes), device_(device) {}

Storage::~Storage() { allocator(device_).deallocate(data_, bytes_); }

}  // namespace miniparallel
