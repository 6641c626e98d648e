#include "core/virtual_clock.h"

#include <miniparallel/error.h>

#include "core/call.h"
#include "core/graph.h"
#include "core/symbol.h"

#include <algorithm>
#include <fstream>

namespace miniparallel::simulator {
namespace {

std::map<std::string, double> read_kernel_times(const std::string& path) {
  std::map<std::string, double> times;
  if (path.empty()) return times;
  std::ifstream file(path);
  if (!file)
    throw Error("start_clock: the file of kernel times '" + path + "' cannot be read; check its name");
  double microseconds = 0;
  for (std::string name; file >> microseconds && std::getline(file >> std::ws, name);)
    times[name] = microseconds * 1e-6;
  if (!file.eof())
    throw Error("start_clock: '" + path + "' has a line other than 'microseconds name'; it follows that of " +
                std::to_string(times.size()) + " kernels");
  return times;
}

/// "ns::scale<float>" becomes "scale".
std::string base_name(const std::string& name) {
  const std::string bare = name.substr(0, name.find('<'));
  const auto scope = bare.rfind("::");
  return scope == std::string::npos ? bare : bare.substr(scope + 2);
}

double peak(const Speeds& speeds, Unit unit) {
  switch (unit) {
    case Unit::float32:
      return speeds.float32;
    case Unit::tf32:
      return speeds.tf32;
    case Unit::half:
      return speeds.half;
    case Unit::float64:
      break;
  }
  return speeds.float64;
}

}  // namespace

double Wire::carry(double earliest, double seconds) {
  if (seconds <= 0) return earliest;
  double begin = earliest;
  auto next = busy_.upper_bound(begin);
  if (next != busy_.begin()) begin = std::max(begin, std::prev(next)->second);
  for (; next != busy_.end() && next->first < begin + seconds; ++next) begin = std::max(begin, next->second);
  const double end = begin + seconds;
  // Neighbours become one, so that a busy wire stays short.
  const auto before = next == busy_.begin() ? busy_.end() : std::prev(next);
  const auto place =
      before != busy_.end() && before->second == begin ? before : busy_.emplace(begin, end).first;
  place->second = end;
  return end;
}

VirtualClock::VirtualClock(const Speeds& speeds, const ClockOptions& options, std::size_t devices)
    : speeds_(speeds),
      executes_(options.execute),
      measured_(read_kernel_times(options.kernel_times)),
      links_(devices),
      buses_(devices) {}

std::optional<double> VirtualClock::measured(const std::string& name) const {
  for (const std::string& key : {name, base_name(name)})
    if (const auto found = measured_.find(key); found != measured_.end()) return found->second;
  return {};
}

std::optional<double> VirtualClock::measured(const void* kernel) const {
  return measured_.empty() ? std::nullopt : measured(symbol_name(kernel));
}

void VirtualClock::place(const Simulation& s, Operation& operation) {
  Stream& stream = *operation.stream;
  double& now = HostThread::get(s).time;
  const auto caller = std::this_thread::get_id();
  double start = stream.end;
  // Whoever uses another thread's stream or event has been told of it by that thread.
  const auto follow = [&](std::thread::id other, double called) {
    if (other != std::thread::id() && other != caller) now = std::max(now, called + speeds_.hand_over);
  };
  const auto wait = [&](const OperationRef& before) {
    follow(before->caller, before->called);
    start = std::max(start, before->end);
  };
  follow(stream.caller, stream.called);
  std::ranges::for_each(operation.work.after, wait);
  if (operation.work.gate) std::ranges::for_each(operation.work.gate->after, wait);

  now += host_cost(operation.work);
  operation.caller = stream.caller = caller;
  operation.called = stream.called = now;
  operation.start = std::max(start, now);
  const bool works = works_on_device(operation.work.kind);
  operation.end = stream.end = works ? end_of(s, operation) : operation.start;
}

/// What the call takes that enqueues the work.
double VirtualClock::host_cost(const Work& work) const {
  if (work.replayed || work.kind == WorkKind::note) return 0;
  return work.kind == WorkKind::marker ? speeds_.event : speeds_.call;
}

double VirtualClock::end_of(const Simulation& s, const Operation& operation) {
  const Demand demand = demand_of(s, operation);
  if (demand.nothing) return operation.start;
  const double begin = operation.start + (operation.work.replayed ? speeds_.node : speeds_.launch);
  const double modelled =
      std::max(*demand.bytes / speeds_.memory, demand.operations / peak(speeds_, demand.unit));
  const double slowness = s.devices[static_cast<std::size_t>(operation.device)].slowness;
  double end = begin + demand.measured.value_or(modelled) * slowness;
  for (const Transfer& transfer : demand.transfers) end = std::max(end, arrival(s, transfer, begin));
  return end;
}

double VirtualClock::arrival(const Simulation& s, const Transfer& transfer, double begin) {
  const auto [from, to, bytes] = transfer;
  const bool by_link = from != Transfer::host && to != Transfer::host && speeds_.link > 0;
  std::vector<Port>& ports = by_link ? links_ : buses_;
  double rate = by_link ? speeds_.link : speeds_.bus;
  if (const auto slow = s.faults.slow_links.find({from, to}); slow != s.faults.slow_links.end())
    rate = std::min(rate, slow->second);
  double end = begin;
  if (from != Transfer::host)
    end = std::max(end, ports[static_cast<std::size_t>(from)].out.carry(begin, bytes / rate));
  if (to != Transfer::host)
    end = std::max(end, ports[static_cast<std::size_t>(to)].in.carry(begin, bytes / rate));
  return end + (by_link ? speeds_.link_latency : speeds_.bus_latency);
}

bool VirtualClock::has_passed(const Simulation& s, const Operation& operation) const {
  double& now = HostThread::get(s).time;
  now += speeds_.event;
  return operation.end <= now;
}

void VirtualClock::wait_for(const Simulation& s, const Operation& operation) const {
  double& now = HostThread::get(s).time;
  now = std::max(now, operation.end);
}

void start_clock(const Speeds& speeds, const ClockOptions& options) {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  s.clock = std::make_unique<VirtualClock>(speeds, options, s.devices.size());
  ++s.clock_number;
  for (const auto& stream : s.all_streams) {
    stream->called = stream->end = 0;
    if (stream->last) stream->last->called = stream->last->end = 0;
  }
  for (const auto& [handle, event] : s.events)
    if (event->record) event->record->called = event->record->end = 0;
  for (const auto& [handle, exec] : s.graph_execs)
    if (exec->last()) exec->last()->called = exec->last()->end = 0;
}

double host_time() {
  Simulation& s = simulation();
  const Lock lock(s.mutex);
  return s.clock ? HostThread::get(s).time : 0;
}

}  // namespace miniparallel::simulator
