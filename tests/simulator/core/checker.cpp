#include "core/checker.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>

#include "core/block.h"
#include "core/memory.h"
#include "core/symbol.h"
#include "miniparallel/simulator/builtin_variables.h"

namespace miniparallel::simulator {
namespace {

std::unique_ptr<Checker> active;

const char* verb(Kind kind) {
  return kind == Kind::read ? "read" : kind == Kind::write ? "write" : "atomic access";
}

/// Constants and global variables of the loaded program and its libraries.
bool in_loaded_object(std::uintptr_t address) {
  struct Search {
    std::uintptr_t address;
    bool found;
  } search{address, false};
  dl_iterate_phdr(
      [](dl_phdr_info* object, std::size_t, void* data) {
        Search& wanted = *static_cast<Search*>(data);
        for (int i = 0; i < object->dlpi_phnum; ++i) {
          const auto& segment = object->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD) continue;
          wanted.found |= wanted.address - (object->dlpi_addr + segment.p_vaddr) < segment.p_memsz;
        }
        return wanted.found ? 1 : 0;
      },
      &search);
  return search.found;
}

}  // namespace

Checker* checker() { return active.get(); }
void start_checker(Simulation& simulation) { active = std::make_unique<Checker>(simulation); }
void stop_checker() { active.reset(); }

Checker::Checker(Simulation& simulation)
    : simulation_(simulation), shared_shadow_(0, SharedMemory::capacity), warps_(32), fenced_(1024) {
  for (int owner = 0; owner <= simulation.arenas.devices(); ++owner) {
    shadows_.push_back(std::make_unique<Shadow>(simulation.arenas.base(owner), simulation.arenas.span()));
  }
}

void Checker::begin_operation(const Operation& operation) {
  operation_ = &operation;
  block_ = nullptr;
  thread_ = 0;
  operation_segment_ = block_segment_ = ++segment_;
  past_.push_back(
      {segment_, operation.stream_index, operation.sequence, operation.device, describe(operation)});
  blocks_.clear();
  releases_.clear();
  acquired_.clear();
  const Lock lock(simulation_.mutex);
  peers_ = simulation_.devices[static_cast<std::size_t>(operation.device)].enabled_peers;
}

void Checker::begin_block(std::uint32_t block) {
  block_ = Block::current();
  block_number_ = block;
  block_segment_ = ++segment_;
  blocks_.emplace_back(segment_, block);
  acquired_.clear();
  shared_shadow_.set_written(0, block_->shared().used(), false);
}

void Checker::pass_barrier() { ++segment_; }

// ---- the books of allocations

void Checker::allocated(Allocation& allocation) {
  Shadow& shadow = *shadows_[static_cast<std::size_t>(allocation.owner)];
  for (std::uintptr_t at = allocation.begin; at < allocation.end(); at += Shadow::granule)
    shadow.owner(at) = &allocation;
}

void Checker::released(const Allocation& allocation) {
  shadows_[static_cast<std::size_t>(allocation.owner)]->clear(allocation.begin, allocation.bytes);
}

void Checker::block_changed(Allocation& block) {
  Shadow& shadow = *shadows_[static_cast<std::size_t>(block.owner)];
  for (std::uintptr_t at = block.begin; at < block.end(); at += Shadow::granule) shadow.owner(at) = &block;
  shadow.set_written(block.begin, block.bytes,
                     false);  // who touched it stays known: a reuse may come too early
}

void Checker::copy_written(std::uintptr_t to, std::uintptr_t from, std::size_t bytes) {
  const Shadow& source = *shadows_[static_cast<std::size_t>(simulation_.arenas.owner(from))];
  if (source.is_written(from, bytes)) return;
  Shadow& target = *shadows_[static_cast<std::size_t>(simulation_.arenas.owner(to))];
  for (std::size_t i = 0; i < bytes; ++i) target.set_written(to + i, 1, source.is_written(from + i, 1));
}

// ---- order

Checker::WarpClock& Checker::warp_clock(unsigned warp) {
  WarpClock& clock = warps_[warp];
  if (clock.segment != segment_) {
    clock.segment = segment_;
    for (auto& row : clock.seen) row.fill(0);
  }
  return clock;
}

void Checker::pass_warp_sync(unsigned warp, unsigned lanes) {
  WarpClock& clock = warp_clock(warp);
  std::array<std::uint16_t, 32> joined{};
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((lanes >> lane & 1) == 0) continue;
    ++clock.seen[lane][lane];
    for (unsigned j = 0; j < 32; ++j) joined[j] = std::max(joined[j], clock.seen[lane][j]);
  }
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((lanes >> lane & 1) != 0) clock.seen[lane] = joined;
  }
}

void Checker::fence() {
  const unsigned thread = Block::current()->thread();
  WarpClock& clock = warp_clock(thread / 32);
  ++clock.seen[thread % 32][thread % 32];
  fenced_[thread] = {segment_, clock.seen[thread % 32][thread % 32]};
}

/// An atomic hands on what its thread had fenced off, and takes over what others handed on at the same
/// address.
void Checker::synchronize_through(std::uintptr_t address) {
  if (fenced_[thread_].first == segment_) {
    ReleaseLog& log = releases_[address];
    const unsigned warp = thread_ / 32;
    log.by_block[block_number_].push_back(
        {log.length++, segment_, warp, warp_clock(warp).seen[thread_ % 32]});
  }
  if (releases_.empty()) return;
  if (const auto log = releases_.find(address); log != releases_.end())
    acquired_[address] = log->second.length;
}

std::uint32_t Checker::block_of(Record record) const {
  const auto after =
      std::upper_bound(blocks_.begin(), blocks_.end(), record.segment(),
                       [](std::uint32_t segment, const auto& block) { return segment < block.first; });
  return std::prev(after)->second;
}

bool Checker::ordered_by_release(Record record) {
  const std::uint32_t block = block_of(record);
  for (const auto& [address, length] : acquired_) {
    const ReleaseLog& log = releases_[address];
    const auto found = log.by_block.find(block);
    if (found == log.by_block.end()) continue;
    for (const Release& release : found->second) {
      if (release.position >= length) break;
      if (record.segment() < release.segment) return true;
      if (record.segment() == release.segment && record.thread() / 32 == release.warp &&
          release.seen[record.thread() % 32] > record.clock()) {
        return true;
      }
    }
  }
  return false;
}

const Checker::PastOperation& Checker::operation_of(Record record) {
  const auto holds = [&](std::size_t i) {
    return past_[i].first_segment <= record.segment() &&
           (i + 1 == past_.size() || record.segment() < past_[i + 1].first_segment);
  };
  if (last_past_ < past_.size() && holds(last_past_)) return past_[last_past_];
  const auto after =
      std::upper_bound(past_.begin(), past_.end(), record.segment(),
                       [](std::uint32_t segment, const auto& past) { return segment < past.first_segment; });
  last_past_ = static_cast<std::size_t>(std::prev(after) - past_.begin());
  return past_[last_past_];
}

/// Whether the recorded access has certainly happened before the one that is being made.
bool Checker::ordered(Record record) {
  const std::uint32_t segment = record.segment();
  if (segment >= block_segment_) {
    if (record.thread() == thread_ || segment != segment_) return true;
    if (record.thread() / 32 != thread_ / 32) return false;
    const WarpClock& clock = warps_[thread_ / 32];
    return clock.segment == segment_ && clock.seen[thread_ % 32][record.thread() % 32] > record.clock();
  }
  if (in_shared_) return true;  // of an earlier block, whose shared memory this was
  if (segment >= operation_segment_) return ordered_by_release(record);
  const PastOperation& past = operation_of(record);
  return operation_->clock.at(past.stream) >= past.sequence;
}

/// Compares an access with a word's history and adds it; false if it races with `offender`.
bool Checker::note(Cell& cell, Kind kind, unsigned mask, Record& offender) {
  const WarpClock& clock = warps_[thread_ / 32];
  const Record now(segment_, thread_, clock.segment == segment_ ? clock.seen[thread_ % 32][thread_ % 32] : 0u,
                   mask, kind);
  Record* room = nullptr;
  Record* weakest = &cell.records[0];
  int same_reads = 0;
  for (Record& record : cell.records) {
    if (record == now) return true;
    if (record.empty()) {
      room = &record;
      continue;
    }
    const bool conflicts = (record.mask() & mask) != 0 && record.kind() != kind
                               ? true
                               : (record.mask() & mask) != 0 && kind == Kind::write;
    const bool is_ordered = ordered(record);
    if (conflicts && !is_ordered) {
      offender = record;
      return false;
    }
    // What a stronger or equal later access of the same bytes follows can be forgotten: any conflict shows
    // with that one.
    if (is_ordered && (record.mask() & ~mask) == 0 && record.kind() <= kind) {
      record = Record();
      room = &record;
      continue;
    }
    if (record.kind() == kind && record.segment() == segment_ && record.mask() == mask) ++same_reads;
    if (record.kind() < weakest->kind() || (is_ordered && record.kind() == weakest->kind()))
      weakest = &record;
  }
  // Two threads that did the same in this stretch stand for all: whoever conflicts later conflicts with one
  // of them.
  if (same_reads >= 2 && kind != Kind::write) return true;
  *(room != nullptr ? room : weakest) = now;
  return true;
}

// ---- accesses

std::string Checker::actor() const {
  if (block_ != nullptr) return block_->place();
  return describe(*operation_) + " on device " + std::to_string(operation_->device);
}

bool Checker::fail(Finding finding, const std::string& text) {
  report(finding, actor() + ": " + text);
  return false;
}

void Checker::touch(Allocation& allocation) {
  if (allocation.last_operation == operation_->number) return;
  allocation.last_operation = operation_->number;
  const Lock lock(simulation_.mutex);
  allocation.users[operation_->stream_index] = operation_->sequence;
  if (allocation.parent != nullptr) allocation.parent->users[operation_->stream_index] = operation_->sequence;
}

/// Whether the bytes are live memory that the operation's device can reach.
bool Checker::validate(std::uintptr_t address, std::size_t bytes, Kind kind) {
  const int owner = simulation_.arenas.owner(address);
  Allocation* const allocation = shadows_[static_cast<std::size_t>(owner)]->owner(address);
  const auto what = [&] {
    const Lock lock(simulation_.mutex);
    return std::string(verb(kind)) + " of " + std::to_string(bytes) + " bytes at " +
           describe_address(simulation_, address);
  };
  if (allocation == nullptr || allocation->carved || address + bytes > allocation->end()) {
    return fail(Finding::out_of_bounds, what());
  }
  if (allocation->freed) return fail(Finding::use_after_free, what());
  const bool far = owner != operation_->device && owner != simulation_.arenas.host();
  if (far && operation_->work.kind != WorkKind::copy) {
    const Lock lock(simulation_.mutex);
    if (!simulation_.devices[static_cast<std::size_t>(operation_->device)].enabled_peers.contains(owner)) {
      return fail(Finding::peer_access, std::string(verb(kind)) + " of " + std::to_string(bytes) +
                                            " bytes at " + describe_address(simulation_, address) +
                                            ", to which device " + std::to_string(operation_->device) +
                                            " has no peer access");
    }
  }
  touch(*allocation);
  return true;
}

bool Checker::report_race(std::uintptr_t address, std::size_t bytes, Kind kind, Record offender) {
  std::string where;
  const bool is_shared = address < SharedMemory::capacity;
  if (is_shared) {
    where = "byte " + std::to_string(address) + " of shared memory";
  } else {
    const Lock lock(simulation_.mutex);
    where = describe_address(simulation_, address);
  }
  const std::string text = std::string(verb(kind)) + " of " + std::to_string(bytes) + " bytes at " + where +
                           " is not ordered after the " + verb(offender.kind()) + " by ";
  const std::string thread = "thread " + std::to_string(offender.thread());
  if (offender.segment() >= block_segment_ && block_ != nullptr)
    return fail(Finding::race, text + thread + " of the same block");
  if (offender.segment() >= operation_segment_ && block_ != nullptr) {
    return fail(Finding::race, text + thread + " of block " + std::to_string(block_of(offender)));
  }
  const PastOperation& past = operation_of(offender);
  return fail(Finding::stream_race, text + past.name + " on device " + std::to_string(past.device) +
                                        " in another stream (" + std::to_string(past.stream) +
                                        "); an event or a synchronisation is missing");
}

/// Notes the access in every word it covers.
bool Checker::scan(Shadow& shadow, std::uintptr_t address, std::size_t bytes, Kind kind) {
  const std::uintptr_t end = address + bytes;
  for (std::uintptr_t word = address & ~std::uintptr_t{3}; word < end; word += 4) {
    const unsigned first = word < address ? static_cast<unsigned>(address - word) : 0;
    const unsigned last = word + 4 > end ? static_cast<unsigned>(end - word) : 4;
    const unsigned mask = ((1u << last) - 1) & ~((1u << first) - 1);
    Record offender;
    if (!note(shadow.cell(word), kind, mask, offender))
      return report_race(word + first, bytes, kind, offender);
  }
  return true;
}

bool Checker::check(const Access& access) {
  const Kind kind = access.use == Use::read || access.use == Use::carry ? Kind::read : Kind::write;
  for (std::size_t row = 0; row < access.rows; ++row) {
    const auto address = reinterpret_cast<std::uintptr_t>(access.address) + row * access.pitch;
    const int owner = simulation_.arenas.owner(address);
    if (access.width == 0) continue;
    if (owner < 0) {  // pageable host memory is for copies only
      if (operation_->work.kind != WorkKind::copy && !is_reachable_host(address, access.width, kind))
        return false;
      continue;
    }
    Shadow& shadow = *shadows_[static_cast<std::size_t>(owner)];
    const bool is_host = owner == simulation_.arenas.host();
    if (!validate(address, access.width, kind)) return false;
    if (access.use != Use::write && access.use != Use::carry && !is_host &&
        !shadow.is_written(address, access.width)) {
      std::uintptr_t unwritten = address;
      while (shadow.is_written(unwritten, 1)) ++unwritten;
      const Lock lock(simulation_.mutex);
      return fail(Finding::unwritten_read,
                  "reads " + describe_address(simulation_, unwritten) + ", which nobody has written");
    }
    if (!scan(shadow, address, access.width, kind)) return false;
    if (kind == Kind::write) shadow.set_written(address, access.width, true);
  }
  return true;
}

bool Checker::in_shared(Block& block, std::uintptr_t address, std::size_t bytes, Kind kind) {
  const std::size_t offset = address - reinterpret_cast<std::uintptr_t>(block.shared().begin());
  const auto& slots = block.shared().slots();
  const bool inside = std::any_of(slots.begin(), slots.end(), [&](const SharedMemory::Slot& slot) {
    return offset >= slot.offset && offset + bytes <= slot.offset + slot.bytes;
  });
  if (!inside) {
    return fail(Finding::shared_memory, std::string(verb(kind)) + " of " + std::to_string(bytes) +
                                            " bytes at byte " + std::to_string(offset) +
                                            " of shared memory, outside every array there");
  }
  if (kind != Kind::write && !shared_shadow_.is_written(offset, bytes)) {
    return fail(Finding::unwritten_read, std::string(verb(kind)) + " of " + std::to_string(bytes) +
                                             " bytes at byte " + std::to_string(offset) +
                                             " of shared memory, which nobody has written");
  }
  in_shared_ = true;
  const bool good = scan(shared_shadow_, offset, bytes, kind);
  in_shared_ = false;
  if (!good) return false;
  if (kind != Kind::read) shared_shadow_.set_written(offset, bytes, true);
  return true;
}

/// Neither device nor shared memory: parameters, locals, built-in variables and constants are fine.
bool Checker::foreign(Block& block, std::uintptr_t address, std::size_t bytes, Kind kind) {
  const auto parameters = reinterpret_cast<std::uintptr_t>(block.launch().arguments.get());
  if (address - parameters < block.launch().argument_bytes) return true;
  constexpr std::uintptr_t near = 4096;  // the thread_local built-in variables
  if (address - reinterpret_cast<std::uintptr_t>(&threadIdx) + near < 2 * near) return true;
  return in_loaded_object(address) || is_reachable_host(address, bytes, kind);
}

bool Checker::is_reachable_host(std::uintptr_t address, std::size_t bytes, Kind kind) {
  const Lock lock(simulation_.mutex);
  if (place_of(simulation_, reinterpret_cast<void*>(address)).space == Space::pinned) return true;
  return fail(Finding::host_memory, std::string(verb(kind)) + " of " + std::to_string(bytes) + " bytes at " +
                                        describe_address(simulation_, address) + " that is not pinned");
}

void Checker::access(Block& block, std::uintptr_t address, std::size_t bytes, Kind kind) {
  thread_ = block.thread();
  const int owner = simulation_.arenas.owner(address);
  bool good = true;
  if (owner < 0) {
    good = block.shared().contains(reinterpret_cast<void*>(address)) ? in_shared(block, address, bytes, kind)
                                                                     : foreign(block, address, bytes, kind);
  } else {
    Shadow& shadow = *shadows_[static_cast<std::size_t>(owner)];
    const bool is_host = owner == simulation_.arenas.host();
    good = validate(address, bytes, kind);
    if (good && kind != Kind::write && !is_host && !shadow.is_written(address, bytes)) {
      const Lock lock(simulation_.mutex);
      good = fail(Finding::unwritten_read, std::string(verb(kind)) + " of " + std::to_string(bytes) +
                                               " bytes at " + describe_address(simulation_, address) +
                                               ", which nobody has written");
    }
    if (good && kind == Kind::atomic) synchronize_through(address);
    good = good && scan(shadow, address, bytes, kind);
    if (good && kind != Kind::read) shadow.set_written(address, bytes, true);
  }
  if (!good) block.stop(cudaErrorIllegalAddress);
}

// ---- a caching allocator's blocks

void block_handed_out(const void* begin, std::size_t bytes, CUstream_st* handle) {
  Simulation& s = simulation();
  if (checker() == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  enqueue(handle, {.name = "a block's hand-out",
                   .kind = WorkKind::host_function,
                   .accesses = {},
                   .run =
                       [&s, address, bytes] {
                         const std::scoped_lock lock(s.mutex, checker()->mutex);
                         auto block = std::make_unique<Allocation>();
                         block->parent = s.arenas.find(address);
                         if (block->parent == nullptr || address % Shadow::granule != 0)
                           return cudaErrorInvalidValue;
                         block->parent->carved = true;
                         block->number = block->parent->number;
                         block->owner = block->parent->owner;
                         block->begin = address;
                         block->bytes = bytes;
                         checker()->block_changed(*block);
                         s.retired_blocks.push_back(std::exchange(s.blocks[address], std::move(block)));
                         return cudaSuccess;
                       },
                   .after = {},
                   .gate = {}});
}

void block_returned(const void* begin, CUstream_st* handle) {
  Simulation& s = simulation();
  if (checker() == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  enqueue(handle, {.name = "a block's return",
                   .kind = WorkKind::host_function,
                   .accesses = {},
                   .run =
                       [&s, address] {
                         const std::scoped_lock lock(s.mutex, checker()->mutex);
                         const auto block = s.blocks.find(address);
                         if (block == s.blocks.end()) return cudaErrorInvalidValue;
                         block->second->freed = true;
                         return cudaSuccess;
                       },
                   .after = {},
                   .gate = {}});
}

}  // namespace miniparallel::simulator
