#include "kernels/cpu/cpu_cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <locale>
#include <sstream>
#include <string>
#include <vector>

namespace miniparallel::kernels::cpu {
namespace {

/// The first numbers in a file; fewer where it ends or holds no number, such as "max".
std::vector<double> read_numbers(const std::filesystem::path& file) {
  std::ifstream stream(file);
  stream.imbue(std::locale::classic());
  return {std::istream_iterator<double>(stream), {}};
}

/// Cores of a quota of time in each period, where it is one: version 1 has -1, version 2 "max" for none.
std::optional<double> cores_of(const std::vector<double>& quota_and_period) {
  if (quota_and_period.size() < 2 || quota_and_period[0] <= 0 || quota_and_period[1] <= 0)
    return std::nullopt;
  return quota_and_period[0] / quota_and_period[1];
}

std::optional<double> limit_of_version_1(const std::filesystem::path& folder) {
  auto numbers = read_numbers(folder / "cpu.cfs_quota_us");
  const auto period = read_numbers(folder / "cpu.cfs_period_us");
  numbers.insert(numbers.end(), period.begin(), period.end());
  return cores_of(numbers);
}

std::optional<double> limit_of_version_2(const std::filesystem::path& folder) {
  return cores_of(read_numbers(folder / "cpu.max"));
}

/// The least limit of the groups from `path` below `mount` up to `mount`; a limit may stand at any level.
std::optional<double> least_limit(const std::filesystem::path& mount, const std::string& path,
                                  std::optional<double> (*limit)(const std::filesystem::path&)) {
  std::optional<double> least;
  for (auto folder = mount / path;; folder = folder.parent_path()) {
    const auto cores = limit(folder);
    if (cores) least = std::min(least.value_or(*cores), *cores);
    if (folder == mount || folder == folder.root_path()) return least;
  }
}

/// Whether "cpu" is in a list such as "cpu,cpuacct".
bool names_cpu(const std::string& controllers) {
  return (',' + controllers + ',').find(",cpu,") != std::string::npos;
}

}  // namespace

std::optional<double> control_group_cores(const std::filesystem::path& mount, const std::string& membership) {
  // Lines are "number:controllers:/path". Version 2 is the line without controllers; version 1 mounts each
  // list of controllers in a separate folder.
  std::istringstream lines(membership);
  std::optional<double> least;
  for (std::string line; std::getline(lines, line);) {
    const auto first = line.find(':'), second = line.find(":/", first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1),
                      path = line.substr(second + 2);
    std::optional<double> cores;
    if (controllers.empty()) cores = least_limit(mount, path, limit_of_version_2);
    if (names_cpu(controllers)) cores = least_limit(mount / "cpu", path, limit_of_version_1);
    if (cores) least = std::min(least.value_or(*cores), *cores);
  }
  return least;
}

int usable_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  const int cores = known ? CPU_COUNT(&allowed) : 1;

  std::ifstream file("/proc/self/cgroup");
  const std::string membership{std::istreambuf_iterator<char>(file), {}};
  const auto limit = control_group_cores("/sys/fs/cgroup", membership);
  return limit ? std::clamp(static_cast<int>(std::floor(*limit)), 1, cores) : cores;
}

}  // namespace miniparallel::kernels::cpu
