#pragma once

#include "engine/cuda/copies.h"

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

namespace miniparallel::cuda {

/// Whether GPUs reach each other's memory directly. Each ordered pair is set up when it is first asked for:
/// access is enabled and tried with real data, by a copy and by a kernel that reads, since some machines
/// (IOMMU or PCIe ACS in the way) say that it works and deliver other bytes.
///
/// The environment variable MINIPARALLEL_PEER_COPIES decides instead: `direct` trusts what CUDA does,
/// `staged` sends all copies between GPUs through host memory.
class Peers {
 public:
  Peers(Gpus& gpus, Memory& memory, Copies& copies);

  /// Whether kernels of `device` may read and write memory of `peer`. The first failure is
  /// logged as a warning.
  bool reach(int device, int peer) { return link_of(device, peer) == Link::access; }
  /// Whether CUDA copies from `device` to `peer`: also where `direct` is forced and there is no access.
  bool copy_directly(int device, int peer) { return link_of(device, peer) != Link::staged; }

 private:
  enum class Link : char { unknown, access, copies, staged };
  Link link_of(int device, int peer);
  /// Why the link cannot be used; "" when it can.
  std::string set_up(int device, int peer);
  std::string try_out(int device, int peer);

  Gpus& gpus_;
  Memory& memory_;
  Copies& copies_;
  bool trusts_ = false, stages_ = false;  // forced
  std::vector<std::atomic<Link>> links_;  // by device and peer
  std::mutex mutex_;                      // one pair is set up at a time
  std::atomic<bool> warned_ = false;
};

}  // namespace miniparallel::cuda
