// The machine that the environment describes.

#include "miniparallel/simulator.h"

#include <cstdlib>
#include <string>

namespace miniparallel::simulator {
namespace {

bool checking_by_default = false;

const char* variable(const char* name) { return std::getenv(name); }

/// How many devices of `count` CUDA_VISIBLE_DEVICES leaves:
/// as in CUDA, the list ends at its first invalid entry.
int visible(int count) {
  const char* const list = variable("CUDA_VISIBLE_DEVICES");
  if (list == nullptr) return count;
  int seen = 0;
  for (const char* at = list; *at != '\0' && seen < count;) {
    char* end = nullptr;
    const long id = std::strtol(at, &end, 10);
    if (end == at || id < 0 || id >= count) break;
    ++seen;
    if (*end != ',') break;
    at = end + 1;
  }
  return seen;
}

}  // namespace

void check_by_default() { checking_by_default = true; }

Machine machine_with(int count) {
  Machine machine;
  machine.checking = checking_by_default;
  if (const char* const check = variable("MINIPARALLEL_SIMULATED_CHECK"))
    machine.checking = std::string(check) != "0";
  machine.gpus.assign(static_cast<std::size_t>(count), Gpu{});
  if (const char* const streams = variable("MINIPARALLEL_SIMULATED_STREAMS")) {
    machine.streams = std::string(streams) == "threaded" ? Streams::threaded : Streams::lazy;
  }
  if (const char* const seed = variable("MINIPARALLEL_SIMULATED_SEED"))
    machine.seed = std::strtoull(seed, nullptr, 10);
  if (const char* const lose = variable("MINIPARALLEL_SIMULATED_LOSE")) {
    char* colon = nullptr;
    const std::size_t gpu = std::strtoul(lose, &colon, 10);
    if (*colon == ':' && gpu < machine.gpus.size())
      machine.gpus[gpu].lost_after = std::strtoll(colon + 1, nullptr, 10);
  }
  return machine;
}

Machine machine_from_environment() {
  const char* const count = variable("MINIPARALLEL_SIMULATED_GPUS");
  return machine_with(visible(count == nullptr ? 1 : std::atoi(count)));
}

}  // namespace miniparallel::simulator
