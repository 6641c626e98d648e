#include <miniparallel/tensor.h>

#include <miniparallel/autograd.h>
#include <miniparallel/cuda.h>

#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/tensor/autograd_meta.h"
#include "engine/tensor/channels_last.h"
#include "engine/tensor/pending.h"
#include "engine/tensor/tensor_impl.h"
#include "engine/types/representable.h"
#include "engine/types/shape.h"

namespace miniparallel {

TensorImpl::TensorImpl() = default;
TensorImpl::~TensorImpl() = default;

const TensorImpl& impl_of(const Tensor& tensor) {
  check(tensor.defined(), "an undefined tensor was used; assign it first");
  return *tensor.impl();
}

Tensor make_tensor(const Shape& shape, DType dtype, Device device) {
  std::int64_t bytes = 0;
  check(!__builtin_mul_overflow(shape.numel(), static_cast<std::int64_t>(size_of(dtype)), &bytes), "shape ",
        shape, " of ", dtype, " does not fit the address space; make it smaller");
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
  if (shape.numel() == 0) return true;
  std::int64_t expected = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
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

Tensor make_alias(const Tensor& base) {
  const TensorImpl& from = impl_of(base);
  Tensor alias = make_alias(base, from.shape, from.strides, from.offset);
  alias.impl()->channels_last = from.channels_last;
  return alias;
}

void wait_for_pending(const TensorImpl& tensor) {
  if (tensor.shape.numel() == 0) return;
  std::int64_t last = tensor.offset;
  for (int d = 0; d < tensor.shape.rank(); ++d) last += (tensor.shape[d] - 1) * tensor.strides[d];
  const std::size_t size = size_of(tensor.dtype);
  tensor.storage->pending()->wait(static_cast<std::size_t>(tensor.offset) * size,
                                  static_cast<std::size_t>(last + 1) * size);
}

bool is_exclusive(const Tensor& tensor) {
  return tensor.defined() && tensor.impl()->contiguous && is_exclusive_as_it_lies(tensor);
}

bool is_exclusive_as_it_lies(const Tensor& tensor) {
  if (!tensor.defined() || tensor.impl().use_count() != 1) return false;
  // Every tensor of an alias group holds its version. The storage's own version lives in the storage's
  // control block, which a lone tensor holds twice.
  const TensorImpl& impl = *tensor.impl();
  const long alone = impl.version.get() == &impl.storage->version() ? 2 : 1;
  return impl.version.use_count() == alone && (impl.contiguous || impl.channels_last) &&
         !tensor.requires_grad();
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
  to.channels_last = from.channels_last;
  if (converted && to.meta && to.meta->grad.defined()) {
    const NoGradGuard no_grad;
    to.meta->grad = to.meta->grad.to(source.device(), source.dtype());
  }
}

// Not inline: there are thousands of them in a program, each some sixty bytes of code.
Tensor::Tensor(const Tensor&) = default;
Tensor::~Tensor() = default;

const Shape& Tensor::shape() const { return impl_of(*this).shape; }
const Shape& Tensor::strides() const { return impl_of(*this).strides; }
int Tensor::dim() const { return impl_of(*this).shape.rank(); }
std::int64_t Tensor::numel() const { return impl_of(*this).shape.numel(); }
DType Tensor::dtype() const { return impl_of(*this).dtype; }
Device Tensor::device() const { return impl_of(*this).storage->device(); }
bool Tensor::is_contiguous() const { return impl_of(*this).contiguous; }
bool Tensor::is_floating() const { return miniparallel::is_floating(dtype()); }

std::int64_t Tensor::size(int dim) const {
  check(this->dim() > 0, "size: a tensor without dimensions has no dimension ", dim, "; unsqueeze it first");
  return shape()[normalize_dim("size", dim, this->dim())];
}

std::uint32_t Tensor::version() const {
  return impl_of(*this).version->writes.load(std::memory_order_relaxed);
}

void* Tensor::checked_data(DType wanted) const {
  check(device().is_cpu(), "data: the tensor is on ", device(), "; bring it here with cpu()");
  check(dtype() == wanted, "data: the tensor is ", dtype(), ", not ", wanted, "; convert it with to(", wanted,
        ")");
  impl()->storage->wait_for_copies();
  return raw(*this);
}

void* detail::device_data(const Tensor& tensor, DType dtype) {
  check(tensor.device().is_cuda(),
        "device_data: the tensor is on the CPU; bring it to a GPU with to(device)");
  check(tensor.dtype() == dtype, "device_data: the tensor is ", tensor.dtype(), ", not ", dtype,
        "; convert it with to(", dtype, ")");
  become_row_major(tensor);
  return raw(tensor);
}

Scalar Tensor::scalar() const {
  check(numel() == 1, "item: the tensor of shape ", shape(), " has ", numel(),
        " elements, not one; select one, or use to_vector()");
  stop_capture("reads a tensor on the host, by item", "return it and read it after the step");
  if (is_floating() || dtype() == boolean) {
    double value = 0;
    copy_to_host(&value, float64);
    return dtype() == boolean ? Scalar(value != 0) : Scalar(value);
  }
  std::int64_t value = 0;
  copy_to_host(&value, int64);
  return value;
}

void detail::check_item(Scalar value, std::int64_t lowest, std::uint64_t greatest) {
  const std::int64_t integer = value.as_int64();
  const bool above = integer > 0 && static_cast<std::uint64_t>(integer) > greatest;
  check(is_representable(value, int64) && integer >= lowest && !above, "item: the element is ", value,
        ", and the type asked for goes from ", lowest, " to ", greatest, "; ask for a wider one");
}

}  // namespace miniparallel

template std::vector<miniparallel::Tensor>::vector::~vector();
