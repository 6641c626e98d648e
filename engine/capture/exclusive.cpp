#include "engine/capture/exclusive.h"

#include "engine/capturing.h"
#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"
#include "engine/tensor/tensor_impl.h"

#include <memory>

namespace miniparallel {

Tensor make_exclusive(const Shape& shape, DType dtype, Device device) {
  const OutsideOfStep outside;
  CachingAllocator& owner = allocator(device);
  const kernels::Stream user = stream(device);
  const std::size_t bytes = static_cast<std::size_t>(shape.numel()) * size_of(dtype);
  void* const block = owner.try_allocate(bytes, user);
  if (block == nullptr) return {};
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::make_shared<Storage>(Allocation{&owner, block, user}, bytes, device);
  impl->version = std::shared_ptr<Version>(impl->storage, &impl->storage->version());
  impl->shape = shape;
  impl->strides = shape.row_major_strides();
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

}  // namespace miniparallel
