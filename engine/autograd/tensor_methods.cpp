#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include "engine/autograd/node.h"
#include "engine/error.h"
#include "engine/tensor/channels_last.h"

#include <atomic>

// The methods of Tensor that ask for its gradient and its place in the graph.

namespace miniparallel {
namespace {

/// Throws where somebody else decides what the tensor is in the graph.
void check_not_fixed(const char* op, const TensorImpl& impl) {
  if (impl.meta && impl.meta->fixed != nullptr) fail(op, ": ", impl.meta->fixed);
}

}  // namespace

bool Tensor::requires_grad() const {
  impl_of(*this);
  return autograd::is_tracked(*this);
}

bool Tensor::is_leaf() const {
  const TensorImpl& impl = impl_of(*this);
  return (!impl.meta || !impl.meta->grad_fn) && !autograd::has_to_follow_base(*this);
}

std::string Tensor::grad_fn_name() const {
  if (is_leaf()) return "";
  return autograd::has_to_follow_base(*this) ? autograd::kFollowsBase : impl_->meta->grad_fn->name();
}

Tensor& Tensor::requires_grad_(bool requires_grad) {
  check_not_fixed("requires_grad_", impl_of(*this));
  check(!requires_grad || is_floating(), "requires_grad_: a tensor of ", dtype(),
        " has no gradient; convert it with to(float32)");
  check(is_leaf(), "requires_grad_: the tensor was made by ", grad_fn_name(),
        "; only leaves can change, detach() it");
  if (requires_grad || impl_->meta) autograd::meta_of(*this).requires_grad = requires_grad;
  return *this;
}

Tensor Tensor::grad() const {
  const TensorImpl& impl = impl_of(*this);
  return impl.meta ? impl.meta->grad : Tensor();
}

void Tensor::set_grad(const Tensor& grad) const {
  if (capturing != nullptr) [[unlikely]]
    capturing->changes_gradient(*this, !grad.defined());
  if (!grad.defined()) {
    if (impl_of(*this).meta) impl_->meta->grad = Tensor();
    return;
  }
  check(grad.shape() == shape() && grad.dtype() == dtype() && grad.device() == device(), "set_grad: got ",
        grad.dtype(), " ", grad.shape(), " on ", grad.device(), " for a tensor of ", dtype(), " ", shape(),
        " on ", device(), "; a gradient has the kind of its tensor");
  autograd::meta_of(*this).grad = grad;
}

void Tensor::retain_grad() const {
  check_not_fixed("retain_grad", impl_of(*this));
  check(requires_grad(),
        "retain_grad: the tensor does not require grad; call requires_grad_() before it is used");
  autograd::follow_base(*this);
  autograd::Meta& meta = autograd::meta_of(*this);
  if (is_leaf() || meta.retain_grad) return;
  meta.retain_grad = true;
  register_hook([target = std::weak_ptr<TensorImpl>(impl_)](const Tensor& grad) {
    if (const auto impl = target.lock()) {
      Tensor& sum = impl->meta->grad;
      sum = sum.defined() ? sum.add(grad) : grad.clone();
    }
    return Tensor();
  });
}

Tensor Tensor::detach() const {
  become_row_major(*this);
  return make_alias(*this);
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  std::vector<Tensor> gradients;
  if (gradient.defined()) gradients.push_back(gradient);
  autograd::backward({*this}, gradients, {.retain_graph = retain_graph, .create_graph = create_graph});
}

int Tensor::register_hook(Hook hook) const {
  check_not_fixed("register_hook", impl_of(*this));
  check(requires_grad(),
        "register_hook: the tensor does not require grad, so its hook would never be called; call "
        "requires_grad_() first");
  autograd::follow_base(*this);
  static std::atomic<int> next_id = 0;
  const int id = next_id++;
  autograd::Meta& meta = autograd::meta_of(*this);
  if (meta.grad_fn)
    meta.grad_fn->hooks.push_back({meta.output, id, std::move(hook)});
  else
    meta.hooks.emplace_back(id, std::move(hook));
  return id;
}

void Tensor::remove_hook(int id) const {
  if (!impl_of(*this).meta) return;
  autograd::Meta& meta = *impl_->meta;
  std::erase_if(meta.hooks, [id](const auto& entry) { return entry.first == id; });
  if (meta.grad_fn) std::erase_if(meta.grad_fn->hooks, [id](const auto& entry) { return entry.id == id; });
}

}  // namespace miniparallel
