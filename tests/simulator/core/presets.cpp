// Machines by their datasheets. Peaks are those of dense matrices at boost clock; rates of links and buses
// are halves of the sums over both directions that the sheets give. Latencies and the host's times are the
// defaults of `Speeds`.

#include <miniparallel/error.h>

#include "miniparallel/simulator_clock.h"

#include <array>
#include <string_view>

namespace miniparallel::simulator {
namespace {

constexpr double giga = 1e9, tera = 1e12;

struct Sheet {
  std::string_view name;
  int count;
  Peers peers;
  Gpu gpu;
  Speeds speeds;
};

Gpu gpu(const char* name, std::size_t gibibytes, int compute_capability, int multiprocessors) {
  return {.memory = gibibytes << 30,
          .compute_capability = compute_capability,
          .multiprocessors = multiprocessors,
          .name = name};
}

const std::array<Sheet, 4>& sheets() {
  static const std::array<Sheet, 4> all{{
      // "NVIDIA H100 Tensor Core GPU" datasheet, SXM: NVLink 900 GB/s, PCIe 5.0 128 GB/s.
      {"h100",
       8,
       Peers::all,
       gpu("NVIDIA H100 80GB HBM3", 80, 90, 132),
       {.memory = 3.35 * tera,
        .float32 = 67 * tera,
        .tf32 = 494.7 * tera,
        .half = 989.4 * tera,
        .float64 = 34 * tera,
        .link = 450 * giga,
        .bus = 64 * giga}},
      // "NVIDIA A100 Tensor Core GPU" datasheet, 80 GB SXM: NVLink 600 GB/s, PCIe 4.0 64 GB/s.
      {"a100",
       8,
       Peers::all,
       gpu("NVIDIA A100-SXM4-80GB", 80, 80, 108),
       {.memory = 2.039 * tera,
        .float32 = 19.5 * tera,
        .tf32 = 156 * tera,
        .half = 312 * tera,
        .float64 = 9.7 * tera,
        .link = 300 * giga,
        .bus = 32 * giga}},
      // "NVIDIA Ada GPU Architecture" whitepaper, appendix A: no NVLink; the driver gives these cards no peer
      // access. PCIe 4.0 x16.
      {"rtx4090",
       4,
       Peers::none,
       gpu("NVIDIA GeForce RTX 4090", 24, 89, 128),
       {.memory = 1.008 * tera,
        .float32 = 82.6 * tera,
        .tf32 = 82.6 * tera,
        .half = 165.2 * tera,
        .float64 = 1.29 * tera,
        .bus = 32 * giga}},
      // "NVIDIA T4 Tensor Core GPU" datasheet: PCIe 3.0 x16, 32 GB/s, by which the cards also reach each
      // other; no TF32. Double precision is a 32nd of single.
      {"t4",
       2,
       Peers::all,
       gpu("Tesla T4", 16, 75, 40),
       {.memory = 0.32 * tera,
        .float32 = 8.1 * tera,
        .tf32 = 8.1 * tera,
        .half = 65 * tera,
        .float64 = 8.1 / 32 * tera,
        .bus = 16 * giga}},
  }};
  return all;
}

}  // namespace

Preset preset(const std::string& name) {
  std::string names;
  for (const Sheet& sheet : sheets()) {
    if (sheet.name == name) {
      Machine machine;
      machine.gpus.assign(static_cast<std::size_t>(sheet.count), sheet.gpu);
      machine.peers = sheet.peers;
      return {machine, sheet.speeds};
    }
    names += (names.empty() ? "" : ", ") + std::string(sheet.name);
  }
  throw Error("preset: no machine is called '" + name + "'; name one of " + names);
}

}  // namespace miniparallel::simulator
