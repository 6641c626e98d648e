#include <miniparallel/ops.h>

#include <algorithm>
#include <limits>
#include <queue>
#include <unordered_map>

#include "engine/autograd/accumulate.h"
#include "engine/autograd/node.h"
#include "engine/error.h"
#include "engine/profiler/span.h"
#include "engine/tensor/tensor_impl.h"

// One walk over the graph: a first pass counts how many gradients each node waits for, the second runs nodes
// in falling order of their numbers as they become complete.

namespace miniparallel::autograd {
namespace {

class GraphTask {
 public:
  GraphTask(bool retain_graph, bool create_graph)
      : retain_graph_(retain_graph), create_graph_(create_graph) {}

  void add_root(const Tensor& output, const Tensor& gradient) {
    Edge edge = edge_of(output);
    roots_.push_back(edge.node);
    Tensor& buffer = state(edge.node.get()).grads[edge.output];
    buffer = buffer.defined() ? add(buffer, gradient) : gradient;
  }

  /// Also keep the gradient of `input`, instead of accumulating it when it is a leaf.
  void add_capture(const Tensor& input, Tensor* gradient) {
    const Edge edge = edge_of(input);
    state(edge.node.get()).captures.push_back({edge.output, gradient});
    capturing_ = true;
  }

  void run() {
    const profiler::Span span(profiler::Kind::user, "backward");
    discover();
    if (capturing_) prune();
    set_grad_enabled(create_graph_);
    for (const std::shared_ptr<Node>& root : roots_) enqueue_if_ready(root);
    while (!ready_.empty()) {
      const std::shared_ptr<Node> node = ready_.top().node;
      ready_.pop();
      run_node(node);
    }
  }

 private:
  struct Capture {
    int output;
    Tensor* gradient;
  };
  struct State {
    std::vector<Tensor> grads;  // by output, summed up as they arrive
    int waiting = 0;            // edges that will still deliver
    bool seen = false, queued = false, needed = true;
    std::vector<Capture> captures;
  };
  struct Ready {
    std::uint64_t order;
    std::shared_ptr<Node> node;
    bool operator<(const Ready& other) const { return order < other.order; }
  };

  State& state(Node* node) {
    State& found = states_[node];
    if (found.grads.empty()) found.grads.resize(static_cast<std::size_t>(node->outputs()));
    return found;
  }

  void discover() {
    std::vector<Node*> stack;
    const auto visit = [&](Node* node) {
      State& found = state(node);
      if (found.seen) return;
      found.seen = true;
      order_.push_back(node);
      stack.push_back(node);
    };
    for (const std::shared_ptr<Node>& root : roots_) visit(root.get());
    while (!stack.empty()) {
      Node* const node = stack.back();
      stack.pop_back();
      for (const Edge& edge : node->next()) {
        if (!edge.node) continue;
        ++state(edge.node.get()).waiting;
        visit(edge.node.get());
      }
    }
  }

  /// Only nodes on a path to a captured input need to run.
  void prune() {
    std::sort(order_.begin(), order_.end(), [](const Node* a, const Node* b) { return rank(*a) < rank(*b); });
    for (Node* const node : order_) {
      State& found = state(node);
      found.needed = !found.captures.empty();
      for (const Edge& edge : node->next())
        if (edge.node && state(edge.node.get()).needed) found.needed = true;
    }
  }

  /// Inputs before the nodes that use them: leaves, then by number.
  static std::uint64_t rank(const Node& node) { return node.next().empty() ? 0 : node.sequence() + 1; }

  void enqueue_if_ready(const std::shared_ptr<Node>& node) {
    State& found = state(node.get());
    if (found.waiting > 0 || found.queued) return;
    found.queued = true;
    // A leaf has nobody after it: at once, while its gradient is in the cache.
    const bool leaf = node->next().empty();
    ready_.push({leaf ? std::numeric_limits<std::uint64_t>::max() : node->sequence(), node});
  }

  static void run_hook(const Node& node, const Tensor::Hook& hook, Tensor& grad) {
    Tensor replaced = hook(grad);
    if (!replaced.defined()) return;
    check(replaced.shape() == grad.shape() && replaced.dtype() == grad.dtype() &&
              replaced.device() == grad.device(),
          "backward: a hook at ", node.name(), " returned ", replaced.dtype(), " ", replaced.shape(), " on ",
          replaced.device(), " for a gradient that is ", grad.dtype(), " ", grad.shape(), " on ",
          grad.device(), "; return one like it, or an undefined tensor to leave it as it is");
    grad = std::move(replaced);
  }

  static void run_hooks(const Node& node, std::vector<Tensor>& grads) {
    for (const Node::OutputHook& hook : node.hooks) {
      Tensor& grad = grads[static_cast<std::size_t>(hook.output)];
      if (grad.defined()) run_hook(node, hook.hook, grad);
    }
    const auto* leaf = dynamic_cast<const AccumulateGrad*>(&node);
    if (leaf == nullptr || !grads[0].defined()) return;
    const auto hooks = leaf->leaf().impl()->meta->hooks;  // a hook may remove itself
    for (const auto& [id, hook] : hooks) run_hook(node, hook, grads[0]);
  }

  static void describe(profiler::Span& span, const Tensor& gradient) {
    span.set_dtype(gradient.dtype());
    const Shape& shape = gradient.shape();
    span.set_sizes(nullptr, {shape.begin(), shape.end()});
  }

  void run_node(const std::shared_ptr<Node>& node) {
    State& found = state(node.get());
    std::vector<Tensor> grads = std::move(found.grads);
    const std::vector<Capture> captures = std::move(found.captures);
    const bool needed = found.needed;
    states_.erase(node.get());
    const bool any =
        std::any_of(grads.begin(), grads.end(), [](const Tensor& grad) { return grad.defined(); });
    if (any && needed) run_hooks(*node, grads);
    for (const Capture& capture : captures)
      *capture.gradient = grads[static_cast<std::size_t>(capture.output)];

    const std::vector<Edge>& next = node->next();
    std::vector<Tensor*> targets(next.size(), nullptr);
    bool wanted = next.empty() && !capturing_;
    for (std::size_t i = 0; i < next.size(); ++i) {
      if (!next[i].node) continue;
      State& receiver = state(next[i].node.get());
      if (!receiver.needed) continue;
      targets[i] = &receiver.grads[static_cast<std::size_t>(next[i].output)];
      wanted = true;
    }
    if (any && wanted) {
      profiler::Span span(profiler::Kind::backward, node->name());
      if (span.active() && grads[0].defined()) describe(span, grads[0]);
      Backward backward(node, std::move(grads), std::move(targets), create_graph_);
      node->run(backward);
    }
    const std::vector<Edge> edges = next;
    if (!retain_graph_ && wanted) node->release();  // what was not walked can be differentiated later
    for (const Edge& edge : edges) {
      if (!edge.node) continue;
      --state(edge.node.get()).waiting;
      enqueue_if_ready(edge.node);
    }
  }

  bool retain_graph_, create_graph_, capturing_ = false;
  std::vector<std::shared_ptr<Node>> roots_;
  std::unordered_map<Node*, State> states_;
  std::vector<Node*> order_;
  std::priority_queue<Ready> ready_;
};

class GradModeGuard {
 public:
  GradModeGuard() : previous_(grad_enabled()) {}
  ~GradModeGuard() { set_grad_enabled(previous_); }
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool previous_;
};

void add_roots(GraphTask& task, const char* op, const std::vector<Tensor>& outputs,
               const std::vector<Tensor>& gradients) {
  check(!outputs.empty(), op, ": no outputs were given");
  check(gradients.empty() || gradients.size() == outputs.size(), op, ": ", gradients.size(),
        " gradients for ", outputs.size(), " outputs");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& output = outputs[i];
    check(output.defined() && output.requires_grad(), op, ": output ", i,
          " does not depend on a tensor that requires grad; call requires_grad_() on what is to be learned");
    Tensor gradient = gradients.empty() ? Tensor() : gradients[i];
    if (!gradient.defined()) {
      check(output.numel() == 1, op, ": the output has shape ", output.shape(),
            "; only a scalar needs no gradient, pass one of the same shape");
      gradient = ones_like(output);
    }
    check(gradient.shape() == output.shape() && gradient.dtype() == output.dtype(), op, ": the gradient is ",
          gradient.dtype(), " ", gradient.shape(), ", the output ", output.dtype(), " ", output.shape());
    task.add_root(output, gradient);
  }
}

}  // namespace

void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients,
              const BackwardOptions& options) {
  const GradModeGuard restore;
  GraphTask task(options.retain_graph || options.create_graph, options.create_graph);
  add_roots(task, "backward", outputs, gradients);
  task.run();
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options) {
  const GradModeGuard restore;
  GraphTask task(options.retain_graph || options.create_graph, options.create_graph);
  add_roots(task, "grad", outputs, options.gradients);
  std::vector<Tensor> result(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check(inputs[i].defined() && inputs[i].requires_grad(), "grad: input ", i, " does not require grad");
    task.add_capture(inputs[i], &result[i]);
  }
  task.run();
  for (std::size_t i = 0; i < inputs.size(); ++i)
    check(result[i].defined() || options.allow_unused, "grad: no output depends on input ", i,
          "; set allow_unused for an undefined gradient");
  return result;
}

}  // namespace miniparallel::autograd
