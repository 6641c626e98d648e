#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace miniparallel::data {

/// CPU cores that the control group of version 2 under `mount` allows the process whose /proc/self/cgroup
/// holds `membership`; nothing where it sets no limit.
std::optional<double> control_group_cores(const std::filesystem::path& mount, const std::string& membership);

}  // namespace miniparallel::data
