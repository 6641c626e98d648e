#pragma once

#include <miniparallel/autograd.h>
#include <miniparallel/tensor.h>

#include "engine/autograd/gradient_sink.h"
#include "engine/tensor/autograd_meta.h"
#include "engine/tensor/tensor_impl.h"
#include "engine/threads/recorder.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

/// The graph: one Node per recorded op, an Edge per tensor that went in. How an op is recorded:
///
///   Tensor tanh(const Tensor& x) {
///     Tensor y = ...;                                              // the forward, by a kernel
///     if (autograd::recording(x))
///       autograd::record("tanh", y, {x}, [y = save_output(y)](Backward& b) {
///         b.set(0, b.grad() * (1 - y.get(b) * y.get(b)));          // ops here are themselves differentiable
///       });
///     return y;
///   }

namespace miniparallel::autograd {

class Node;
class Backward;
class Recomputed;

/// Output `output` of `node`.
struct Edge {
  std::shared_ptr<Node> node;
  int output = 0;
};

/// One recorded op. Owns what its backward needs and the edges to the nodes of its inputs.
class Node {
 public:
  Node(const char* name, int outputs);
  virtual ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  const char* name() const { return name_; }
  /// Later nodes have higher numbers; backward runs them in falling order.
  std::uint64_t sequence() const { return sequence_; }
  int outputs() const { return outputs_; }
  const std::vector<Edge>& next() const { return next_; }
  void set_next(std::vector<Edge> next) { next_ = std::move(next); }
  /// Where its outputs are, and so the gradients that it gets: decides which thread runs it.
  Device device() const { return device_; }
  void set_device(Device device) { device_ = device; }
  /// Who recorded it; null outside of every recorder.
  const std::shared_ptr<const Recorder>& recorder() const { return recorder_; }
  int rank() const { return recorder_ ? recorder_->rank : kNoRank; }

  /// Reads the outputs' gradients from `backward`, hands it those of the inputs.
  virtual void run(Backward& backward) = 0;
  /// Who takes the gradients of this end of the graph, so that a plain backward does not run it.
  virtual SinkEnd sink() const { return {}; }
  /// Drops saved tensors; a later `run` throws.
  virtual void release() {}

  struct OutputHook {
    int output;
    int id;
    Tensor::Hook hook;
  };
  std::vector<OutputHook> hooks;  ///< run, in order, on a complete gradient of an output

 private:
  const char* name_;
  std::uint64_t sequence_;
  int outputs_;
  Device device_;
  std::shared_ptr<const Recorder> recorder_;
  std::vector<Edge> next_;
};

/// The number of the next node.
std::uint64_t next_sequence();

/// Autograd's part of the tensor, made when missing.
Meta& meta_of(const Tensor& tensor);

/// A shared_ptr whose node is destroyed iteratively, however long the chain that hangs on it.
std::shared_ptr<Node> make_shared_node(Node* node);

/// Where the gradient of an input is summed up.
struct Target {
  Tensor* sum = nullptr;               ///< null when it is not needed
  GradientSink::Walk* sink = nullptr;  ///< may have a place for it
  std::size_t end = 0;                 ///< the end of the graph at that sink
};

class LeafGradients;

/// Called through a node's `run`: gradients in, gradients out.
class Backward {
 public:
  /// `unit`: if defined, the gradient of the only output is 1, of this tensor's kind, and in no memory yet.
  Backward(std::shared_ptr<Node> node, std::vector<Tensor> grads, Tensor unit, std::vector<Target> targets,
           bool create_graph, LeafGradients& leaves)
      : node_(std::move(node)),
        grads_(std::move(grads)),
        unit_(std::move(unit)),
        targets_(std::move(targets)),
        create_graph_(create_graph),
        leaves_(leaves) {}

  /// Gradient of output `output`; undefined where nothing flowed into it (only for ops with several outputs).
  const Tensor& grad(int output = 0) {
    if (unit_.defined()) make_unit();
    return grads_[output];
  }
  /// Takes the gradient out, so that it may be overwritten when this was the last handle.
  Tensor take_grad(int output = 0) {
    grad(output);
    return std::move(grads_[output]);
  }
  /// Whether the gradient is the 1 of a loss, which nobody has to write and read unless `grad` is called.
  bool is_unit() const { return unit_.defined(); }

  /// Whether the gradient of this input is wanted.
  bool needs(int input) const { return targets_[input].sum != nullptr; }

  /// True when the backward itself is being recorded: use differentiable ops only.
  bool create_graph() const { return create_graph_; }

  /// Hands over (or adds) the gradient of an input.
  void set(int input, Tensor grad);

  /// Lets a kernel write or add to the gradient of an input: calls f(destination,
  /// beta), where the new value must become beta * destination + gradient and
  /// beta is 0 (destination not initialised) or 1. Not under create_graph().
  /// The destination is row-major, or channels-last if that is asked for.
  template <class F>
  void write(int input, const Shape& shape, DType dtype, Device device, F&& f, bool channels_last = false) {
    auto [destination, beta] = destination_for(input, shape, dtype, device, channels_last);
    f(destination, beta);
    *targets_[input].sum = destination;
  }

  /// Memory for the gradient of an input, not initialised, to be filled and handed to `set`.
  Tensor memory_for(int input, const Shape& shape, DType dtype, Device device);

  /// As `write`, for a kernel that may write over `gradient`, a gradient taken out with `take_grad`: no new
  /// memory where no other handle holds it. The destination lies as the gradient does, if that is contiguous
  /// or channels-last.
  template <class F>
  void write_over(int input, const Tensor& gradient, F&& f) {
    if (can_write_over(input, gradient)) {
      f(gradient, 0);
      *targets_[input].sum = gradient;
    } else if (needs(input)) {
      write(input, gradient.shape(), gradient.dtype(), gradient.device(), f, gradient.impl()->channels_last);
    }
  }

  const std::shared_ptr<Node>& node() const { return node_; }
  /// Where the gradients of leaves wait for the end of the walk.
  LeafGradients& leaves() const { return leaves_; }

 private:
  void make_unit();
  bool can_write_over(int input, const Tensor& gradient) const;
  std::pair<Tensor, int> destination_for(int input, const Shape& shape, DType dtype, Device device,
                                         bool channels_last);

  std::shared_ptr<Node> node_;
  std::vector<Tensor> grads_;
  Tensor unit_;
  std::vector<Target> targets_;
  bool create_graph_;
  LeafGradients& leaves_;
};

/// A tensor kept for backward, guarded by its version. It keeps an alias outside the graph and, with
/// it, the edge to the tensor's history as it was: no later write can close a cycle through the node that
/// keeps it, and a parameter that is converted or moved meanwhile leaves the old elements to backward. In a
/// function that will run again for backward it keeps no alias (engine/autograd/recompute.h).
class Saved {
 public:
  Saved() = default;
  /// `output`: which output of the node the tensor is, -1 for an input.
  Saved(const Tensor& tensor, int output);
  Saved(const Saved&);
  Saved(Saved&&) noexcept;
  Saved& operator=(const Saved&);
  Saved& operator=(Saved&&) noexcept;
  ~Saved();

  /// The tensor; throws `Error`, naming the op, when it was
  /// written since. Undefined when an undefined one was saved.
  Tensor get(const Backward& backward) const;
  /// The same outside of every graph, for `reader`.
  Tensor elements(const char* reader) const;
  bool defined() const { return tensor_.defined() || recomputed_ != nullptr; }

 private:
  Tensor tensor_;                           // or what it is an exact copy of; undefined where it is
  std::shared_ptr<Recomputed> recomputed_;  // when it is asked for
  DType dtype_ = DType::float32;
  Edge edge_;  // of an input; of an own output without the node, which holds this
  std::uint32_t version_ = 0;
  bool own_output_ = false;
};

inline Saved save(const Tensor& tensor) { return Saved(tensor, -1); }
inline Saved save_output(const Tensor& tensor, int output = 0) { return Saved(tensor, output); }

[[noreturn]] void throw_released(const char* name);

template <class F>
class FunctionNode final : public Node {
 public:
  FunctionNode(const char* name, int outputs, F&& function)
      : Node(name, outputs), function_(std::move(function)) {}
  void run(Backward& backward) override {
    if (!function_) throw_released(name());
    (*function_)(backward);
  }
  void release() override { function_.reset(); }

 private:
  std::optional<F> function_;
};

/// Whether gradients flow through `tensor`, which may be undefined.
bool is_tracked(const Tensor& tensor);

/// Whether `tensor` is a view whose base a recorded op has written since the view took its history.
bool has_to_follow_base(const Tensor& tensor);
/// Gives such a view the history that its base has now. Throws, changing nothing, where the base is not
/// contiguous.
void follow_base(const Tensor& tensor);
/// The name of the node that this records.
inline constexpr const char* kFollowsBase = "view";

/// The edge through which the gradient of `tensor` flows on; null node when it requires none. A view follows
/// its base first.
Edge edge_of(const Tensor& tensor);
std::vector<Edge> edges_of(std::span<const Tensor> tensors);

/// Makes `outputs` the outputs of `node`, whose gradients flow on through `next`.
void connect(const std::shared_ptr<Node>& node, std::span<const Tensor> outputs, std::vector<Edge> next);

/// Whether an op on these tensors must be recorded: grad mode is on and gradients flow through one of them.
template <class... Tensors>
bool recording(const Tensors&... tensors) {
  return grad_enabled() && (is_tracked(tensors) || ...);
}
bool recording(const std::vector<Tensor>& tensors);

namespace detail {

template <class F>
void record(const char* name, std::span<const Tensor> outputs, std::span<const Tensor> inputs, F function) {
  std::vector<Edge> next = edges_of(inputs);  // before the node is made: views that follow get lower numbers
  connect(make_shared_node(new FunctionNode<F>(name, static_cast<int>(outputs.size()), std::move(function))),
          outputs, std::move(next));
}

}  // namespace detail

/// Records an op with one output: `function(Backward&)` computes
/// the gradients of the inputs. `name` must be a literal.
template <class F>
void record(const char* name, const Tensor& output, std::initializer_list<Tensor> inputs, F function) {
  detail::record(name, {&output, 1}, {inputs.begin(), inputs.size()}, std::move(function));
}
template <class F>
void record(const char* name, const Tensor& output, const std::vector<Tensor>& inputs, F function) {
  detail::record(name, {&output, 1}, inputs, std::move(function));
}
/// Records an op with several outputs, all of which get gradients.
template <class F>
void record(const char* name, const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
            F function) {
  detail::record(name, outputs, inputs, std::move(function));
}

/// The end of the graph at the leaf: the one node that all graphs share while one of them lives.
std::shared_ptr<Node> accumulator_of(const Tensor& leaf);

/// Adds `grad` to `buffer`, which may be undefined; in place where no other handle holds one of them.
void accumulate(Tensor& buffer, Tensor grad, bool create_graph);

}  // namespace miniparallel::autograd

extern template std::vector<miniparallel::autograd::Edge>::vector::~vector();
