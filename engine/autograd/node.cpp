#include "engine/autograd/node.h"

#include <miniparallel/ops.h>

#include "engine/autograd/recompute.h"
#include "engine/autograd/trace.h"
#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/tensor/channels_last.h"

#include <atomic>

namespace miniparallel::autograd {
namespace {

std::atomic<std::uint64_t> numbers = 0;

/// Destroys nodes one after the other: the nodes that one owns join the list instead of the call stack.
void destroy(Node* node) {
  thread_local std::vector<Node*>* pending = nullptr;
  if (pending != nullptr) return pending->push_back(node);
  std::vector<Node*> list{node};
  pending = &list;
  while (!list.empty()) {
    Node* const next = list.back();
    list.pop_back();
    delete next;
  }
  pending = nullptr;
}

}  // namespace

Node::Node(const char* name, int outputs)
    : name_(name),
      sequence_(numbers.fetch_add(1, std::memory_order_relaxed)),
      outputs_(outputs),
      recorder_(current_recorder()) {}

Node::~Node() = default;

std::uint64_t next_sequence() { return numbers.load(std::memory_order_relaxed); }

std::shared_ptr<Node> make_shared_node(Node* node) { return {node, destroy}; }

void throw_released(const char* name) {
  fail("backward: ", name,
       " was already differentiated and its saved tensors are freed; "
       "pass retain_graph to the first backward");
}

Meta& meta_of(const Tensor& tensor) {
  std::unique_ptr<Meta>& meta = tensor.impl()->meta;
  if (!meta) meta = std::make_unique<Meta>();
  return *meta;
}

bool is_tracked(const Tensor& tensor) {
  if (capturing != nullptr) [[unlikely]]
    capturing->asks_whether_tracked(tensor);
  if (!tensor.defined()) return false;
  const std::unique_ptr<Meta>& meta = tensor.impl()->meta;
  return (meta && (meta->requires_grad || meta->grad_fn)) || has_to_follow_base(tensor);
}

bool recording(const std::vector<Tensor>& tensors) {
  if (!grad_enabled()) return false;
  for (const Tensor& tensor : tensors)
    if (is_tracked(tensor)) return true;
  return false;
}

Edge edge_of(const Tensor& tensor) {
  follow_base(tensor);
  if (!is_tracked(tensor)) return {};
  Meta& meta = *tensor.impl()->meta;
  Edge edge = meta.grad_fn ? Edge{meta.grad_fn, meta.output} : Edge{accumulator_of(tensor), 0};
  Recomputation::note_use(tensor, meta.grad_fn ? static_cast<std::int64_t>(meta.grad_fn->sequence()) : -1);
  return edge;
}

std::vector<Edge> edges_of(std::span<const Tensor> tensors) {
  if (tracing != nullptr) [[unlikely]]
    tracing->take_inputs(tensors);
  std::vector<Edge> edges;
  edges.reserve(tensors.size());
  for (const Tensor& tensor : tensors) edges.push_back(edge_of(tensor));
  return edges;
}

namespace {

void attach(const std::shared_ptr<Node>& node, const Tensor& output, int index) {
  Meta& meta = meta_of(output);
  meta.grad_fn = node;
  meta.output = index;
  meta.retain_grad = false;
}

}  // namespace

void connect(const std::shared_ptr<Node>& node, std::span<const Tensor> outputs, std::vector<Edge> next) {
  if (tracing != nullptr) [[unlikely]]
    tracing->add(node->name(), outputs);
  node->set_next(std::move(next));
  for (std::size_t i = outputs.size(); i-- > 0;) {
    if (!outputs[i].defined() || !outputs[i].is_floating()) continue;
    node->set_device(outputs[i].device());  // ends as the first output's device
    attach(node, outputs[i], static_cast<int>(i));
  }
}

// --- Backward

void Backward::set(int input, Tensor grad) {
  if (needs(input) && grad.defined()) accumulate(*targets_[input].sum, std::move(grad), create_graph_);
}

void accumulate(Tensor& buffer, Tensor grad, bool create_graph) {
  if (!buffer.defined()) {
    buffer = std::move(grad);
  } else if (!create_graph && is_exclusive_as_it_lies(buffer)) {
    buffer.add_(grad);
  } else if (!create_graph && is_exclusive_as_it_lies(grad)) {
    buffer = std::move(grad.add_(buffer));
  } else {
    buffer = add(buffer, grad);
  }
}

void Backward::make_unit() {
  grads_[0] = ones_like(unit_);
  unit_ = Tensor();
}

bool Backward::can_write_over(int input, const Tensor& gradient) const {
  const Target& target = targets_[input];
  return target.sum != nullptr && target.sink == nullptr && !target.sum->defined() &&
         is_exclusive_as_it_lies(gradient);
}

Tensor Backward::memory_for(int input, const Shape& shape, DType dtype, Device device) {
  const Target& target = targets_[input];
  Tensor place;
  if (target.sum != nullptr && !target.sum->defined() && target.sink != nullptr)
    place = target.sink->place(target.end, node_->rank());
  const bool fits =
      place.defined() && place.shape() == shape && place.dtype() == dtype && place.device() == device;
  return fits ? place : make_tensor(shape, dtype, device);
}

std::pair<Tensor, int> Backward::destination_for(int input, const Shape& shape, DType dtype, Device device,
                                                 bool channels_last) {
  const Tensor& buffer = *targets_[input].sum;
  if (!buffer.defined())
    return {
        channels_last ? make_channels_last(shape, dtype, device) : memory_for(input, shape, dtype, device),
        0};
  if (is_exclusive_as_it_lies(buffer) && is_laid_out(channels_last, buffer)) return {buffer, 1};
  if (!is_laid_out(channels_last, buffer)) return {laid_out(channels_last, buffer), 1};
  Tensor copy = make_laid_out(channels_last, shape, dtype, device);
  copy.copy_(buffer);
  return {copy, 1};
}

// --- Saved

namespace {

/// What is kept of `tensor`: itself, outside the graph, or the elements of which it is an exact copy, half as
/// large.
Tensor kept_of(const Tensor& tensor) {
  const TensorImpl& wide = *tensor.impl();
  if (!wide.version->exact_of || tensor.version() != 0) return make_alias(tensor);
  Tensor source(wide.version->exact_of);
  if (wide.channels_last && source.impl()->channels_last) return source;
  if (source.is_contiguous() && !wide.channels_last)  // the copy, too: its views are those of the source
    return make_alias(source, wide.shape, wide.strides, source.impl()->offset + wide.offset);
  const bool whole = (wide.contiguous || wide.channels_last) && wide.shape == source.shape();
  return whole ? source : make_alias(tensor);
}

}  // namespace

Saved::Saved(const Saved&) = default;
Saved::Saved(Saved&&) noexcept = default;
Saved& Saved::operator=(const Saved&) = default;
Saved& Saved::operator=(Saved&&) noexcept = default;
Saved::~Saved() = default;

Saved::Saved(const Tensor& tensor, int output) : own_output_(output >= 0) {
  if (!tensor.defined()) return;
  edge_ = own_output_ ? Edge{nullptr, output} : edge_of(tensor);
  const Tensor kept = kept_of(tensor);
  recomputed_ = Recomputation::save(kept);
  if (recomputed_ == nullptr) tensor_ = kept;
  dtype_ = tensor.dtype();
  version_ = kept.version();
}

namespace {

const Tensor& unwritten(const Tensor& tensor, std::uint32_t version, const char* reader) {
  check(tensor.version() == version, "backward: a tensor of shape ", tensor.shape(), " that ", reader,
        " saved was written in place since (version ", tensor.version(), ", saved at ", version,
        "); write to a clone instead");
  return tensor;
}

}  // namespace

Tensor Saved::elements(const char* reader) const {
  if (recomputed_ != nullptr) [[unlikely]] {
    const Recomputed::Found found = recomputed_->get();
    return unwritten(found.tensor, found.version, reader).to(dtype_);
  }
  return tensor_.defined() ? unwritten(tensor_, version_, reader).to(dtype_) : tensor_;
}

Tensor Saved::get(const Backward& backward) const {
  Tensor tensor = elements(backward.node()->name());
  const std::shared_ptr<Node>& history = own_output_ ? backward.node() : edge_.node;
  if (!backward.create_graph() || !history || !tensor.defined()) return tensor;
  Tensor attached = make_alias(tensor);
  attach(history, attached, edge_.output);
  return attached;
}

}  // namespace miniparallel::autograd

template std::vector<miniparallel::autograd::Edge>::vector::~vector();
