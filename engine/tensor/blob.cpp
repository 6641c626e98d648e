#include "engine/tensor/blob.h"

#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"
#include "engine/types/shape.h"

#include <utility>

namespace miniparallel {
namespace {

/// Bytes from the first element to behind the last one.
std::size_t extent(const char* op, const Shape& shape, const Shape& strides, DType dtype) {
  if (shape.numel() == 0) return 0;
  std::int64_t last = 0, bytes = 0;
  bool overflow = false;
  for (int d = 0; d < shape.rank(); ++d) {
    std::int64_t reach = 0;
    overflow = overflow || __builtin_mul_overflow(shape[d] - 1, strides[d], &reach) ||
               __builtin_add_overflow(last, reach, &last);
  }
  overflow = overflow || __builtin_add_overflow(last, 1, &last) ||
             __builtin_mul_overflow(last, static_cast<std::int64_t>(size_of(dtype)), &bytes);
  check(!overflow, op, ": shape ", shape, " with strides ", strides, " does not fit the address space");
  return static_cast<std::size_t>(bytes);
}

}  // namespace

Tensor make_foreign(const char* op, void* memory, const Shape& shape, const Shape& strides, DType dtype,
                    Device device, std::function<void(void*)> released) {
  check_shape(op, shape);
  check(strides.rank() == shape.rank(), op, ": strides ", strides, " for shape ", shape,
        "; there must be one for each dimension");
  for (int d = 0; d < strides.rank(); ++d)
    check(strides[d] >= 0, op, ": got strides ", strides, "; they must be at least 0, so make a copy");
  check(memory != nullptr || shape.numel() == 0, op, ": got a null pointer for ", shape.numel(),
        " elements of ", dtype, "; pass their address");
  check(reinterpret_cast<std::uintptr_t>(memory) % size_of(dtype) == 0, op,
        ": the pointer is not aligned to ", size_of(dtype), " bytes, as ", dtype, " needs; make a copy");
  auto impl = std::make_shared<TensorImpl>();
  const std::size_t bytes = extent(op, shape, strides, dtype);
  impl->storage = std::make_shared<Storage>(memory, bytes, device);
  impl->version = std::shared_ptr<Version>(impl->storage, &impl->storage->version());
  impl->shape = shape;
  impl->dtype = dtype;
  Tensor made = make_alias(Tensor(impl), shape, strides, 0);
  impl->storage->set_released(std::move(released));  // nothing throws from here on
  return made;
}

void detail::check_blob_dtype(DType of_pointer, const std::optional<DType>& of_options) {
  check(of_options.value_or(of_pointer) == of_pointer, "from_blob: the pointer is one to ", of_pointer,
        ", the options say ", of_options.value_or(of_pointer), "; leave the dtype out");
}

Tensor from_blob(void* memory, const Shape& shape, const BlobOptions& options) {
  check(options.dtype.has_value(), "from_blob: a void* has no dtype; name one, {.dtype = float32}");
  check_shape("from_blob", shape);
  return make_foreign("from_blob", memory, shape, options.strides.value_or(shape.row_major_strides()),
                      *options.dtype, options.device, options.deleter);
}

}  // namespace miniparallel
