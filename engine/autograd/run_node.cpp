#include <miniparallel/ops.h>

#include "engine/autograd/accumulate.h"
#include "engine/autograd/graph_task.h"
#include "engine/error.h"
#include "engine/profiler/span.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <utility>

namespace miniparallel::autograd {
namespace {

void run_hook(const char* name, const Tensor::Hook& hook, Tensor& grad) {
  Tensor replaced = hook(grad);
  if (!replaced.defined()) return;
  check(replaced.shape() == grad.shape() && replaced.dtype() == grad.dtype() &&
            replaced.device() == grad.device(),
        "backward: a hook at ", name, " returned ", replaced.dtype(), " ", replaced.shape(), " on ",
        replaced.device(), " for a gradient that is ", grad.dtype(), " ", grad.shape(), " on ", grad.device(),
        "; return one like it, or an undefined tensor to leave it as it is");
  grad = std::move(replaced);
}

void run_hooks(const Node& node, std::vector<Tensor>& grads) {
  for (const Node::OutputHook& hook : node.hooks) {
    Tensor& grad = grads[static_cast<std::size_t>(hook.output)];
    if (grad.defined()) run_hook(node.name(), hook.hook, grad);
  }
  const auto* leaf = dynamic_cast<const AccumulateGrad*>(&node);
  if (leaf != nullptr && grads[0].defined()) run_leaf_hooks(leaf->leaf(), grads[0]);
}

void describe(profiler::Span& span, const Tensor& gradient) {
  span.set_dtype(gradient.dtype());
  const Shape& shape = gradient.shape();
  span.set_sizes(nullptr, {shape.begin(), shape.end()});
}

}  // namespace

void run_leaf_hooks(const Tensor& leaf, Tensor& grad) {
  const auto hooks = leaf.impl()->meta->hooks;  // a hook may remove itself
  for (const auto& [id, hook] : hooks) run_hook("AccumulateGrad", hook, grad);
}

void GraphTask::run_node(const std::shared_ptr<Node>& node) {
  State found = std::move(state(node.get()));  // complete: nobody else has anything to do with it any more
  // The 1 of a loss comes into memory where others than the op look at it.
  const bool seen = found.senders > 0 || found.grads[0].defined() || !node->hooks.empty() ||
                    !found.captures.empty() || node->next().empty();
  if (found.unit.defined() && seen)
    accumulate(found.grads[0], ones_like(std::exchange(found.unit, {})), create_graph_);
  if (found.sink != nullptr) return hand_to_sink(found);
  if (!found.contributions.empty()) add_contributions(found);
  std::vector<Tensor>& grads = found.grads;
  const bool any = found.unit.defined() || std::ranges::any_of(grads, &Tensor::defined);
  if (any && found.needed) run_hooks(*node, grads);
  for (const Capture& capture : found.captures)
    *capture.gradient = grads[static_cast<std::size_t>(capture.output)];

  const std::vector<Edge>& next = node->next();
  std::vector<Tensor> received;  // by input: delivered afterwards, as a contribution
  std::vector<Target> targets(next.size());
  const bool wanted = find_targets(*node, received, targets) || (next.empty() && !capturing_);
  if (any && wanted) {
    profiler::Span span(profiler::Kind::backward, node->name());
    const Tensor& shown = found.unit.defined() ? found.unit : grads[0];
    if (span.active() && shown.defined()) describe(span, shown);
    Backward backward(node, std::move(grads), std::move(found.unit), std::move(targets), create_graph_,
                      leaves_);
    node->run(backward);
  }
  const std::vector<Edge> edges = next;
  if (!retain_graph_ && wanted) node->release();  // nodes not walked can be differentiated later
  deliver(*node, edges, std::move(received));
}

bool GraphTask::arrive_in_one_order(const State& receiver) const {
  if (receiver.senders == 1) return true;
  if (receiver.several_ranks) return false;
  return !parallel_ || (!receiver.several_groups && entries_.at(receiver.sender) < 2);
}

/// Where the node's gradients go: straight to the receivers, where a kernel can add to what is there, unless
/// the order of arrival must not matter.
bool GraphTask::find_targets(const Node& node, std::vector<Tensor>& received, std::vector<Target>& targets) {
  const std::vector<Edge>& next = node.next();
  bool wanted = false;
  for (std::size_t i = 0; i < next.size(); ++i) {
    if (!next[i].node) continue;
    State& receiver = state(next[i].node.get());
    if (!receiver.needed) continue;
    targets[i].sink = receiver.sink;
    targets[i].end = receiver.sink_end;
    if (arrive_in_one_order(receiver)) {
      targets[i].sum = &receiver.grads[static_cast<std::size_t>(next[i].output)];
    } else {
      received.resize(next.size());
      targets[i].sum = &received[i];
    }
    wanted = true;
  }
  return wanted;
}

/// A queue gets what goes to it in one piece: its worker could else begin with the first of several replicas
/// and turn to the last in the middle, and how much memory a step takes would be a matter of timing.
void GraphTask::deliver(const Node& node, const std::vector<Edge>& edges, std::vector<Tensor> received) {
  const ReadyQueue* open = nullptr;
  std::unique_lock<std::mutex> locked;
  for (std::size_t i = 0; i < edges.size(); ++i) {
    if (!edges[i].node) continue;
    State& receiver = state(edges[i].node.get());
    ReadyQueue& queue = queue_of(*edges[i].node);
    if (open != &queue) {
      if (locked) locked.unlock();  // no lock is taken while another is held
      locked = lock(queue);
      open = &queue;
    }
    if (i < received.size() && received[i].defined())
      receiver.contributions.push_back(
          {edges[i].output, node.rank(), node.device(), node.sequence(), i, std::move(received[i])});
    if (--receiver.waiting == 0) enqueue(queue, edges[i].node);
  }
}

}  // namespace miniparallel::autograd
