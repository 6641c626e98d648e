#include "engine/tensor/arena.h"

#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>

namespace miniparallel {
namespace {

constexpr std::int64_t kAlignment = 256;  // bytes, as of cudaMalloc's blocks; whole lines of a GPU's caches

std::int64_t padded(std::int64_t elements, DType dtype) {
  const std::int64_t unit = kAlignment / static_cast<std::int64_t>(size_of(dtype));
  return (elements + unit - 1) / unit * unit;
}

}  // namespace

Arena::Arena(const std::vector<Tensor>& like, Device device) {
  std::vector<DType> dtypes;
  std::vector<std::int64_t> sizes;
  for (const Tensor& tensor : like) {
    const DType dtype = tensor.dtype();
    const auto block = static_cast<std::size_t>(std::ranges::find(dtypes, dtype) - dtypes.begin());
    if (block == dtypes.size()) {
      dtypes.push_back(dtype);
      sizes.push_back(0);
    }
    places_.push_back({block, sizes[block], tensor.shape()});
    sizes[block] += padded(tensor.numel(), dtype);
  }
  for (std::size_t i = 0; i < sizes.size(); ++i)
    blocks_.push_back(zeros({sizes[i]}, {.dtype = dtypes[i], .device = device}));
}

Tensor Arena::tensor(std::size_t i) const {
  const Place& place = places_[i];
  Tensor made = make_alias(blocks_[place.block], place.shape, place.shape.row_major_strides(), place.begin);
  made.impl()->version = std::make_shared<Version>();
  return made;
}

bool Arena::holds(std::size_t i, const Tensor& tensor) const {
  const Place& place = places_[i];
  const TensorImpl& impl = *tensor.impl();
  return impl.storage == blocks_[place.block].impl()->storage && impl.offset == place.begin &&
         impl.shape == place.shape && impl.contiguous;
}

bool Arena::is_followed(std::size_t i) const {
  return i + 1 < places_.size() && places_[i].block == places_[i + 1].block;
}

Tensor Arena::run(std::size_t first, std::size_t last) const {
  const std::int64_t begin = places_[first].begin, end = places_[last].begin + places_[last].shape.numel();
  return make_alias(blocks_[places_[first].block], {end - begin}, {1}, begin);
}

Arena pack(const std::vector<Tensor>& tensors) {
  if (tensors.empty()) return {};
  for (const Tensor& tensor : tensors)
    check(tensor.device() == tensors[0].device(), "pack: tensors on ", tensors[0].device(), " and ",
          tensor.device(), "; bring them to one device with to()");
  const NoGradGuard no_grad;
  Arena arena(tensors, tensors[0].device());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    Tensor place = arena.tensor(i);
    place.copy_(tensors[i]);
    set_data(tensors[i], place);
  }
  return arena;
}

}  // namespace miniparallel
