#include "core/graph.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

namespace miniparallel::simulator {

/// From the end: a node holds those before it, and a long chain of them must not fall at once.
Graph::~Graph() {
  while (!nodes.empty()) nodes.pop_back();
}

std::vector<OperationRef> Graph::steps() const {
  std::vector<OperationRef> steps;
  std::ranges::copy_if(nodes, std::back_inserter(steps),
                       [](const OperationRef& node) { return is_step(node->work.kind); });
  return steps;
}

std::vector<OperationRef> without_notes(const std::vector<OperationRef>& nodes) {
  std::vector<OperationRef> steps;
  const auto add = [&](const OperationRef& step) {
    if (std::ranges::find(steps, step) == steps.end()) steps.push_back(step);
  };
  for (const OperationRef& node : nodes) {
    if (is_step(node->work.kind)) {
      add(node);
    } else {
      std::ranges::for_each(without_notes(node->work.after), add);
    }
  }
  return steps;
}

GraphExec::GraphExec(Simulation& s, std::shared_ptr<const Graph> graph) { replace(s, std::move(graph)); }

void GraphExec::replace(Simulation& s, std::shared_ptr<const Graph> graph) {
  retire_lanes(s);
  graph_ = std::move(graph);
  lane_of_.clear();
  std::vector<std::uint32_t> lengths;  // of the lanes
  std::vector<Clock> clocks;           // by node: how much of each lane has ended with it
  for (const OperationRef& node : graph_->nodes) {
    Clock& clock = clocks.emplace_back();
    for (const OperationRef& before : node->work.after) clock.join(clocks[before->number]);
    std::uint32_t lane = 0;
    while (lane < lengths.size() && (lanes_[lane]->device != node->device || clock.at(lane) != lengths[lane]))
      ++lane;
    if (lane == lengths.size()) {
      lanes_.push_back(make_stream(s, node->device, cudaStreamNonBlocking, 0));
      lengths.push_back(0);
    }
    lane_of_.push_back(lane);
    clock.set(lane, ++lengths[lane]);
  }
}

void GraphExec::launch(Simulation& s, const std::shared_ptr<Stream>& stream) {
  const auto order = [&](const char* name, WorkKind kind, std::vector<OperationRef> after) {
    Work work;
    work.name = name;
    work.kind = kind;
    work.after = std::move(after);
    return start(s, stream, std::move(work));
  };
  const OperationRef first = order("the launch of a graph", WorkKind::graph_launch,
                                   last_ ? std::vector{last_} : std::vector<OperationRef>{});
  std::vector<OperationRef> started, ends(lanes_.size());
  for (const OperationRef& node : graph_->nodes) {
    Work work = node->work;
    work.replayed = true;
    for (OperationRef& before : work.after) before = started[before->number];
    if (work.after.empty()) work.after = {first};
    const std::size_t lane = lane_of_[started.size()];
    started.push_back(ends[lane] = start(s, lanes_[lane], std::move(work)));
    if (is_step(node->work.kind)) ++s.devices[static_cast<std::size_t>(node->device)].graph_counters.nodes;
  }
  last_ = order("the end of a graph", WorkKind::note, std::move(ends));
  ++s.devices[static_cast<std::size_t>(stream->device)].graph_counters.launches;
}

void GraphExec::retire_lanes(Simulation& s) {
  for (const auto& lane : std::exchange(lanes_, {})) retire(s, lane);
}

}  // namespace miniparallel::simulator
