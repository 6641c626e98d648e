#pragma once
// Graphs: recorded work, and how a launch puts it into streams.

#include "core/simulation.h"

#include <memory>
#include <vector>

namespace miniparallel::simulator {

/// Recorded work. A node comes after those in its `work.after`, which stand before it. Complete when its
/// capture has ended.
struct Graph {
  Graph() = default;
  ~Graph();
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  std::vector<OperationRef> nodes;

  /// Those that the program recorded: the simulator's notes left out.
  std::vector<OperationRef> steps() const;
};

/// The nodes, with those that a note comes after in its place.
std::vector<OperationRef> without_notes(const std::vector<OperationRef>& nodes);

/// A graph that can be launched. Each node has a lane, a stream of the graph's own in which nodes follow each
/// other only where the graph says so. So streams, which run a launch like any other work, leave unordered
/// what the graph leaves unordered.
class GraphExec {
 public:
  GraphExec(Simulation&, std::shared_ptr<const Graph>);

  /// Takes the graph in the place of the present one.
  void replace(Simulation&, std::shared_ptr<const Graph>);
  /// Starts a copy of each node, after the stream's work and the launch before.
  /// Later work of the stream comes after all of them.
  void launch(Simulation&, const std::shared_ptr<Stream>&);
  void retire_lanes(Simulation&);

  const Graph& graph() const { return *graph_; }
  const std::vector<std::shared_ptr<Stream>>& lanes() const { return lanes_; }
  const OperationRef& last() const { return last_; }  ///< the end of the newest launch, if there was one

 private:
  std::shared_ptr<const Graph> graph_;
  std::vector<std::shared_ptr<Stream>> lanes_;
  std::vector<std::size_t> lane_of_;  ///< by node
  OperationRef last_;
};

}  // namespace miniparallel::simulator
