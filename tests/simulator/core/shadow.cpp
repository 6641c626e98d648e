#include "core/shadow.h"

#include "core/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace miniparallel::simulator {
namespace {

template <typename T>
T* reserve_array(std::size_t count) {
  const std::uintptr_t at = reserve(count * sizeof(T), true);
  if (at == 0) throw std::bad_alloc();
  return reinterpret_cast<T*>(at);
}

}  // namespace

Shadow::Shadow(std::uintptr_t base, std::size_t bytes)
    : base_(base),
      bytes_(bytes),
      cells_(reserve_array<Cell>(bytes / 4)),
      written_(reserve_array<std::uint8_t>(bytes / 8)),
      owners_(reserve_array<Allocation*>(bytes / granule)) {}

Shadow::~Shadow() {
  munmap(cells_, bytes_ / 4 * sizeof(Cell));
  munmap(written_, bytes_ / 8);
  munmap(owners_, bytes_ / granule * sizeof(Allocation*));
}

bool Shadow::is_written(std::uintptr_t address, std::size_t bytes) const {
  std::size_t at = address - base_;
  const std::size_t end = at + bytes;
  while (at < end) {
    const unsigned first = at % 8;
    const auto count = static_cast<unsigned>(std::min<std::size_t>(8 - first, end - at));
    const unsigned wanted = ((1u << count) - 1) << first;
    if ((written_[at / 8] & wanted) != wanted) return false;
    at += count;
  }
  return true;
}

void Shadow::set_written(std::uintptr_t address, std::size_t bytes, bool written) {
  std::size_t at = address - base_;
  const std::size_t end = at + bytes;
  while (at < end) {
    if (at % 8 == 0 && end - at >= 64) {
      const std::size_t whole = (end - at) / 8;
      std::memset(written_ + at / 8, written ? 0xff : 0, whole);
      at += whole * 8;
      continue;
    }
    const unsigned first = at % 8;
    const auto count = static_cast<unsigned>(std::min<std::size_t>(8 - first, end - at));
    const auto bits = static_cast<std::uint8_t>(((1u << count) - 1) << first);
    written_[at / 8] =
        static_cast<std::uint8_t>(written ? written_[at / 8] | bits : written_[at / 8] & ~bits);
    at += count;
  }
}

void Shadow::clear(std::uintptr_t address, std::size_t bytes) {
  set_written(address, bytes, false);
  constexpr std::size_t page = 4096;
  const auto begin = reinterpret_cast<std::uintptr_t>(&cell(address));
  const auto first = (begin + page - 1) / page * page;
  const auto last = (begin + bytes / 4 * sizeof(Cell)) / page * page;
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace miniparallel::simulator
