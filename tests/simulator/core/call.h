#pragma once
// What every CUDA function has in common: the lock, the sticky error, the thread's last error.

#include "core/simulation.h"

#include <utility>

namespace miniparallel::simulator {

/// What CUDA keeps per host thread.
struct HostThread {
  std::uint64_t generation = 0;  ///< the reset that this state belongs to
  int device = 0;
  cudaError_t last_error = cudaSuccess;
  const char* failed_call = "";
  bool complained = false;  ///< the unread error was reported
  bool in_operation = false;
  cudaStreamCaptureMode capture_mode = cudaStreamCaptureModeGlobal;
  double time = 0;                 ///< by the virtual clock
  std::uint64_t clock_number = 0;  ///< the start of the clock that it belongs to

  /// The calling thread's, renewed after a reset.
  static HostThread& get();
  static HostThread& get(const Simulation&);
};

/// Notes the error of a call as the thread's last one and returns it.
cudaError_t note(Simulation&, const char* name, cudaError_t error);

/// Reports a last error that nobody has read before new work is started or waited for.
void complain_about_unread_error(Simulation&, const char* before);

/// Why there is no GPU: no driver or one too old, no device; else cudaSuccess.
inline cudaError_t no_gpu(const Machine& machine) {
  if (machine.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  return machine.gpus.empty() ? cudaErrorNoDevice : cudaSuccess;
}

/// Runs the body of a CUDA function: body(simulation, lock) returns its error.
template <typename Body>
cudaError_t call(const char* name, Body&& body) {
  Simulation& s = simulation();
  Lock lock(s.mutex);
  HostThread& thread = HostThread::get(s);
  if (thread.in_operation) return cudaErrorNotPermitted;  // a host function must not call CUDA
  if (const cudaError_t missing = no_gpu(s.settings); missing != cudaSuccess) return note(s, name, missing);
  if (s.sticky != cudaSuccess) return note(s, name, s.sticky);
  if (const cudaError_t injected = strike(s.faults.calls, name); injected != cudaSuccess)
    return note(s, name, injected);
  return note(s, name, std::forward<Body>(body)(s, lock));
}

inline int current_device(const Simulation& s) { return HostThread::get(s).device; }

}  // namespace miniparallel::simulator
