#include "engine/device/backend.h"

#include "engine/device/accelerator.h"
#include "engine/profiler/launch_count.h"
#include "engine/profiler/span.h"
#include "engine/profiler/traced_backend.h"

namespace miniparallel {

const kernels::Backend& backend(Device device) {
  profiler::count_launch(device);
  const kernels::Backend& plain = device.is_cpu() ? kernels::cpu_backend() : accelerator(device).backend();
  return profiler::recording() ? profiler::traced_backend(plain, device.is_cpu()) : plain;
}

}  // namespace miniparallel
