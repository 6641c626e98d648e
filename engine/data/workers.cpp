#include <miniparallel/data/workers.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/data/cpu_limit.h"
#include "engine/error.h"

namespace miniparallel {
namespace data {
namespace {

/// Cores of "max 100000" or "150000 100000": time per period.
std::optional<double> read_cpu_max(const std::filesystem::path& file) {
  std::ifstream stream(file);
  double quota = 0, period = 0;
  if (!(stream >> quota >> period) || quota <= 0 || period <= 0) return std::nullopt;  // "max" is no number
  return quota / period;
}

}  // namespace

std::optional<double> control_group_cores(const std::filesystem::path& mount, const std::string& membership) {
  // Version 2 has the one line "0::/path"; a limit may stand at any level above the process.
  const auto at = membership.find("0::/");
  if (at == std::string::npos) return std::nullopt;
  const auto path = membership.substr(at + 4, membership.find('\n', at) - at - 4);
  std::optional<double> least;
  for (auto folder = mount / path;; folder = folder.parent_path()) {
    const auto cores = read_cpu_max(folder / "cpu.max");
    if (cores) least = std::min(least.value_or(*cores), *cores);
    if (folder == mount || folder == folder.root_path()) return least;
  }
}

}  // namespace data

int usable_cpu_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
  const int cores = known ? CPU_COUNT(&allowed) : 1;

  std::ifstream file("/proc/self/cgroup");
  const std::string membership{std::istreambuf_iterator<char>(file), {}};
  const auto limit = data::control_group_cores("/sys/fs/cgroup", membership);
  return limit ? std::clamp(static_cast<int>(std::floor(*limit)), 1, cores) : cores;
}

int recommended_num_workers(std::optional<int> cpu_cores, std::optional<int> gpus) {
  check(!cpu_cores || *cpu_cores > 0, "recommended_num_workers: ", cpu_cores.value_or(0), " CPU cores");
  check(!gpus || *gpus >= 0, "recommended_num_workers: ", gpus.value_or(0), " GPUs");
  const int devices = gpus.value_or(0);
  if (devices == 0) return 1;
  return std::max(1, cpu_cores.value_or(usable_cpu_cores()) / devices);
}

}  // namespace miniparallel
