#include "core/checker.h"

#include "core/block.h"
#include "core/memory.h"
#include "core/symbol.h"
#include "core/traffic.h"
#include "miniparallel/simulator/builtin_variables.h"

#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

namespace miniparallel::simulator {
namespace {

/// Not destroyed at the program's end, when streams may still work.
std::atomic<Checker*> active = nullptr;

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

Checker* checker() { return active.load(std::memory_order_acquire); }
void start_checker(Simulation& simulation) { active = new Checker(simulation); }
void stop_checker() { delete active.exchange(nullptr); }

Checker::Checker(Simulation& simulation)
    : simulation_(simulation), shared_shadow_(0, SharedMemory::capacity), warps_(32), fenced_(1024) {
  for (int owner = 0; owner <= simulation.arenas.devices(); ++owner) {
    shadows_.push_back(std::make_unique<Shadow>(simulation.arenas.base(owner), simulation.arenas.span()));
  }
}

void Checker::begin_operation(const Operation& operation) {
  operation_ = &operation;
  if (counts_traffic) begin_traffic_of(describe(operation));
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
    if (counts_traffic && !is_host)
      add_traffic(address, access.width, access.use != Use::write, kind == Kind::write);
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
    if (counts_traffic && !is_host) add_traffic(address, bytes, kind != Kind::write, kind != Kind::read);
    if (good && kind != Kind::read) shadow.set_written(address, bytes, true);
  }
  if (!good) block.stop(cudaErrorIllegalAddress);
}

}  // namespace miniparallel::simulator
