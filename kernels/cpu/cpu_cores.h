#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace miniparallel::kernels::cpu {

/// CPU cores that the control groups under `mount`, of version 1 or 2, allow the process whose
/// /proc/self/cgroup holds `membership`; nothing where they set no limit.
std::optional<double> control_group_cores(const std::filesystem::path& mount, const std::string& membership);

/// CPU cores that the process may use: those of its affinity, no more than its control groups allow.
int usable_cores();

}  // namespace miniparallel::kernels::cpu
