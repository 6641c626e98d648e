#include "parallel/scattered_sums.h"

#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include "engine/tensor/tensor_impl.h"

#include <utility>

namespace miniparallel::parallel {
namespace {

/// A tensor of all elements of a block.
Tensor whole(std::shared_ptr<Storage> storage, DType dtype, std::int64_t elements) {
  auto impl = std::make_shared<TensorImpl>();
  impl->version = std::shared_ptr<Version>(storage, &storage->version());
  impl->storage = std::move(storage);
  impl->shape = {elements};
  impl->strides = {1};
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

}  // namespace

ScatteredSums::ScatteredSums(const Tensor& first, std::vector<Tensor> others,
                             std::shared_ptr<const Partition> partition,
                             std::shared_ptr<std::atomic<std::int64_t>> bytes)
    : dtype_(first.dtype()),
      first_(first.impl()->storage),
      elements_(first.numel()),
      others_(std::move(others)),
      partition_(std::move(partition)),
      bytes_(std::move(bytes)) {}

void ScatteredSums::defer(const std::vector<const Arena*>& sums,
                          const std::shared_ptr<const Partition>& partition,
                          const std::shared_ptr<std::atomic<std::int64_t>>& bytes) {
  for (std::size_t block = 0; block < sums[0]->blocks().size(); ++block) {
    const Tensor& first = sums[0]->blocks()[block];
    std::vector<Tensor> others;
    for (std::size_t device = 1; device < sums.size(); ++device)
      others.push_back(sums[device]->blocks()[block]);
    Storage& storage = *first.impl()->storage;
    if (storage.pending() == nullptr)
      storage.set_pending(std::make_unique<Pending>(first.device(), std::vector<std::size_t>()));
    storage.pending()->defer(
        std::shared_ptr<const ScatteredSums>(new ScatteredSums(first, std::move(others), partition, bytes)));
  }
}

void ScatteredSums::forget(const Arena& arena) {
  for (const Tensor& block : arena.blocks())
    if (Pending* const pending = block.impl()->storage->pending()) pending->defer(nullptr);
}

Tensor ScatteredSums::in_shards_of(std::size_t device, const Tensor& gradient) {
  const Pending* const pending = gradient.impl()->storage->pending();
  if (pending == nullptr) return {};
  const auto sums = std::dynamic_pointer_cast<const ScatteredSums>(pending->deferred());
  const std::int64_t begin = gradient.impl()->offset, end = begin + gradient.numel();
  if (sums == nullptr || !sums->partition_->owns(device, sums->dtype_, begin, end)) return {};
  return device == 0 ? gradient : make_alias(sums->others_[device - 1], {end - begin}, {1}, begin);
}

bool ScatteredSums::is_for(std::size_t begin, std::size_t end) const {
  const std::size_t size = size_of(dtype_);
  return !partition_->owns(0, dtype_, static_cast<std::int64_t>(begin / size),
                           static_cast<std::int64_t>((end + size - 1) / size));
}

void ScatteredSums::run() const {
  const NoGradGuard no_grad;
  const Tensor target = whole(first_.lock(), dtype_, elements_);
  for (const auto& [device, begin, end] : partition_->shards(target)) {
    if (device == 0) continue;
    target.narrow(0, begin, end - begin).copy_(others_[device - 1].narrow(0, begin, end - begin));
    *bytes_ += (end - begin) * static_cast<std::int64_t>(size_of(dtype_));
  }
}

}  // namespace miniparallel::parallel
