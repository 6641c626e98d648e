#pragma once

#include <miniparallel/threads.h>

#include <optional>

namespace miniparallel {

/// Threads that a DataLoader should have: the CPU cores over the GPUs that they feed, at least 1. By default
/// the cores that this process may use (its affinity and its control group's limit) and the GPUs of this
/// machine. Without a GPU the cores compute the training step themselves, so one is enough. Throws `Error`
/// for no cores or a negative number of GPUs.
int recommended_num_workers(std::optional<int> cpu_cores = {}, std::optional<int> gpus = {});

}  // namespace miniparallel
