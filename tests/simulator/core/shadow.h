#pragma once
// What the checker knows of each byte of an address range: whether it was written, and who touched it last.

#include <cstddef>
#include <cstdint>

namespace miniparallel::simulator {

struct Allocation;

/// In order of strength: whatever conflicts with a weaker
/// access conflicts with a stronger one by the same actor.
enum class Kind : unsigned { read = 1, atomic = 2, write = 3 };

/// One access to a word, packed: segment 32 bits, thread 10,
/// the thread's clock 16, byte mask 4, kind 2. 0 is no access.
class Record {
 public:
  Record() = default;
  Record(std::uint32_t segment, unsigned thread, unsigned clock, unsigned mask, Kind kind)
      : bits_(std::uint64_t{segment} << 32 | std::uint64_t{thread} << 22 |
              std::uint64_t{clock & 0xffffu} << 6 | mask << 2 | static_cast<unsigned>(kind)) {}

  bool empty() const { return bits_ == 0; }
  std::uint32_t segment() const { return static_cast<std::uint32_t>(bits_ >> 32); }
  unsigned thread() const { return static_cast<unsigned>(bits_ >> 22) & 1023u; }
  unsigned clock() const { return static_cast<unsigned>(bits_ >> 6) & 0xffffu; }
  unsigned mask() const { return static_cast<unsigned>(bits_ >> 2) & 15u; }
  Kind kind() const { return static_cast<Kind>(bits_ & 3); }
  bool operator==(const Record&) const = default;

 private:
  std::uint64_t bits_ = 0;
};

/// The recent accesses to one 4-byte word.
struct Cell {
  Record records[4];
};

/// The shadow of `bytes` bytes from `base` on. Costs memory only where it is touched.
class Shadow {
 public:
  static constexpr std::size_t granule = 256;

  Shadow(std::uintptr_t base, std::size_t bytes);
  ~Shadow();
  Shadow(const Shadow&) = delete;
  Shadow& operator=(const Shadow&) = delete;

  Cell& cell(std::uintptr_t address) { return cells_[(address - base_) >> 2]; }
  Allocation*& owner(std::uintptr_t address) { return owners_[(address - base_) / granule]; }

  /// True if all bytes have been written.
  bool is_written(std::uintptr_t address, std::size_t bytes) const;
  void set_written(std::uintptr_t address, std::size_t bytes, bool written);
  /// Forgets who touched the bytes (whole pages of it) and that they were written.
  void clear(std::uintptr_t address, std::size_t bytes);

 private:
  std::uintptr_t base_;
  std::size_t bytes_;
  Cell* cells_;
  std::uint8_t* written_;  ///< a bit per byte
  Allocation** owners_;
};

}  // namespace miniparallel::simulator
