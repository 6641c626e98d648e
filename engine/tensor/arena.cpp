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
  std::vector<Place> places;
  for (const Tensor& tensor : like) {
    const DType dtype = tensor.dtype();
    const auto block = static_cast<std::size_t>(std::ranges::find(dtypes, dtype) - dtypes.begin());
    if (block == dtypes.size()) {
      dtypes.push_back(dtype);
      sizes.push_back(0);
    }
    places.push_back({block, sizes[block], tensor.shape()});
    sizes[block] += padded(tensor.numel(), dtype);
  }
  for (std::size_t i = 0; i < sizes.size(); ++i)
    blocks_.push_back(zeros({sizes[i]}, {.dtype = dtypes[i], .device = device}));
  layout_ = std::make_shared<const std::vector<Place>>(std::move(places));
}

Arena Arena::empty_like() const {
  Arena made = *this;
  for (Tensor& block : made.blocks_) block = make_tensor(block.shape(), block.dtype(), block.device());
  return made;
}

Arena Arena::zeros_on(Device device) const {
  Arena made = *this;
  for (Tensor& block : made.blocks_) block = zeros(block.shape(), {.dtype = block.dtype(), .device = device});
  return made;
}

Tensor Arena::tensor(std::size_t i) const {
  const Place& place = (*layout_)[i];
  Tensor made = make_alias(blocks_[place.block], place.shape, place.shape.row_major_strides(), place.begin);
  made.impl()->version = std::make_shared<Version>();
  return made;
}

bool Arena::has_place(std::size_t i, const Tensor& tensor) const {
  const Place& place = (*layout_)[i];
  const TensorImpl& impl = *tensor.impl();
  return impl.dtype == blocks_[place.block].dtype() && impl.shape == place.shape && impl.contiguous;
}

bool Arena::holds(std::size_t i, const Tensor& tensor) const {
  const Place& place = (*layout_)[i];
  return has_place(i, tensor) && tensor.impl()->offset == place.begin &&
         tensor.impl()->storage == blocks_[place.block].impl()->storage;
}

bool Arena::is_followed(std::size_t i) const {
  return i + 1 < size() && (*layout_)[i].block == (*layout_)[i + 1].block;
}

bool Arena::follow_one_another(std::size_t i, const Tensor& a, const Tensor& b) const {
  return is_followed(i) && has_place(i, a) && has_place(i + 1, b) && a.impl()->storage == b.impl()->storage &&
         b.impl()->offset - a.impl()->offset == (*layout_)[i + 1].begin - (*layout_)[i].begin;
}

std::int64_t Arena::length(std::size_t first, std::size_t last) const {
  const Place &from = (*layout_)[first], &to = (*layout_)[last];
  return to.begin + to.shape.numel() - from.begin;
}

Tensor Arena::run(std::size_t first, std::size_t last) const {
  const Place& place = (*layout_)[first];
  return make_alias(blocks_[place.block], {length(first, last)}, {1}, place.begin);
}

Tensor Arena::padded_run(std::size_t first, std::size_t last) const {
  const Place &from = (*layout_)[first], &to = (*layout_)[last];
  const Tensor& block = blocks_[from.block];
  const std::int64_t end = to.begin + padded(to.shape.numel(), block.dtype());
  return make_alias(block, {end - from.begin}, {1}, from.begin);
}

Tensor Arena::run_from(const Tensor& tensor, std::size_t first, std::size_t last) const {
  return make_alias(tensor, {length(first, last)}, {1}, tensor.impl()->offset);
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
