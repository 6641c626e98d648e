#include "engine/autograd/graph_task.h"

#include <miniparallel/error.h>
#include <miniparallel/log.h>
#include <miniparallel/ops.h>

#include "engine/profiler/span.h"

#include <algorithm>
#include <limits>

namespace miniparallel::autograd {

void GraphTask::add_root(const Tensor& output, const Tensor& gradient) {
  Edge edge = edge_of(output);
  roots_.push_back(edge.node);
  State& root = new_state(edge.node.get());
  Tensor& buffer = root.grads[static_cast<std::size_t>(edge.output)];
  if (!gradient.defined() && root.grads.size() == 1 && !buffer.defined() && !root.unit.defined()) {
    root.unit = output.detach();
    return;
  }
  const Tensor given = gradient.defined() ? gradient : ones_like(output);
  buffer = buffer.defined() ? add(buffer, given) : given;
}

void GraphTask::add_capture(const Tensor& input, Tensor* gradient) {
  const Edge edge = edge_of(input);
  new_state(edge.node.get()).captures.push_back({edge.output, gradient});
  capturing_ = true;
}

void GraphTask::run() {
  const profiler::Span span(profiler::Kind::user, "backward");
  discover();
  begin_sinks();
  if (capturing_) prune();
  use_workers();
  set_grad_enabled(create_graph_);
  if (parallel_)
    walk_in_parallel();
  else
    walk();
  for (const auto& sink : sinks_) sink->finish();
  leaves_.publish();
  for (const auto& sink : sinks_) sink->commit();
}

GraphTask::State& GraphTask::new_state(const Node* node) {
  State& found = states_[node];
  if (found.grads.empty()) found.grads.resize(static_cast<std::size_t>(node->outputs()));
  return found;
}

void GraphTask::discover() {
  std::vector<Node*> stack;
  const auto visit = [&](Node* node) -> State& {
    State& found = new_state(node);
    if (found.seen) return found;
    found.seen = true;
    order_.push_back(node);
    stack.push_back(node);
    return found;
  };
  for (const std::shared_ptr<Node>& root : roots_) {
    visit(root.get());
    ++entries_[group_of(*root)];
  }
  while (!stack.empty()) {
    Node* const node = stack.back();
    stack.pop_back();
    if (ends_in_sink(*node)) continue;
    const Group group = group_of(*node);
    for (const Edge& edge : node->next()) {
      if (!edge.node) continue;
      State& receiver = visit(edge.node.get());
      ++receiver.waiting;
      if (receiver.senders++ == 0) receiver.sender = group;
      receiver.several_ranks |= receiver.sender.rank != group.rank;
      receiver.several_groups |= receiver.sender != group;
      if (const Group to = group_of(*edge.node); to != group) ++entries_[to];
    }
  }
}

void GraphTask::begin_sinks() {
  if (capturing_) return;
  struct Ends {
    GradientSink* sink;
    std::vector<std::size_t> numbers;
    std::vector<State*> states;
  };
  std::vector<Ends> ends;  // a handful of sinks
  for (Node* const node : order_) {
    const SinkEnd end = node->sink();
    if (end.sink == nullptr) continue;
    auto found = std::ranges::find(ends, end.sink, &Ends::sink);
    if (found == ends.end()) {
      found = ends.insert(found, {end.sink, {}, {}});
      found->numbers.reserve(order_.size());
      found->states.reserve(order_.size());
    }
    found->numbers.push_back(end.number);
    found->states.push_back(&state(node));
  }
  for (const auto& [sink, numbers, states] : ends) {
    if (create_graph_) {
      sink->check_bypass();
      continue;
    }
    sinks_.push_back(sink->begin(numbers));
    for (std::size_t i = 0; i < states.size(); ++i) {
      states[i]->sink = sinks_.back().get();
      states[i]->sink_end = numbers[i];
    }
  }
}

namespace {

/// Inputs before the nodes that use them: leaves, then by number.
std::uint64_t rank(const Node& node) { return node.next().empty() ? 0 : node.sequence() + 1; }

}  // namespace

/// Only nodes on a path to a captured input need to run.
void GraphTask::prune() {
  std::sort(order_.begin(), order_.end(), [](const Node* a, const Node* b) { return rank(*a) < rank(*b); });
  for (Node* const node : order_) {
    State& found = state(node);
    found.needed = !found.captures.empty();
    for (const Edge& edge : node->next())
      if (edge.node && state(edge.node.get()).needed) found.needed = true;
  }
}

void GraphTask::walk() {
  enqueue_roots();
  while (!queues_[0].nodes.empty()) run_guarded(take_ready(queues_[0]));
  if (error_) std::rethrow_exception(error_);
}

void GraphTask::run_guarded(const std::shared_ptr<Node>& node) {
  // A node of no recorder goes on: it may lead to one of a lower rank, whose error counts.
  const std::int64_t rank = node->recorder() ? node->rank() : 0;
  if (rank >= cancelled_from_) return;
  try {
    try {
      run_node(node);
    } catch (Error& error) {
      if (node->recorder()) error.add_note("in " + node->recorder()->description);
      throw;
    } catch (...) {  // it arrives as it was thrown, and takes no note
      if (node->recorder()) log(LogLevel::warning, "an exception in " + node->recorder()->description);
      throw;
    }
  } catch (...) {
    note_error(*node);
  }
}

void GraphTask::note_error(const Node& node) {
  const std::scoped_lock lock(error_mutex_);
  if (node.rank() >= cancelled_from_) return;
  error_ = std::current_exception();
  cancelled_from_ = node.recorder() ? node.rank() : -1;
}

std::shared_ptr<Node> GraphTask::take_ready(ReadyQueue& queue) {
  std::shared_ptr<Node> node = queue.nodes.top().node;
  queue.nodes.pop();
  return node;
}

/// Those that wait for nothing. The others follow when their last gradient has come.
void GraphTask::enqueue_roots() {
  std::vector<std::shared_ptr<Node>> ready;  // found before the first one runs, which may complete others
  for (const std::shared_ptr<Node>& root : roots_)
    if (state(root.get()).waiting == 0 && std::ranges::find(ready, root) == ready.end())
      ready.push_back(root);
  for (const std::shared_ptr<Node>& root : ready) {
    ReadyQueue& queue = queue_of(*root);
    const auto locked = lock(queue);
    try {
      enqueue(queue, root);
    } catch (...) {  // the system has no thread left; workers of other roots may run
      note_error(*root);
    }
  }
}

void GraphTask::enqueue(ReadyQueue& queue, const std::shared_ptr<Node>& node) {
  // No node waits for an end of the walk: run it at once, while its gradient is in the cache.
  const bool end = node->next().empty() || state(node.get()).sink != nullptr;
  queue.nodes.push({end ? std::numeric_limits<std::uint64_t>::max() : node->sequence(), node});
  if (parallel_) activate(queue, node->device());
}

}  // namespace miniparallel::autograd
