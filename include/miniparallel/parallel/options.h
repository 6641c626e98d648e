#pragma once

#include <miniparallel/device.h>
#include <miniparallel/parallel/chunks.h>
#include <miniparallel/parallel/device_list.h>

#include <cstdint>
#include <optional>

namespace miniparallel {

/// The fate of the running statistics of batch normalisation, of which each replica sees a part.
enum class BatchNormPolicy {
  merge,    ///< as one device would have seen them: counts, means and squared deviations are merged
  device0,  ///< those of replica 0, as PyTorch's DataParallel keeps them
};

struct DataParallelOptions {
  DeviceList devices = {};                   ///< the first one holds the master
  std::optional<Device> output_device = {};  ///< where outputs arrive; the first of `devices` when not given
  int dim = 0;                               ///< the dimension of the batch; negative counts from the end
  Split split = Split::balanced;
  int replicas = 0;           ///< placed on the devices in equal runs; 0: one for each device
  std::int64_t min_rows = 1;  ///< of a chunk; fewer replicas run where the batch is too small
  BatchNormPolicy batch_norm = BatchNormPolicy::merge;
  bool require_gpu = false;  ///< an `Error`, which says why, where there is no GPU
  bool hints = true;         ///< a line in the log, once each, where hardware is wasted or a number misleads
};

}  // namespace miniparallel
