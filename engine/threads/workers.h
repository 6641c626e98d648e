#pragma once

#include "engine/device/accelerator.h"

#include <functional>

namespace miniparallel {

/// Runs `job` on the permanent thread of the GPU `device` of `owner`, after the jobs posted before, and
/// returns at once. The thread starts with the first job; the device is current there, and CPU kernels run
/// serially. After a job it looks for the next one for some microseconds before it sleeps (`spin_until`). `job`
/// must not throw.
void post(Accelerator& owner, int device, std::function<void()> job);

/// Whether the calling thread is one of these.
bool on_worker();

/// Ends the threads once their jobs are done; a later `post`
/// starts new ones. Happens by itself when the process ends.
void stop_workers();

}  // namespace miniparallel
