#pragma once

#include "engine/autograd/node.h"

namespace miniparallel::parallel {

/// The node between a replica's parameter and the master's: its output is the parameter on the replica's
/// device, its input the master's leaf. It is made once and is part of every graph that the replica records.
class ReplicaEdge final : public autograd::Node {
 public:
  ReplicaEdge(const Tensor& master, Device device) : Node("replicate", 1), to_(master.device()) {
    set_next({autograd::edge_of(master)});
    set_device(device);
  }
  void run(autograd::Backward& backward) override { backward.set(0, backward.take_grad().to(to_)); }

 private:
  Device to_;
};

}  // namespace miniparallel::parallel
