#pragma once
// The shared memory of a block: named slots with gaps between them, poisoned for each block.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace miniparallel::simulator {

/// Slots keep their place over the blocks of a kernel.
class SharedMemory {
 public:
  static constexpr std::size_t capacity = std::size_t{512} << 10;  // room for gaps beyond a GPU's 227 KiB
  static constexpr std::size_t gap = 256;

  struct Slot {
    const void* key;
    std::size_t offset, bytes;
  };

  SharedMemory(std::size_t dynamic_bytes) { add(&dynamic_key, dynamic_bytes); }

  char* slot(const void* key, std::size_t bytes) {
    for (const Slot& slot : slots_) {
      if (slot.key == key) return memory() + slot.offset;
    }
    return add(key, bytes);
  }
  char* dynamic() { return memory() + slots_.front().offset; }

  /// NaN in every floating type, and a large negative integer.
  void poison() { std::memset(memory(), 0xff, used_); }

  std::size_t used() const { return used_; }
  const char* begin() const { return memory(); }
  bool contains(const void* address) const {
    return static_cast<std::size_t>(static_cast<const char*>(address) - memory()) < capacity;
  }
  const std::vector<Slot>& slots() const { return slots_; }
  /// Bytes that a GPU would need.
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const Slot& slot : slots_) sum += slot.bytes;
    return sum;
  }

 private:
  char* add(const void* key, std::size_t bytes) {
    const std::size_t offset = used_;
    used_ += (bytes + gap - 1) / gap * gap + gap;
    if (used_ > capacity) return nullptr;
    slots_.push_back({key, offset, bytes});
    std::memset(memory() + offset, 0xff, used_ - offset);
    return memory() + offset;
  }

  static char* memory();

  static inline const char dynamic_key = 0;
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace miniparallel::simulator
