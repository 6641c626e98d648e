#include "engine/device/accelerator.h"
#include "engine/error.h"
#include "parallel/devices.h"
#include "parallel/reduce.h"
#include "parallel/reduce_paths.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <utility>

namespace miniparallel::parallel {
namespace {

constexpr const char* kVariable = "MINIPARALLEL_REDUCTION";
constexpr std::array<std::pair<std::string_view, GradientReduction>, 5> kNames{
    {{"automatic", GradientReduction::automatic},
     {"direct", GradientReduction::direct},
     {"sharded", GradientReduction::sharded},
     {"host", GradientReduction::host},
     {"nccl", GradientReduction::nccl}}};

std::string_view name_of(GradientReduction reduction) {
  return std::ranges::find(kNames, reduction, &decltype(kNames)::value_type::second)->first;
}

GradientReduction from_environment() {
  const char* const text = std::getenv(kVariable);
  if (text == nullptr || *text == '\0') return GradientReduction::automatic;
  const auto* const found =
      std::ranges::find(kNames, std::string_view(text), &decltype(kNames)::value_type::first);
  check(found != kNames.end(), kVariable, " is '", text,
        "'; it may be automatic, direct, sharded, host or nccl");
  return found->second;
}

}  // namespace

GradientReduction choose_reduction(const std::vector<Device>& devices, GradientReduction wanted) {
  const GradientReduction chosen = wanted == GradientReduction::automatic ? from_environment() : wanted;
  const bool needs_links = chosen == GradientReduction::direct || chosen == GradientReduction::sharded;
  const std::vector<Device> once = each_once(devices);
  for (std::size_t i = 0; needs_links && i < once.size(); ++i)
    for (std::size_t j = 0; j < (chosen == GradientReduction::direct ? std::min<std::size_t>(i, 1) : i); ++j)
      check(reach_each_other(once[j], once[i]), "DataParallel: the reduction '", name_of(chosen),
            "' needs memory that ", once[j], " and ", once[i],
            " do not read of each other; take automatic, or host");
  if (chosen == GradientReduction::nccl && once.size() > 1) {
    std::vector<int> indices;
    for (const Device device : once) indices.push_back(device.index);
    try {
      (void)accelerator(once[0]).collectives(indices);
    } catch (Error& error) {
      error.add_note("DataParallel takes another .reduction, such as automatic");
      throw;
    }
  }
  return chosen;
}

std::string describe_reduction(const std::vector<Device>& devices, GradientReduction chosen, bool in_shards) {
  if (in_shards && chosen != GradientReduction::nccl) {
    const char* const of_shares = "each GPU those of its share";
    if (chosen == GradientReduction::host) return message(of_shares, ", through host memory");
    if (all_reach_each_other(devices)) return of_shares;
    return message(of_shares, ", through host memory where there is no link");
  }
  if (chosen != GradientReduction::automatic) return std::string(name_of(chosen));
  const auto reached = static_cast<std::size_t>(
      std::ranges::count_if(devices, [&](Device device) { return reach_each_other(devices[0], device); }));
  if (reached == 1) return "host";
  if (reached < devices.size()) return message("direct, host where ", devices[0], " has no link");
  if (devices.size() < 3 || !all_reach_each_other(devices)) return "direct";
  return message("direct, sharded from ", kShardedBytes >> 20, " MiB on");
}

}  // namespace miniparallel::parallel
