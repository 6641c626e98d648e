#pragma once

namespace miniparallel {

/// Threads that one CPU operation may use; at the start `OMP_NUM_THREADS`, else `usable_cpu_cores()`. In a
/// child of fork() it is 1 once the parent has computed with more: threads are not copied.
int num_threads();

/// Sets `num_threads` for the whole process, the BLAS included. Throws `Error` when `count` is below 1.
void set_num_threads(int count);

/// CPU cores that this process may use: those of its affinity, no more than its control group's CPU limit.
int usable_cpu_cores();

}  // namespace miniparallel
