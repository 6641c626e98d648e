// What work asks of memory, arithmetic and links.

#include "core/memory.h"
#include "core/virtual_clock.h"

#include <atomic>
#include <map>

namespace miniparallel::simulator {
namespace {

constexpr double bytes_per_thread = 16;

std::atomic<CostSource> cost_source{nullptr};

/// Who owns the memory that an address is in: a device, or the host.
int owner_of(const Simulation& s, const void* address) {
  const Place place = place_of(s, address);
  return place.device < 0 ? Transfer::host : place.device;
}

void add_bytes(Demand& demand, int device, int owner, Use use, double bytes) {
  if (owner == device) {
    *demand.bytes += bytes * (use == Use::update ? 2 : 1);
    return;
  }
  if (use != Use::write) demand.transfers.push_back({owner, device, bytes});
  if (use == Use::write || use == Use::update) demand.transfers.push_back({device, owner, bytes});
}

}  // namespace

CostSource set_cost_source(CostSource source) { return cost_source.exchange(source); }

Demand demand_of(const Simulation& s, const KernelLaunch& launch) {
  const double threads = static_cast<double>(launch.grid.x) * launch.grid.y * launch.grid.z *
                         static_cast<double>(launch.block.x) * launch.block.y * launch.block.z;
  const CostSource source = cost_source;
  const std::optional<Cost> known = source == nullptr ? std::nullopt : source();
  const Cost cost = known.value_or(Cost{.bytes = threads * bytes_per_thread});
  Demand demand;
  demand.bytes = cost.bytes * cost.arrays;
  demand.operations = cost.operations;
  demand.unit = cost.unit;
  if (cost.arrays > 0) return demand;

  const std::vector<const void*> pointers = pointers_of(s, launch);
  std::map<int, int> owners;  // and how many of the pointers are theirs
  for (const void* const pointer : pointers) ++owners[owner_of(s, pointer)];
  if (pointers.empty()) demand.bytes = cost.bytes;
  const double each = known ? cost.bytes : cost.bytes / static_cast<double>(pointers.size());
  for (const auto& [owner, count] : owners)
    add_bytes(demand, current_device(), owner, Use::read, each * count);
  return demand;
}

Demand demand_of(const Simulation& s, const Operation& operation) {
  const Work& work = operation.work;
  Demand demand = work.demand;
  if (work.kernel != nullptr) demand.measured = s.clock->measured(work.kernel);
  if (demand.bytes || demand.nothing) return demand;
  demand.bytes = 0;
  const auto add = [&](const std::vector<Access>& accesses) {
    for (const Access& access : accesses)
      add_bytes(demand, operation.device, owner_of(s, access.address), access.use,
                static_cast<double>(access.width) * static_cast<double>(access.rows));
  };
  add(work.accesses);
  // Where there are none of the first sort, these do not depend on what is in the memory of a device.
  if (work.accesses.empty() && work.more_accesses) add(work.more_accesses());
  if (work.kind == WorkKind::library) demand.measured = s.clock->measured(work.name);
  return demand;
}

}  // namespace miniparallel::simulator
