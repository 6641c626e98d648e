#include <miniparallel/tensor.h>

#include "engine/autograd/node.h"
#include "engine/error.h"
#include "engine/ops/common.h"
#include "engine/tensor/tensor_impl.h"

namespace miniparallel {

TensorImpl::TensorImpl() = default;
TensorImpl::~TensorImpl() = default;

namespace {

const TensorImpl& impl_of(const Tensor& tensor) {
  check(tensor.defined(), "an undefined tensor was used; assign it first");
  return *tensor.impl();
}

}  // namespace

Tensor make_tensor(const Shape& shape, DType dtype, Device device) {
  for (const std::int64_t size : shape) check(size >= 0, "shape ", shape, ": a size is negative");
  std::int64_t bytes = 0;
  check(!__builtin_mul_overflow(shape.numel(), static_cast<std::int64_t>(size_of(dtype)), &bytes), "shape ",
        shape, " of ", dtype, " does not fit the address space");
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(static_cast<std::size_t>(bytes), device);
  impl->version = std::shared_ptr<Version>(impl->storage, &impl->storage->version());
  impl->shape = shape;
  impl->strides = shape.row_major_strides();
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

namespace {

bool is_row_major(const Shape& shape, const Shape& strides) {
  std::int64_t expected = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    if (shape[d] == 0) return true;
    if (shape[d] != 1 && strides[d] != expected) return false;
    expected *= shape[d];
  }
  return true;
}

}  // namespace

Tensor make_alias(const Tensor& base, const Shape& shape, const Shape& strides, std::int64_t offset) {
  const TensorImpl& from = impl_of(base);
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = from.storage;
  impl->version = from.version;
  impl->offset = offset;
  impl->shape = shape;
  impl->strides = strides;
  impl->dtype = from.dtype;
  impl->contiguous = is_row_major(shape, strides);
  return Tensor(std::move(impl));
}

bool is_exclusive(const Tensor& tensor) {
  if (!tensor.defined() || tensor.impl().use_count() != 1) return false;
  // Every tensor of an alias group holds its version. The storage's own version lives in the storage's
  // control block, which a lone tensor holds twice.
  const TensorImpl& impl = *tensor.impl();
  const long alone = impl.version.get() == &impl.storage->version() ? 2 : 1;
  return impl.version.use_count() == alone && impl.contiguous && !tensor.requires_grad();
}

void set_data(const Tensor& target, const Tensor& source) {
  TensorImpl& to = *target.impl();
  const TensorImpl& from = impl_of(source);
  const bool converted = to.dtype != from.dtype || to.storage->device() != from.storage->device();
  to.storage = from.storage;
  to.version = from.version;
  to.offset = from.offset;
  to.shape = from.shape;
  to.strides = from.strides;
  to.dtype = from.dtype;
  to.contiguous = from.contiguous;
  if (converted && to.meta && to.meta->grad.defined()) {
    const NoGradGuard no_grad;
    to.meta->grad = to.meta->grad.to(source.device(), source.dtype());
  }
}

const Shape& Tensor::shape() const { return impl_of(*this).shape; }
const Shape& Tensor::strides() const { return impl_of(*this).strides; }
int Tensor::dim() const { return impl_of(*this).shape.rank(); }
std::int64_t Tensor::numel() const { return impl_of(*this).shape.numel(); }
DType Tensor::dtype() const { return impl_of(*this).dtype; }
Device Tensor::device() const { return impl_of(*this).storage->device(); }
bool Tensor::is_contiguous() const { return impl_of(*this).contiguous; }
bool Tensor::is_floating() const { return miniparallel::is_floating(dtype()); }

std::int64_t Tensor::size(int dim) const {
  check(this->dim() > 0, "size: a tensor without dimensions has no dimension ", dim);
  return shape()[normalize_dim("size", dim, this->dim())];
}

std::uint32_t Tensor::version() const {
  return impl_of(*this).version->writes.load(std::memory_order_relaxed);
}

void* Tensor::checked_data(DType wanted) const {
  check(device().is_cpu(), "data: the tensor is on ", device(), "; bring it here with cpu()");
  check(dtype() == wanted, "data: the tensor is ", dtype(), ", not ", wanted, "; convert it with to(", wanted,
        ")");
  return raw(*this);
}

Scalar Tensor::scalar() const {
  check(numel() == 1, "item: the tensor of shape ", shape(), " has ", numel(),
        " elements, not one; select one, or use to_vector()");
  if (is_floating() || dtype() == boolean) {
    double value = 0;
    copy_to_host(&value, float64);
    return dtype() == boolean ? Scalar(value != 0) : Scalar(value);
  }
  std::int64_t value = 0;
  copy_to_host(&value, int64);
  return value;
}

// --- autograd

bool Tensor::requires_grad() const {
  impl_of(*this);
  return autograd::is_tracked(*this);
}

bool Tensor::is_leaf() const {
  const TensorImpl& impl = impl_of(*this);
  return !impl.meta || !impl.meta->grad_fn;
}

std::string Tensor::grad_fn_name() const { return is_leaf() ? "" : impl_->meta->grad_fn->name(); }

Tensor& Tensor::requires_grad_(bool requires_grad) {
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
  check(requires_grad(), "retain_grad: the tensor does not require grad");
  autograd::Meta& meta = autograd::meta_of(*this);
  if (is_leaf() || meta.retain_grad) return;
  meta.retain_grad = true;
  register_hook([target = std::weak_ptr<TensorImpl>(impl_)](const Tensor& grad) {
    if (const auto impl = target.lock()) {
      Tensor& sum = impl->meta->grad;
      sum = sum.defined() ? add(sum, grad) : grad.clone();
    }
    return Tensor();
  });
}

Tensor Tensor::detach() const {
  const TensorImpl& impl = impl_of(*this);
  return make_alias(*this, impl.shape, impl.strides, impl.offset);
}

void Tensor::backward(const Tensor& gradient, bool retain_graph, bool create_graph) const {
  std::vector<Tensor> gradients;
  if (gradient.defined()) gradients.push_back(gradient);
  autograd::backward({*this}, gradients, {.retain_graph = retain_graph, .create_graph = create_graph});
}

int Tensor::register_hook(Hook hook) const {
  check(requires_grad(), "register_hook: the tensor does not require grad, its hook would never be called");
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
