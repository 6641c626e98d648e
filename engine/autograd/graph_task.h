#pragma once

#include "engine/autograd/accumulate.h"
#include "engine/autograd/node.h"
#include "engine/threads/thread_state.h"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <unordered_map>
#include <vector>

namespace miniparallel::autograd {

/// One walk over the graph: a first pass counts how many gradients each node waits for, the second runs nodes
/// in falling order of their numbers as they become complete.
///
/// Nodes of several GPUs run in several threads, so that these GPUs are fed in parallel: each GPU's on its
/// worker, the CPU's in the thread that called `run`, and so those of the first root's GPU. Otherwise
/// every node runs in the calling thread. The same holds on a worker and under a recorder, so that no
/// worker ever waits for another, when the walk is itself recorded, so that the numbers of its nodes
/// do not depend on timing, and when it is captured.
///
/// The first pass lays all states down; after it nobody needs a lock to find one. A queue's lock guards what
/// arrives at its nodes, so that threads meet only where a gradient goes from one GPU to another.
///
/// Of several errors the lowest recorder's is thrown: an error cancels all nodes but those of lower ranks and
/// those of no recorder, which may lead there. One outside of the recorders cancels all.
class GraphTask {
 public:
  GraphTask(bool retain_graph, bool create_graph)
      : retain_graph_(retain_graph), create_graph_(create_graph) {}

  /// An undefined gradient is 1, for an output of one element.
  void add_root(const Tensor& output, const Tensor& gradient);
  /// Also keep the gradient of `input`, instead of accumulating it when it is a leaf.
  void add_capture(const Tensor& input, Tensor* gradient);
  /// Returns when every node has run. The first error cancels nodes not yet started and is rethrown.
  void run();

 private:
  struct Capture {
    int output;
    Tensor* gradient;
  };
  /// A gradient for one output of a node. Where the order of arrival must not matter - several recorders
  /// send, or timing decides who comes first - they are kept and added in the order of their senders.
  struct Contribution {  // LCOV_EXCL_LINE: counted for what compilers add
    int output;
    int rank;       // of the sender's recorder
    Device device;  // of the sender
    std::uint64_t sequence;
    std::size_t input;  // of the sender
    Tensor gradient;
  };
  /// The nodes of one recorder on one device. They run one after the other; and in an order that timing has
  /// no part in, if at most one edge leads into the group.
  struct Group {
    int rank = kNoRank;
    Device device;
    bool operator==(const Group&) const = default;
    auto operator<=>(const Group&) const = default;
  };
  struct State {
    std::vector<Tensor> grads;  // by output, summed up as they arrive
    Tensor unit;                // of a root: defined if its gradient is 1 and not among `grads` yet
    std::vector<Contribution> contributions;
    int senders = 0, waiting = 0;  // edges that deliver, and that will still do so
    Group sender;                  // the first one's
    bool several_ranks = false, several_groups = false;
    GradientSink::Walk* sink = nullptr;  // takes the gradient of this end of the graph
    std::size_t sink_end = 0;
    bool seen = false, needed = true;
    std::vector<Capture> captures;
  };
  struct Ready {
    std::uint64_t order;
    std::shared_ptr<Node> node;
    bool operator<(const Ready& other) const { return order < other.order; }
  };
  /// The nodes that one thread runs.
  struct ReadyQueue {
    // In a parallel walk this guards what follows, and the counts and contributions of the nodes' states.
    std::mutex mutex;
    std::priority_queue<Ready> nodes;
    bool active = false;  // its worker has been told
  };

  /// Of a node that has been discovered.
  State& state(const Node* node) { return states_.find(node)->second; }
  /// Made where there is none.
  State& new_state(const Node* node);
  void discover();
  void begin_sinks();
  void prune();
  static Group group_of(const Node& node) { return {node.rank(), node.device()}; }
  /// Whether a plain backward leaves the node to a sink.
  bool ends_in_sink(const Node& node) const {
    return !capturing_ && !create_graph_ && node.sink().sink != nullptr;
  }

  // --- graph_task.cpp: one thread
  void walk();
  void enqueue_roots();
  std::shared_ptr<Node> take_ready(ReadyQueue& queue);
  /// With the queue locked.
  void enqueue(ReadyQueue& queue, const std::shared_ptr<Node>& node);
  /// Runs the node unless an error has cancelled it; notes the error that it throws.
  void run_guarded(const std::shared_ptr<Node>& node);
  /// Of the exception that is being handled.
  void note_error(const Node& node);

  // --- graph_task_parallel.cpp: several
  void use_workers();
  ReadyQueue& queue_of(const Node& node);
  /// With the caller's queue locked.
  void wake_caller();
  void activate(ReadyQueue& queue, Device device);
  void walk_in_parallel();
  void walk_on_worker(ReadyQueue& queue);

  // --- contributions.cpp
  void add_contributions(State& found) const;
  void hand_to_sink(State& found) const;

  // --- run_node.cpp
  void run_node(const std::shared_ptr<Node>& node);
  bool find_targets(const Node& node, std::vector<Tensor>& received, std::vector<Target>& targets);
  bool arrive_in_one_order(const State& receiver) const;
  void deliver(const Node& node, const std::vector<Edge>& edges, std::vector<Tensor> received);
  /// Where several threads walk.
  std::unique_lock<std::mutex> lock(ReadyQueue& queue) const {
    return parallel_ ? std::unique_lock(queue.mutex) : std::unique_lock<std::mutex>();
  }

  bool retain_graph_, create_graph_, capturing_ = false;
  bool parallel_ = false;  // several threads walk
  Device led_;             // whose nodes the calling thread runs then
  std::vector<std::shared_ptr<Node>> roots_;
  std::vector<Node*> order_;
  std::map<Group, int> entries_;  // how many edges lead into each group
  std::vector<std::unique_ptr<GradientSink::Walk>> sinks_;
  LeafGradients leaves_;
  std::unordered_map<const Node*, State> states_;
  std::vector<ReadyQueue> queues_ = std::vector<ReadyQueue>(1);  // 0: the calling thread; of GPU i: i + 1
  std::unique_ptr<const ThreadState> caller_;

  std::atomic<int> active_ = 0;         // workers that have been told
  std::atomic<bool> has_news_ = false;  // for the calling thread, which waits
  std::condition_variable changed_;     // the same, where it sleeps; goes with its queue's lock

  std::mutex error_mutex_;
  std::exception_ptr error_;
  /// Ranks from here on run no more.
  std::atomic<std::int64_t> cancelled_from_ = std::numeric_limits<std::int64_t>::max();
};

}  // namespace miniparallel::autograd
