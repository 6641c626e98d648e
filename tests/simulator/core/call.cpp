#include "core/call.h"

#include <cuda_runtime_api.h>

namespace miniparallel::simulator {

HostThread& HostThread::get() {
  thread_local HostThread thread;
  return thread;
}

HostThread& HostThread::get(const Simulation& s) {
  HostThread& thread = get();
  if (thread.generation != s.generation) {
    const bool in_operation = thread.in_operation;
    thread = HostThread{};
    thread.generation = s.generation;
    thread.in_operation = in_operation;
  }
  if (thread.clock_number != s.clock_number) {
    thread.clock_number = s.clock_number;
    thread.time = 0;
  }
  return thread;
}

cudaError_t note(Simulation& s, const char* name, cudaError_t error) {
  if (error == cudaSuccess || error == cudaErrorNotReady) return error;
  HostThread& thread = HostThread::get(s);
  thread.last_error = error;
  thread.failed_call = name;
  thread.complained = false;
  return error;
}

void complain_about_unread_error(Simulation& s, const char* before) {
  HostThread& thread = HostThread::get(s);
  if (thread.last_error == cudaSuccess || thread.complained || thread.last_error == s.sticky) return;
  thread.complained = true;
  report(Finding::unchecked_error,
         std::string(thread.failed_call) + " failed with " + cudaGetErrorName(thread.last_error) +
             " on device " + std::to_string(thread.device) + " and nobody read the error before " + before +
             "; check what the call returns and clear the error with cudaGetLastError()");
}

}  // namespace miniparallel::simulator
