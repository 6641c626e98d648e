#pragma once
// Device memory: one address range per device and one for
// pinned host memory, so that an address tells its owner.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace miniparallel::simulator {

/// One allocation, or one block that a caching allocator
/// carved out of an allocation. Lives until the next reset.
struct Allocation {
  int number = 0;
  int owner = 0;  ///< a device, or Arenas::host()
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  bool freed = false;
  bool carved = false;           ///< only its blocks may be touched
  Allocation* parent = nullptr;  ///< set in a block
  std::uint64_t last_operation = 0;
  std::map<std::uint32_t, std::uint32_t> users;  ///< per stream, its last operation that touched this

  std::uintptr_t end() const { return begin + bytes; }
};

/// Reserves the address ranges, hands out and takes back memory. Guarded by the simulation's mutex.
class Arenas {
 public:
  static constexpr std::size_t alignment = 512;  // CUDA promises 256

  Arenas(int devices, bool checking);
  ~Arenas();
  Arenas(const Arenas&) = delete;
  Arenas& operator=(const Arenas&) = delete;

  int devices() const { return devices_; }
  int host() const { return devices_; }
  std::uintptr_t base(int owner) const { return base_ + (static_cast<std::uintptr_t>(owner) << span_bits_); }
  std::size_t span() const { return std::size_t{1} << span_bits_; }

  bool contains(std::uintptr_t address) const { return address - base_ < total_; }
  /// The device, or host(), or -1.
  int owner(std::uintptr_t address) const {
    return contains(address) ? static_cast<int>((address - base_) >> span_bits_) : -1;
  }

  /// nullptr when the address range is used up.
  Allocation* allocate(int owner, std::size_t bytes);
  void release(Allocation& allocation);
  /// The allocation at or next below the address, freed or not; nullptr if there is none.
  Allocation* find(std::uintptr_t address) const;
  /// Live allocations of an owner.
  std::vector<Allocation*> live(int owner) const;

  /// While at least one operation holds the arenas open, device
  /// memory can be touched. Without a guard it always can.
  void open();
  void close();
  bool guarded() const { return guard_; }
  /// Lets one forbidden access of the host through, after it was reported.
  void yield_page(std::uintptr_t address);

 private:
  void protect(int protection);

  int devices_;
  bool guard_;
  bool recycle_;
  int span_bits_ = 0;
  std::uintptr_t base_ = 0;
  std::size_t total_ = 0;
  std::vector<std::uintptr_t> next_;
  std::map<std::uintptr_t, std::unique_ptr<Allocation>> allocations_;
  std::vector<std::multimap<std::size_t, std::uintptr_t>> holes_;
  int count_ = 0;
  std::mutex guard_mutex_;
  int open_ = 0;
};

/// Whether a machine's device memory lies there; can be asked at any time, also before there is a machine.
bool is_device_memory(std::uintptr_t address);

/// Reserves address space that costs memory only where it is touched; 0 if refused.
std::uintptr_t reserve(std::size_t bytes, bool usable);

}  // namespace miniparallel::simulator
