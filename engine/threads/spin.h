#pragma once

#include "kernels/pause.h"

#include <chrono>

namespace miniparallel {

/// For how long a thread looks for what it waits for before it sleeps. To wake one takes 5 to 50 us.
inline constexpr std::chrono::microseconds kSpinTime{50};

/// The GPUs' threads say that they begin and end.
void count_workers(int change);
/// A forked child has none of its parent's.
void forget_workers();
/// Whether the process may use more cores than there are such threads.
bool leave_cores();

/// Asks ready() again and again until it is true or kSpinTime has passed, so that what comes soon finds a
/// thread awake. Returns at once where the workers leave no core for other threads. The caller must look
/// again, and sleep.
template <class Ready>
void spin_until(const Ready& ready) {
  if (ready() || !leave_cores()) return;
  for (const auto end = std::chrono::steady_clock::now() + kSpinTime; std::chrono::steady_clock::now() < end;)
    for (int i = 0; i < 16; ++i) {
      if (ready()) return;
      pause_core();
    }
}

}  // namespace miniparallel
