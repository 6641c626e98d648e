// Runs one operation: checks what it touches, opens device memory to it, strikes it with its fault.

#include "core/call.h"
#include "core/checker.h"
#include "core/host_guard.h"
#include "core/symbol.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace miniparallel::simulator {
namespace {

/// Marks the thread as running queued work, where CUDA calls are not allowed.
class InOperation {
 public:
  InOperation() { HostThread::get().in_operation = true; }
  ~InOperation() { HostThread::get().in_operation = false; }
  InOperation(const InOperation&) = delete;
  InOperation& operator=(const InOperation&) = delete;
};

/// Lets the calling thread's operation touch device memory.
class OpenArenas {
 public:
  explicit OpenArenas(Arenas& arenas) : arenas_(arenas) {
    arenas_.open();
    in_device_work = true;
  }
  ~OpenArenas() {
    in_device_work = false;
    arenas_.close();
  }
  OpenArenas(const OpenArenas&) = delete;
  OpenArenas& operator=(const OpenArenas&) = delete;

 private:
  Arenas& arenas_;
};

thread_local const Operation* executing = nullptr;

cudaError_t run_work(Simulation& s, Operation& operation) {
  const Work& work = operation.work;
  if (!work.run) return cudaSuccess;
  if (!works_on_device(work.kind)) return work.run();
  std::unique_lock<std::mutex> one_at_a_time;
  if (Checker* const check = checker()) {
    one_at_a_time = std::unique_lock(check->mutex);
    check->begin_operation(operation);
  }
  const OpenArenas open(s.arenas);
  if (Checker* const check = checker()) {
    const auto all_good = [&](const std::vector<Access>& accesses) {
      return std::all_of(accesses.begin(), accesses.end(),
                         [&](const Access& access) { return check->check(access); });
    };
    if (!all_good(work.accesses) || (work.more_accesses && !all_good(work.more_accesses()))) {
      return cudaErrorIllegalAddress;
    }
  }
  return work.run();
}

}  // namespace

const Operation& executing_operation() { return *executing; }

std::string describe(const Operation& operation) {
  const Work& work = operation.work;
  return work.kernel == nullptr ? work.name : "kernel " + symbol_name(work.kernel);
}

cudaError_t execute(Simulation& s, Operation& operation) {
  if (operation.injected != cudaSuccess) return operation.injected;
  const InOperation in_operation;
  executing = &operation;
  const auto start = std::chrono::steady_clock::now();
  const cudaError_t error = run_work(s, operation);
  const double slowness = s.devices[static_cast<std::size_t>(operation.device)].slowness;
  if (slowness > 1 && s.settings.streams == Streams::threaded) {
    const auto took = std::chrono::steady_clock::now() - start + std::chrono::microseconds(20);
    std::this_thread::sleep_for((slowness - 1) * took);
  }
  return error;
}

}  // namespace miniparallel::simulator
