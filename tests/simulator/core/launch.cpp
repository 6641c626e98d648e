// Kernel launches: CUDA's checks of the configuration, then a place in the stream.

#include "miniparallel/simulator/launch.h"

#include "core/block.h"
#include "core/call.h"
#include "core/capture.h"
#include "core/checker.h"
#include "core/device_model.h"
#include "core/launch_counts.h"
#include "core/memory.h"
#include "core/symbol.h"
#include "core/virtual_clock.h"

#include <set>
#include <utility>
#include <vector>

namespace miniparallel::simulator {
namespace {

bool is_valid(const dim3& grid, const dim3& block) {
  const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
  return grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu && grid.y <= 65535 &&
         grid.z <= 65535 && threads > 0 && threads <= 1024 && block.x <= 1024 && block.y <= 1024 &&
         block.z <= 64;
}

/// Past 48 KiB a kernel must ask with cudaFuncSetAttribute, as on a GPU.
bool fits_shared(const Simulation& s, const KernelLaunch& launch, int device) {
  const auto asked = s.dynamic_shared_limit.find(launch.function);
  const std::size_t limit = asked == s.dynamic_shared_limit.end() ? shared_bytes_per_block
                                                                  : static_cast<std::size_t>(asked->second);
  return launch.shared_bytes <= limit && launch.shared_bytes <= opt_in_shared_bytes(s, device);
}

/// The bytes that reach a kernel of the device changed.
std::set<char*> damaged_bytes(Simulation& s, const KernelLaunch& launch, int device) {
  const Lock lock(s.mutex);
  std::set<char*> bytes;
  if (s.faults.corrupt_reads.empty()) return bytes;
  for (const void* const pointer : pointers_of(s, launch))
    if (s.faults.corrupt_reads.contains({place_of(s, pointer).device, device}))
      bytes.insert(static_cast<char*>(const_cast<void*>(pointer)));
  return bytes;
}

/// Changes bytes while it lives, except for those that are written meanwhile.
class Damage {
 public:
  explicit Damage(const std::set<char*>& bytes) {
    for (char* const byte : bytes) {
      right_.emplace_back(byte, *byte);
      *byte = damaged(*byte);
    }
  }
  ~Damage() {
    for (const auto& [byte, right] : right_)
      if (*byte == damaged(right)) *byte = right;
  }
  Damage(const Damage&) = delete;
  Damage& operator=(const Damage&) = delete;

 private:
  static char damaged(char byte) { return static_cast<char>(byte ^ 0x5a); }
  std::vector<std::pair<char*, char>> right_;
};

cudaError_t run(const KernelLaunch& launch) {
  Checker* const check = checker();
  if (check != nullptr && !launch.instrumented) {
    report(Finding::instrumentation,
           "kernel " + symbol_name(launch.function) +
               " was compiled without -fsanitize=thread, so that it cannot be watched; make it CHECKED in "
               "target_simulated_kernels, or leave MINIPARALLEL_SIMULATED_CHECK out");
    return cudaErrorLaunchFailure;
  }
  Block block(launch, executing_operation(), check);
  return block.run_grid() ? cudaSuccess : block.error();
}

}  // namespace

cudaError_t launch_kernel(KernelLaunch launch) {
  return call("a kernel launch", [&](Simulation& s, Lock&) -> cudaError_t {
    const std::string name = s.settings.checking ? symbol_name(launch.function) : std::string();
    complain_about_unread_error(s, "a kernel launch");
    const auto stream = resolve(s, launch.stream);
    if (!stream) return cudaErrorInvalidResourceHandle;
    const int device = stream->device;
    if (device != current_device(s)) {
      report(Finding::wrong_stream, "kernel " + symbol_name(launch.function) +
                                        " is launched on a stream of device " + std::to_string(device) +
                                        " while device " + std::to_string(current_device(s)) + " is current");
      return cudaErrorInvalidResourceHandle;
    }
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (!s.settings.kernel_image) return cudaErrorNoKernelImageForDevice;
    if (!is_valid(launch.grid, launch.block)) return cudaErrorInvalidConfiguration;
    if (!fits_shared(s, launch, device)) return cudaErrorInvalidValue;
    Work work;
    work.name = name;
    work.kind = WorkKind::kernel;
    work.run = [&s, launch, device] {
      const Damage damage(damaged_bytes(s, launch, device));
      return run(launch);
    };
    work.kernel = launch.function;
    if (s.clock || stream->capture) work.demand = demand_of(s, launch);
    append(s, stream, std::move(work));
    ++s.devices[static_cast<std::size_t>(device)].counters.kernels;
    count_launch(launch.function);
    return cudaSuccess;
  });
}

}  // namespace miniparallel::simulator
