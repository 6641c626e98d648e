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

/// The version of a tensor in an arena, which tells its place there.
struct PlaceVersion : Version {
  PlaceVersion(std::int64_t offset, std::int64_t count, std::int64_t next)
      : begin(offset), elements(count), end(next) {}
  const std::int64_t begin, elements;
  const std::int64_t end;  // with the padding
};

std::int64_t numel(const TensorImpl& impl) {
  std::int64_t count = 1;
  for (const std::int64_t size : impl.shape) count *= size;
  return count;
}

/// The place that the tensor's elements are; null for another tensor, such as a view of some of them.
const PlaceVersion* place_of(const TensorImpl& impl) {
  if (impl.version.get() == &impl.storage->version()) return nullptr;
  const auto* const place = static_cast<const PlaceVersion*>(impl.version.get());
  const bool is_whole = impl.offset == place->begin && impl.contiguous && numel(impl) == place->elements;
  return is_whole ? place : nullptr;
}

}  // namespace

/// Gives each tensor a place; the blocks are still to be made.
std::vector<Arena::Block> Arena::lay_out(const std::vector<Tensor>& like) {
  std::vector<Block> blocks;
  std::vector<Place> places;
  for (const Tensor& tensor : like) {
    const DType dtype = tensor.dtype();
    const auto found = std::ranges::find(blocks, dtype, &Block::dtype);
    const auto number = static_cast<std::size_t>(found - blocks.begin());
    if (number == blocks.size()) blocks.push_back({dtype, 0});
    Block& block = blocks[number];
    places.push_back({number, block.size, tensor.shape()});
    block.size += padded(tensor.numel(), dtype);
  }
  layout_ = std::make_shared<const std::vector<Place>>(std::move(places));
  return blocks;
}

Arena::Arena(const std::vector<Tensor>& like, Device device) {
  for (const Block& block : lay_out(like))
    blocks_.push_back(zeros({block.size}, {.dtype = block.dtype, .device = device}));
}

Arena Arena::of(const std::vector<Tensor>& tensors) {
  Arena arena;
  const std::vector<Block> blocks = arena.lay_out(tensors);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::size_t number = (*arena.layout_)[i].block;
    const TensorImpl& impl = *tensors[i].impl();
    if (number == arena.blocks_.size()) {  // the first tensor of a block
      const Block& block = blocks[number];
      if (impl.storage->bytes() != static_cast<std::size_t>(block.size) * size_of(block.dtype)) return {};
      arena.blocks_.push_back(make_alias(tensors[i], {block.size}, {1}, 0));
    }
    const bool shares_version = impl.version.get() == &impl.storage->version();  // with views of the whole
    if (shares_version || !arena.holds(i, tensors[i])) return {};
  }
  return arena;
}

Arena Arena::empty_on(Device device) const {
  Arena made = *this;
  for (Tensor& block : made.blocks_) block = make_tensor(block.shape(), block.dtype(), device);
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
  const std::int64_t elements = place.shape.numel();
  made.impl()->version =
      std::make_shared<PlaceVersion>(place.begin, elements, place.begin + padded(elements, made.dtype()));
  return made;
}

bool Arena::fits(std::size_t i, const Shape& shape, DType dtype) const {
  const Place& place = (*layout_)[i];
  return dtype == blocks_[place.block].dtype() && shape == place.shape;
}

bool Arena::has_place(std::size_t i, const Tensor& tensor) const {
  return fits(i, tensor.shape(), tensor.dtype()) && tensor.is_contiguous();
}

bool Arena::holds(std::size_t i, const Tensor& tensor) const {
  const Place& place = (*layout_)[i];
  return has_place(i, tensor) && tensor.impl()->offset == place.begin &&
         tensor.impl()->storage == blocks_[place.block].impl()->storage;
}

bool Arena::is_followed(std::size_t i) const {
  return i + 1 < size() && (*layout_)[i].block == (*layout_)[i + 1].block;
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

bool are_neighbours(const Tensor& a, const Tensor& b) {
  if (a.impl()->storage != b.impl()->storage) return false;
  const PlaceVersion *const left = place_of(*a.impl()), *const right = place_of(*b.impl());
  return left != nullptr && right != nullptr && left->end == right->begin;
}

std::int64_t elements(const Tensor& first, const Tensor& last) {
  return last.impl()->offset + numel(*last.impl()) - first.impl()->offset;
}

std::byte* raw(const Tensor& first, const Tensor& last) {
  if (first.is_same(last)) return raw(first);
  return raw(make_alias(first, {elements(first, last)}, {1}, first.impl()->offset));
}

Arena pack(const std::vector<Tensor>& tensors) {
  if (tensors.empty()) return {};
  for (const Tensor& tensor : tensors)
    check(tensor.device() == tensors[0].device(), "pack: tensors on ", tensors[0].device(), " and ",
          tensor.device(), "; bring them to one device with to()");
  if (Arena packed = Arena::of(tensors); packed.size() > 0) return packed;
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
