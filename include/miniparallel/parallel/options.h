#pragma once

#include <miniparallel/device.h>
#include <miniparallel/parallel/chunks.h>
#include <miniparallel/parallel/device_list.h>

#include <cstdint>
#include <optional>

namespace miniparallel {

/// What batch normalisation in training, of which each replica sees a part, does with its statistics. With
/// `merge` and `device0` each replica normalises its rows by their own.
enum class BatchNormPolicy {
  /// The running statistics are those that one device would have kept: counts, means and squared deviations
  /// of the replicas are merged.
  merge,
  /// The running statistics are those of replica 0, as PyTorch's DataParallel keeps them.
  device0,
  /// Every replica normalises by the statistics of the whole batch, so outputs, gradients and running
  /// statistics are those of one device, up to rounding. Replicas, each in a thread of its own, wait for each
  /// other at every layer, and must call the same ones in the same order. The layers of a replica cannot be
  /// differentiated inside its forward, and `Split::by_speed` cannot be used.
  sync,
};

/// How gradients of several GPUs come together in the first one's memory. It decides about time, not about a
/// single bit: all ways but `nccl` add in one order.
enum class GradientReduction {
  automatic,  ///< by size and links; or as the environment variable MINIPARALLEL_REDUCTION says
  direct,     ///< the first GPU reads the memory of the others
  sharded,    ///< each GPU sums its share of the elements and writes them to the first one's memory
  host,       ///< the other GPUs copy theirs to host memory, where the first one reads them
  nccl,       ///< NCCL, in its own order: bits depend on the number of GPUs; `Error` without libnccl.so.2
};

/// How replicas send gradients to their master, and who steps its parameters.
struct ReductionOptions {
  GradientReduction path = GradientReduction::automatic;
  std::int64_t bucket_bytes = std::int64_t{25} << 20;  ///< see `DataParallelOptions`
  bool shard_optimizer = false;                        ///< see `DataParallelOptions`
};

struct DataParallelOptions {
  DeviceList devices = {};  ///< the first one holds the master
  /// Where outputs arrive; the first of `devices` when not given. Without a GPU, where `devices`
  /// names none, the CPU.
  std::optional<Device> output_device = {};
  int dim = 0;  ///< the dimension of the batch; negative counts from the end
  Split split = Split::balanced;
  int replicas = 0;           ///< placed on the devices in equal runs; 0: one for each device
  std::int64_t min_rows = 1;  ///< of a chunk; fewer replicas run where the batch is too small
  BatchNormPolicy batch_norm = BatchNormPolicy::merge;
  GradientReduction reduction = GradientReduction::automatic;
  /// Of gradients that are summed together, as soon as the backward has computed them. The first ones,
  /// of the model's last parameters, are a MiB at most in a model of more than 4. Values are sent, and shards
  /// of an optimizer cut, by the same buckets.
  std::int64_t bucket_bytes = ReductionOptions().bucket_bytes;
  /// Optimizers of the model's parameters divide their work and their memory among the devices: each steps an
  /// equal share of the elements and keeps the state of these alone. It changes no bit, and no checkpoint.
  bool shard_optimizer = false;
  bool require_gpu = false;  ///< an `Error`, which says why, where there is no GPU
  bool hints = true;         ///< a line in the log, once each, where hardware is wasted or a number misleads
};

}  // namespace miniparallel
