#include "core/host_guard.h"

#include "core/call.h"

#include <signal.h>

namespace miniparallel::simulator {
namespace {

struct sigaction previous;

void on_fault(int signal, siginfo_t* info, void* context) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (is_device_memory(address)) {
    report_host_access(address);
    simulation().arenas.yield_page(address);
    return;
  }
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    sigaction(signal, &previous, nullptr);  // the access faults again and ends the program
  }
}

}  // namespace

void install_host_guard() {
  struct sigaction now{};
  sigaction(SIGSEGV, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_fault) return;
  previous = now;
  struct sigaction action{};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGSEGV, &action, nullptr);
}

void report_host_access(std::uintptr_t address) {
  Simulation& s = simulation();
  std::string place;
  {
    // The fault may lie inside a CUDA function that was given
    // a bad host pointer: then the lock is held already.
    const Lock lock(s.mutex, std::try_to_lock);
    place = describe_address(s, address);
  }
  report(Finding::host_access,
         (HostThread::get().in_operation ? "a host function touches " : "host code touches ") + place +
             "; copy it with cudaMemcpy");
}

}  // namespace miniparallel::simulator
