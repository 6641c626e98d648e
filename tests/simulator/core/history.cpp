// Notes what is enqueued, and how deep it stands in the order of the work.

#include "core/simulation.h"
#include "core/symbol.h"
#include "miniparallel/simulator_history.h"

#include <algorithm>

namespace miniparallel::simulator {
namespace {

StepKind kind_of(const Operation& operation) {
  switch (operation.work.kind) {
    case WorkKind::kernel:
      return StepKind::kernel;
    case WorkKind::copy:
      return StepKind::copy;
    case WorkKind::library:
      return StepKind::library_call;
    default:
      return StepKind::host_function;
  }
}

}  // namespace

/// What opens a gate later is not known yet, and does not count.
void note_depth(Simulation& s, Operation& operation) {
  Stream& stream = *operation.stream;
  std::int64_t before = std::max(s.host_depth, stream.depth);
  for (const auto& other : operation.work.after) before = std::max(before, other->depth);
  if (const auto& gate = operation.work.gate)
    for (const auto& other : gate->after) before = std::max(before, other->depth);
  operation.depth = stream.depth = before + (is_step(operation.work.kind) ? 1 : 0);
}

void start_history() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  s.history.emplace();
  for (const auto& stream : s.all_streams) s.host_depth = std::max(s.host_depth, stream->depth);
  s.history_start = s.host_depth;
}

std::vector<Step> take_history() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  std::vector<Step> steps;
  for (const OperationRef& operation : *s.history)
    steps.push_back({kind_of(*operation), describe(*operation), operation->device,
                     static_cast<int>(operation->stream_index), operation->depth - s.history_start,
                     operation->start, operation->end});
  s.history->clear();
  return steps;
}

}  // namespace miniparallel::simulator
