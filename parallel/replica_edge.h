#pragma once

#include "engine/autograd/node.h"
#include "parallel/reducer.h"

#include <memory>
#include <utility>

namespace miniparallel::parallel {

/// The node between a replica's parameter and the master's: its output is the parameter on the replica's
/// device, its input the master's leaf. It is made once and is part of every graph that the replica
/// records. A plain backward ends here, in the reducer; one that captures gradients or records sends
/// each on by itself.
class ReplicaEdge final : public autograd::Node {
 public:
  ReplicaEdge(const Tensor& master, Device device, std::shared_ptr<Reducer> reducer, std::size_t end)
      : Node("replicate", 1), to_(master.device()), reducer_(std::move(reducer)), end_(end) {
    set_next({autograd::edge_of(master)});
    set_device(device);
  }
  void run(autograd::Backward& backward) override { backward.set(0, backward.take_grad().to(to_)); }
  autograd::SinkEnd sink() const override { return {reducer_.get(), end_}; }

 private:
  Device to_;
  std::shared_ptr<Reducer> reducer_;
  std::size_t end_;
};

}  // namespace miniparallel::parallel
