#pragma once
// The checker: looks up every access of instrumented kernels,
// and of copies and library calls, in shadow memory.

#include "core/shadow.h"
#include "core/simulation.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

namespace miniparallel::simulator {

class Block;

/// One at work at a time: whoever executes an operation holds its mutex. Who came before whom is told by
/// segments: a number for each stretch of a block between two barriers, growing over the machine's life, so
/// that operations and blocks are ranges of segments.
class Checker {
 public:
  explicit Checker(Simulation& simulation);

  std::mutex mutex;

  void begin_operation(const Operation& operation);
  /// Memory that a copy or a library call declares; true if all is well, else it was reported.
  bool check(const Access& access);

  // From a running kernel.
  void begin_block(std::uint32_t block);
  void pass_barrier();
  void pass_warp_sync(unsigned warp, unsigned lanes);
  void fence();
  void access(Block& block, std::uintptr_t address, std::size_t bytes, Kind kind);

  // From the memory functions, which hold the simulation's mutex and not this one.
  void allocated(Allocation& allocation);
  void released(const Allocation& allocation);
  void block_changed(Allocation& block);
  void copy_written(std::uintptr_t to, std::uintptr_t from, std::size_t bytes);

 private:
  struct PastOperation {
    std::uint32_t first_segment, stream, sequence;
    int device;
    std::string name;
  };
  struct WarpClock {
    std::uint32_t segment = 0;  ///< the stretch for which `seen` holds
    std::array<std::array<std::uint16_t, 32>, 32>
        seen;  ///< seen[i][j]: lane j's accesses before this are behind lane i
  };
  struct Release {
    std::size_t position;
    std::uint32_t segment;
    unsigned warp;
    std::array<std::uint16_t, 32> seen;
  };
  struct ReleaseLog {
    std::size_t length = 0;
    std::unordered_map<std::uint32_t, std::vector<Release>> by_block;
  };

  bool validate(std::uintptr_t address, std::size_t bytes, Kind kind);
  bool in_shared(Block& block, std::uintptr_t address, std::size_t bytes, Kind kind);
  bool foreign(Block& block, std::uintptr_t address, std::size_t bytes, Kind kind);
  bool is_reachable_host(std::uintptr_t address, std::size_t bytes, Kind kind);
  bool scan(Shadow& shadow, std::uintptr_t address, std::size_t bytes, Kind kind);
  bool note(Cell& cell, Kind kind, unsigned mask, Record& offender);
  bool ordered(Record record);
  bool ordered_by_release(Record record);
  void synchronize_through(std::uintptr_t address);
  WarpClock& warp_clock(unsigned warp);
  const PastOperation& operation_of(Record record);
  std::uint32_t block_of(Record record) const;
  bool fail(Finding finding, const std::string& text);
  bool report_race(std::uintptr_t address, std::size_t bytes, Kind kind, Record offender);
  void touch(Allocation& allocation);
  std::string actor() const;

  Simulation& simulation_;
  std::vector<std::unique_ptr<Shadow>> shadows_;  ///< per owner
  Shadow shared_shadow_;
  const Operation* operation_ = nullptr;
  Block* block_ = nullptr;
  std::set<int> peers_;  ///< of the operation's device
  std::vector<PastOperation> past_;
  std::size_t last_past_ = 0;
  std::uint32_t segment_ = 1, operation_segment_ = 1, block_segment_ = 1;
  std::uint32_t block_number_ = 0;
  unsigned thread_ = 0;
  bool in_shared_ = false;  ///< the words being looked at are shared memory
  std::vector<std::pair<std::uint32_t, std::uint32_t>>
      blocks_;  ///< first segment and number of this kernel's blocks
  std::vector<WarpClock> warps_;
  std::vector<std::pair<std::uint32_t, std::uint16_t>>
      fenced_;  ///< per thread: segment and clock of its last fence
  std::unordered_map<std::uintptr_t, ReleaseLog> releases_;
  std::unordered_map<std::uintptr_t, std::size_t> acquired_;  ///< by this block
};

/// The machine's checker; nullptr when it does not check.
Checker* checker();
void start_checker(Simulation& simulation);
void stop_checker();

}  // namespace miniparallel::simulator
