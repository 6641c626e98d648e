#include <miniparallel/data/workers.h>

#include <miniparallel/cuda.h>
#include <miniparallel/threads.h>

#include "engine/error.h"

#include <algorithm>

namespace miniparallel {

int recommended_num_workers(std::optional<int> cpu_cores, std::optional<int> gpus) {
  check(!cpu_cores || *cpu_cores > 0, "recommended_num_workers: ", cpu_cores.value_or(0),
        " CPU cores; it must be at least 1");
  check(!gpus || *gpus >= 0, "recommended_num_workers: ", gpus.value_or(0), " GPUs; it must be at least 0");
  const int devices = gpus ? *gpus : cuda_device_count();
  if (devices == 0) return 1;
  return std::max(1, cpu_cores.value_or(usable_cpu_cores()) / devices);
}

}  // namespace miniparallel
