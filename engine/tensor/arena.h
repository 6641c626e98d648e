#pragma once

#include <miniparallel/tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace miniparallel {

/// Flat blocks of memory, one per dtype, in which tensors stand one after the other, each at a multiple of
/// 256 bytes: work on many of them takes one operation on a run of elements.
class Arena {
 public:
  Arena() = default;
  /// Places for tensors of these shapes and dtypes, in this order; elements and padding are zero.
  Arena(const std::vector<Tensor>& like, Device device);
  /// The arena that `pack` has moved `tensors`, and no others, into; an empty one where they are elsewhere.
  static Arena of(const std::vector<Tensor>& tensors);
  /// The same places in other memory: not initialised, or zero.
  Arena empty_on(Device device) const;
  Arena zeros_on(Device device) const;

  std::size_t size() const { return layout_ ? layout_->size() : 0; }
  const std::vector<Tensor>& blocks() const { return blocks_; }

  /// A new tensor over place `i`, outside of every graph, with a separate version: writing to its neighbours
  /// does not count as writing to it.
  Tensor tensor(std::size_t i) const;
  /// Whether place `i` is one for a tensor of this shape and dtype.
  bool fits(std::size_t i, const Shape& shape, DType dtype) const;
  /// Whether the elements of `tensor` are those of place `i`.
  bool holds(std::size_t i, const Tensor& tensor) const;
  /// Whether place i + 1 follows place i in the same block.
  bool is_followed(std::size_t i) const;
  /// The elements of places `first` to `last`, which follow one another, and the padding between them.
  Tensor run(std::size_t first, std::size_t last) const;
  /// And the padding after them.
  Tensor padded_run(std::size_t first, std::size_t last) const;

 private:
  struct Place {
    std::size_t block;
    std::int64_t begin;
    Shape shape;
  };
  struct Block {
    DType dtype;
    std::int64_t size;
  };
  std::vector<Block> lay_out(const std::vector<Tensor>& like);
  bool has_place(std::size_t i, const Tensor& tensor) const;
  std::int64_t length(std::size_t first, std::size_t last) const;

  std::vector<Tensor> blocks_;
  std::shared_ptr<const std::vector<Place>> layout_;
};

/// Whether `b` has the place after that of `a` in one arena. Only padding is between them.
bool are_neighbours(const Tensor& a, const Tensor& b);
/// How many elements there are from the first one of `first` to the last one of `last`, which is `first`
/// itself or stands some places further in its arena.
std::int64_t elements(const Tensor& first, const Tensor& last);
/// Pointer to them.
std::byte* raw(const Tensor& first, const Tensor& last);
/// Calls f(first, last) for the longest runs of the numbers below `count` in which joins(i) says of each but
/// the last that i + 1 goes with it.
template <class Joins, class F>
void for_each_run(std::size_t count, const Joins& joins, const F& f) {
  for (std::size_t first = 0; first < count; ++first) {
    std::size_t last = first;
    while (last + 1 < count && joins(last)) ++last;
    f(first, last);
    first = last;
  }
}

/// Moves the elements of `tensors`, which are on one device, into an arena, behind their handles: whatever
/// shares a handle follows. Tensors of one storage (views of one another) become independent. Those that were
/// packed before and have stayed where they were stay.
Arena pack(const std::vector<Tensor>& tensors);

}  // namespace miniparallel
