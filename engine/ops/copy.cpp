#include "engine/capturing.h"
#include "engine/ops/common.h"
#include "engine/ops/in_place.h"
#include "engine/profiler/span.h"
#include "engine/types/representable.h"
#include "kernels/elementwise.h"
#include "kernels/map_layout.h"

#include <array>

// Copies and conversions, and the writes that have no other op behind them.

namespace miniparallel {
namespace {

/// Writes `source`, broadcast and converted, to the elements of `target`. Both on the same kind of device.
void copy_elements(const Tensor& target, const Tensor& source) {
  kernels::ElementwiseArgs args;
  args.layout =
      kernels::make_map_layout(target.shape(), {target.strides(), broadcast_strides(source, target.shape())});
  args.operands[0] = raw(target);
  args.operands[1] = raw(source);
  backend(target).elementwise.convert(source.dtype(), target.dtype(), args, stream(target));
}

Tensor converted(const char* name, const Tensor& x, DType dtype, bool channels_last = false) {
  Tensor y = make_laid_out(channels_last, x.shape(), dtype, x.device());
  copy_elements(y, x);
  if (is_floating(dtype) && recording(x))
    record(name, y, {x}, [from = x.dtype()](Backward& b) { b.set(0, b.take_grad().to(from)); });
  return y;
}

/// Writes the elements of `source` to `target` on another device; both contiguous, of one shape and dtype.
void copy_across(const Tensor& target, const Tensor& source) {
  const std::size_t bytes = static_cast<std::size_t>(source.numel()) * size_of(source.dtype());
  if (bytes == 0) return;
  const Device from = source.device(), to = target.device();
  if (capturing != nullptr) [[unlikely]] {
    if (from.is_cpu() && capturing->copies_argument(target, source)) return;
    if (to.is_cpu())
      stop_capture("reads a tensor on the host, by cpu or to", "return it and move it after the step");
    else if (from.is_cpu())
      stop_capture("copies a tensor from the host that is no argument of the step",
                   "make it an argument, or copy it before the first step");
    else if (!accelerator(to).reaches(from.index, to.index))
      stop_capture("copies between GPUs through host memory", "use GPUs that reach each other");
  }
  profiler::Span span(profiler::Kind::device, from.is_cpu() ? "copy_to_device"
                                              : to.is_cpu() ? "copy_to_host"
                                                            : "copy_between_devices");
  if (span.active()) span.set_sizes("bytes", std::array{static_cast<std::int64_t>(bytes)});
  if (from.is_cpu()) {
    target.impl()->storage->record_use(stream(target));
    if (!source.impl()->storage->is_pinned())
      return accelerator(to).copy_to_device(raw(target), raw(source), bytes, stream(target));
    source.impl()->storage->record_use(stream(target));
    return accelerator(to).copy_pinned_to_device(raw(target), raw(source), bytes, stream(target));
  }
  source.impl()->storage->record_use(stream(source));
  if (to.is_cpu()) {
    accelerator(from).copy_to_host(raw(target), raw(source), bytes, stream(source));
    if (!target.impl()->storage->is_pinned()) return;
    target.impl()->storage->record_use(stream(source));  // such a copy has only been enqueued
    return target.impl()->storage->wait_for_copies();
  }
  target.impl()->storage->record_use(stream(target));
  accelerator(to).copy_between(raw(target), stream(target), raw(source), stream(source), bytes);
}

/// A contiguous tensor's elements on another device.
Tensor moved(const Tensor& x, Device device) {
  Tensor y = make_tensor(x.shape(), x.dtype(), device);
  copy_across(y, x);
  return y;
}

}  // namespace

Tensor Tensor::clone() const {
  check_defined("clone", *this);
  return converted("clone", *this, dtype());
}

Tensor Tensor::contiguous() const {
  check_defined("contiguous", *this);
  return is_contiguous() ? *this : converted("contiguous", *this, dtype());
}

Tensor in_channels_last(const Tensor& x) {
  return is_laid_out(true, x) ? x : converted("contiguous", x, x.dtype(), true);
}

Tensor Tensor::to(DType dtype) const {
  check_defined("to", *this);
  return dtype == this->dtype() ? *this : converted("to", *this, dtype, impl()->channels_last);
}

Tensor Tensor::to(Device device) const {
  check_defined("to", *this);
  if (device == this->device()) return *this;
  Tensor y;
  {
    const NoGradGuard no_grad;
    y = moved(contiguous(), device);
  }
  if (is_floating() && recording(*this))
    record("to", y, {*this}, [from = this->device()](Backward& b) { b.set(0, b.take_grad().to(from)); });
  return y;
}

Tensor Tensor::to(Device device, DType dtype) const { return to(device).to(dtype); }

void Tensor::copy_to_host(void* destination, DType dtype) const {
  stop_capture("reads a tensor on the host, by to_vector or printing",
               "return it and read it after the step");
  const NoGradGuard no_grad;
  const Tensor plain = make_alias(*this).to(Device::cpu());
  kernels::ElementwiseArgs args;
  args.layout = kernels::make_layout(shape(), {shape().row_major_strides(), plain.strides()});
  args.operands[0] = destination;
  args.operands[1] = raw(plain);
  backend(plain).elementwise.convert(plain.dtype(), dtype, args, {});
}

Tensor from_data(const void* source, const Shape& shape, DType dtype, Device device) {
  check_shape("from_data", shape);
  Tensor made = make_tensor(shape, dtype, Device::cpu());
  check(source != nullptr || made.numel() == 0, "from_data: got a null pointer for ", made.numel(),
        " elements of ", dtype, "; pass their address");
  kernels::ElementwiseArgs args;
  args.layout = kernels::make_layout(shape, {made.strides(), made.strides()});
  args.operands[0] = made.impl()->data();
  args.operands[1] = const_cast<void*>(source);
  backend(made).elementwise.convert(dtype, dtype, args, {});
  return made.to(device);
}

Tensor& copy_into(const char* op, Tensor& target, const Tensor& source) {
  check_defined(op, target);
  check_defined(op, source);
  const Shape& shape = target.shape();
  check(broadcast_shapes(op, shape, source.shape()) == shape, op, ": ", source.shape(),
        " does not broadcast to ", shape,
        ", the shape of the tensor that is written; only the other operand is stretched");
  const Tensor from = unaliased(source, target);
  const InPlace write(op, target, {from});
  const Device device = target.device();
  if (from.device() != device && target.is_contiguous() && shape == from.shape() &&
      target.dtype() == from.dtype())
    copy_across(target, make_alias(from).contiguous());  // straight into place
  else
    copy_elements(target, make_alias(from).to(device));
  write.finish({target, from}, [shape = source.shape(), dtype = source.dtype()](Backward& b) {
    if (b.needs(0)) b.set(0, zeros_like(b.grad()));
    if (b.needs(1)) b.set(1, sum_to(b.grad(), shape).to(dtype));
  });
  return target;
}

Tensor& Tensor::copy_(const Tensor& source) { return copy_into("copy_", *this, source); }

namespace {

/// The value as one element of `dtype`, in host memory.
struct Element {
  alignas(8) std::byte bytes[8];

  Element(Scalar value, DType dtype) {
    const bool integral = value.kind() != Scalar::Kind::floating;
    const double floating = value.as_double();
    const std::int64_t integer = integral ? value.as_int64() : 0;
    kernels::ElementwiseArgs args;
    args.operands[0] = bytes;
    args.operands[1] = integral ? const_cast<void*>(static_cast<const void*>(&integer))
                                : const_cast<void*>(static_cast<const void*>(&floating));
    kernels::cpu_backend().elementwise.convert(integral ? int64 : float64, dtype, args, {});
  }
};

void fill_elements(const char* op, const Tensor& target, Scalar value) {
  check_representable(op, value, target.dtype());
  kernels::ElementwiseArgs args;
  args.layout = kernels::make_map_layout(target.shape(), {target.strides()});
  args.operands[0] = raw(target);
  backend(target).elementwise.fill(target.dtype(), args, Element(value, target.dtype()).bytes,
                                   stream(target));
}

Tensor& fill_as(const char* op, Tensor& x, Scalar value) {
  const InPlace write(op, x);
  fill_elements(op, x, value);
  write.finish({x}, [](Backward& b) { b.set(0, zeros_like(b.grad())); });
  return x;
}

}  // namespace

Tensor& Tensor::fill_(Scalar value) { return fill_as("fill_", *this, value); }
Tensor& Tensor::zero_() { return fill_as("zero_", *this, 0); }

Tensor make_full(const char* op, const Shape& shape, Scalar value, const TensorOptions& options) {
  check_shape(op, shape);
  const DType natural = value.kind() == Scalar::Kind::floating  ? default_dtype()
                        : value.kind() == Scalar::Kind::integer ? int64
                                                                : boolean;
  Tensor made = make_tensor(shape, options.dtype.value_or(natural), options.device);
  fill_elements(op, made, value);
  return options.requires_grad ? made.requires_grad_() : made;
}

Tensor full(const Shape& shape, Scalar value, const TensorOptions& options) {
  return make_full("full", shape, value, options);
}

}  // namespace miniparallel
