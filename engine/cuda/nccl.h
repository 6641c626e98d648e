#pragma once

#include "engine/device/collectives.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace miniparallel::cuda {

/// NCCL's communicators, one for each list of GPUs, made when it is first asked for, which takes a
/// second on some machines.
class Nccl {
 public:
  Nccl() = default;
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  /// Why NCCL cannot be used; "" when it can.
  static std::string unavailable();
  /// The communicator of these GPUs, no two of which are the same. One that has failed is made anew.
  std::shared_ptr<Collectives> on(const std::vector<int>& devices);

 private:
  class Communicator;
  std::mutex mutex_;  // guards what follows, and orders calls: all GPUs get them in one order
  std::map<std::vector<int>, std::shared_ptr<Communicator>> communicators_;
};

}  // namespace miniparallel::cuda
