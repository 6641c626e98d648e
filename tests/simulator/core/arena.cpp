#include "core/arena.h"

#include <sys/mman.h>

#include <new>

namespace miniparallel::simulator {
namespace {

constexpr std::size_t page = 4096;
constexpr std::size_t shadow_per_byte = 9;  // what the checker keeps, rounded up (core/shadow.h)

std::atomic<std::uintptr_t> device_begin{0};
std::atomic<std::size_t> device_bytes{0};

std::size_t rounded_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

std::uintptr_t reserve(std::size_t bytes, bool usable) {
  void* const at = mmap(nullptr, bytes, usable ? PROT_READ | PROT_WRITE : PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? 0 : reinterpret_cast<std::uintptr_t>(at);
}

/// Whether as many addresses are free. A sanitizer leaves few.
static bool is_free(std::size_t bytes) {
  const std::uintptr_t at = reserve(bytes, false);
  if (at != 0) munmap(reinterpret_cast<void*>(at), bytes);
  return at != 0;
}

Arenas::Arenas(int devices, bool checking) : devices_(devices), guard_(checking), recycle_(!checking) {
  const auto owners = static_cast<std::size_t>(devices) + 1;
  // As much address space as the process may have, with its
  // shadow: freed addresses then need not be used again.
  for (span_bits_ = 37; span_bits_ >= 28 && base_ == 0; --span_bits_) {
    const std::size_t bytes = owners << span_bits_;
    if (is_free(checking ? bytes + bytes * shadow_per_byte : bytes)) base_ = reserve(bytes, !guard_);
  }
  if (base_ == 0) throw std::bad_alloc();
  ++span_bits_;
  total_ = owners << span_bits_;
  if (guard_) mprotect(reinterpret_cast<void*>(base(host())), span(), PROT_READ | PROT_WRITE);
  for (int owner = 0; owner <= devices_; ++owner) next_.push_back(base(owner) + page);
  holes_.resize(owners);
  device_begin = base_;
  device_bytes = total_ - span();
}

bool is_device_memory(std::uintptr_t address) {
  return address - device_begin.load(std::memory_order_relaxed) <
         device_bytes.load(std::memory_order_relaxed);
}

Arenas::~Arenas() {
  device_bytes = 0;
  munmap(reinterpret_cast<void*>(base_), total_);
}

/// Makes one hole of those that are neighbours.
static void join(std::multimap<std::size_t, std::uintptr_t>& holes) {
  std::map<std::uintptr_t, std::size_t> by_address;
  for (const auto& [size, begin] : holes) by_address.emplace(begin, size);
  holes.clear();
  for (auto hole = by_address.begin(); hole != by_address.end();) {
    const std::uintptr_t begin = hole->first;
    std::size_t size = 0;
    for (; hole != by_address.end() && hole->first == begin + size; ++hole) size += hole->second;
    holes.emplace(size, begin);
  }
}

Allocation* Arenas::allocate(int owner, std::size_t bytes) {
  const std::size_t room =
      rounded_up(bytes, alignment) + alignment;  // a gap behind each: neighbours never touch
  auto& next = next_[static_cast<std::size_t>(owner)];
  auto& holes = holes_[static_cast<std::size_t>(owner)];
  std::uintptr_t begin = next;
  if (next + room <= base(owner) + span()) {
    next += room;
  } else {
    auto hole = holes.lower_bound(room);
    if (hole == holes.end()) {
      join(holes);
      hole = holes.lower_bound(room);
    }
    if (hole == holes.end()) return nullptr;
    begin = hole->second;
    if (hole->first > room) holes.emplace(hole->first - room, begin + room);
    holes.erase(hole);
    allocations_.erase(allocations_.lower_bound(begin), allocations_.lower_bound(begin + room));
  }
  auto allocation = std::make_unique<Allocation>();
  allocation->number = count_++;
  allocation->owner = owner;
  allocation->begin = begin;
  allocation->bytes = bytes;
  return allocations_.emplace(begin, std::move(allocation)).first->second.get();
}

void Arenas::release(Allocation& allocation) {
  allocation.freed = true;
  const std::size_t room = rounded_up(allocation.bytes, alignment) + alignment;
  if (recycle_) holes_[static_cast<std::size_t>(allocation.owner)].emplace(room, allocation.begin);
  const std::uintptr_t first = rounded_up(allocation.begin, page),
                       last = (allocation.begin + room) / page * page;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

Allocation* Arenas::find(std::uintptr_t address) const {
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return nullptr;
  Allocation* const below = std::prev(after)->second.get();
  return below->owner == owner(address) ? below : nullptr;
}

std::vector<Allocation*> Arenas::live(int owner) const {
  std::vector<Allocation*> found;
  for (const auto& [begin, allocation] : allocations_) {
    if (allocation->owner == owner && !allocation->freed) found.push_back(allocation.get());
  }
  return found;
}

void Arenas::open() {
  if (!guard_) return;
  const std::lock_guard lock(guard_mutex_);
  if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
}

void Arenas::close() {
  if (!guard_) return;
  const std::lock_guard lock(guard_mutex_);
  if (--open_ == 0) protect(PROT_NONE);
}

void Arenas::protect(int protection) {
  mprotect(reinterpret_cast<void*>(base_), static_cast<std::size_t>(devices_) << span_bits_, protection);
}

void Arenas::yield_page(std::uintptr_t address) {
  mprotect(reinterpret_cast<void*>(address / page * page), 2 * page, PROT_READ | PROT_WRITE);
}

}  // namespace miniparallel::simulator
