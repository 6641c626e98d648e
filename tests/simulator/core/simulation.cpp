#include "core/simulation.h"

#include "core/call.h"
#include "core/checker.h"
#include "core/host_guard.h"
#include "core/launch_counts.h"
#include "core/virtual_clock.h"

#include <cstdlib>
#include <functional>

namespace miniparallel::simulator {
namespace {

std::atomic<Simulation*> current{nullptr};
std::mutex reset_mutex;
std::uint64_t generations = 0;

std::vector<std::function<void()>>& reset_actions() {
  static auto& actions = *new std::vector<std::function<void()>>;
  return actions;
}

void replace(const Machine& machine) {
  {
    Simulation& old = *current;  // which work that still runs may ask for
    Lock lock(old.mutex);
    stop_workers(old, lock);
  }
  delete current.exchange(nullptr);
  current = new Simulation(machine, ++generations);
}

void finish() {
  Simulation& last = simulation();
  complain_about_unread_error(last, "the program's end");
  {
    const Lock lock(last.mutex);
    join_ended_workers(last);  // a thread that nobody joins is a leak to the thread sanitizer
  }
  write_launch_counts();
  exit_if_findings();
}

}  // namespace

Simulation::Simulation(const Machine& machine, std::uint64_t number)
    : settings(machine),
      generation(number),
      arenas(static_cast<int>(machine.gpus.size()), machine.checking),
      random(machine.seed * 2654435761u + 1) {
  devices.resize(machine.gpus.size());
  for (std::size_t i = 0; i < devices.size(); ++i) devices[i].gpu = machine.gpus[i];
  for (std::size_t i = 0; i < devices.size(); ++i) {
    devices[i].legacy = make_stream(*this, static_cast<int>(i), cudaStreamDefault, 0);
    devices[i].legacy->legacy = true;
  }
  if (const char* const name = std::getenv("MINIPARALLEL_SIMULATED_CLOCK"))
    clock = std::make_unique<VirtualClock>(preset(name).speeds, ClockOptions{}, devices.size());
  if (machine.checking) {
    start_checker(*this);
    install_host_guard();
  }
}

Simulation::~Simulation() { stop_checker(); }

Simulation& simulation() {
  if (Simulation* const s = current.load(std::memory_order_acquire)) return *s;
  const std::lock_guard lock(reset_mutex);
  if (current == nullptr) {
    std::atexit(finish);
    current = new Simulation(machine_from_environment(), ++generations);
  }
  return *current;
}

void reset(const Machine& machine) {
  complain_about_unread_error(simulation(), "the machine was reset");
  const std::lock_guard lock(reset_mutex);
  for (const auto& action : reset_actions()) action();
  replace(machine);
}

void on_reset(std::function<void()> action) {
  const std::lock_guard lock(reset_mutex);
  reset_actions().push_back(std::move(action));
}

const Machine& machine() { return simulation().settings; }

}  // namespace miniparallel::simulator
