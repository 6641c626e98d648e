#pragma once

#include <miniparallel/tensor.h>

#include "engine/capturing.h"
#include "engine/tensor/storage.h"

#include <memory>

namespace miniparallel {

namespace autograd {
struct Meta;
}

/// The state that all handles of one tensor share.
struct TensorImpl {
  TensorImpl();
  ~TensorImpl();

  std::shared_ptr<Storage> storage;
  std::shared_ptr<Version>
      version;  ///< shared by the alias group; not the storage's when several tensors are packed in it
  std::int64_t offset = 0;  ///< of the first element in the storage, in elements
  Shape shape, strides;
  DType dtype = DType::float32;
  bool contiguous = true;                ///< row-major without gaps
  bool channels_last = false;            ///< see channels_last.h
  std::shared_ptr<const Tensor> base;    ///< of a view: whose elements it shows, and whose history it follows
  bool untracked_view = false;           ///< made while grad mode was off: follows no base
  std::uint32_t view_version = 0;        ///< of the alias group when the view took its history
  std::unique_ptr<autograd::Meta> meta;  ///< null for a tensor that autograd has not seen

  std::byte* data() const { return storage->data() + static_cast<std::size_t>(offset) * size_of(dtype); }
};

/// The tensor's; throws for an undefined one.
const TensorImpl& impl_of(const Tensor& tensor);

/// A new contiguous tensor, elements not initialised.
Tensor make_tensor(const Shape& shape, DType dtype, Device device);

/// A tensor over the same storage and alias group, outside the graph.
Tensor make_alias(const Tensor& base, const Shape& shape, const Shape& strides, std::int64_t offset);
/// The same of all elements as they lie.
Tensor make_alias(const Tensor& base);

/// Notes a write to the elements of `tensor`.
inline void bump_version(const Tensor& tensor) {
  if (capturing != nullptr) [[unlikely]]
    capturing->writes(tensor);
  tensor.impl()->version->writes.fetch_add(1, std::memory_order_relaxed);
}

/// Takes storage, layout and dtype over from `source`: every handle of `target` now sees the new elements.
/// The graph and `requires_grad` stay; a gradient of another dtype or device is converted.
void set_data(const Tensor& target, const Tensor& source);

/// No other handle holds this tensor or another of its alias group, so it may be overwritten: the one test
/// by which gradients are reused instead of copied. It counts handles: a saved, captured or kept gradient, a
/// view, and any second `Tensor` make it false, so callers move the tensors that they hand on. False also for
/// a tensor that is not contiguous (kernels write rows) or requires grad (a graph may still need it).
bool is_exclusive(const Tensor& tensor);
/// The same, true also of one that is channels-last, for those who write where the elements lie.
bool is_exclusive_as_it_lies(const Tensor& tensor);

/// Makes the calling thread's stream wait for what other streams do with the elements.
void wait_for_pending(const TensorImpl& tensor);

/// Pointer to the first element, whatever the dtype and device, for work that the
/// calling thread enqueues next.
inline std::byte* raw(const Tensor& tensor) {
  const TensorImpl& impl = *tensor.impl();
  if (impl.storage->pending() != nullptr) [[unlikely]]
    wait_for_pending(impl);
  if (capturing != nullptr) [[unlikely]]
    capturing->uses(tensor);
  return impl.data();
}

}  // namespace miniparallel
