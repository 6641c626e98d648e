#pragma once

#include "engine/device/accelerator.h"
#include "kernels/cpu/parallel.h"

#include <functional>

namespace miniparallel {

/// Runs `job` on the permanent thread of the GPU `device` of `owner`, after the jobs posted before, and
/// returns at once. The thread starts with the first job; the device is current there, and CPU kernels run
/// serially. After a job it looks for the next one for some microseconds before it sleeps (`spin_until`).
/// `job` must not throw.
void post(Accelerator& owner, int device, std::function<void()> job);

/// Whether the calling thread is one of these.
bool on_worker();

/// While it lives, the calling thread counts as one of these: of a GPU of `owner`, or of the CPU with null.
/// For threads of one job, whose starter waits for them.
class WorkerScope {
 public:
  WorkerScope(Accelerator* owner, int device);
  ~WorkerScope();
  WorkerScope(const WorkerScope&) = delete;
  WorkerScope& operator=(const WorkerScope&) = delete;

 private:
  kernels::cpu::SerialScope serial_;
};

/// Ends the threads once their jobs are done; a later `post`
/// starts new ones. Happens by itself when the process ends.
void stop_workers();

}  // namespace miniparallel
