#include "engine/types/shape.h"

#include "engine/error.h"

#include <algorithm>
#include <ostream>

namespace miniparallel {

Shape Shape::filled(int rank, std::int64_t value) {
  Shape shape;
  for (int d = 0; d < rank; ++d) shape.push_back(value);
  return shape;
}

void Shape::push_back(std::int64_t value) {
  check(rank_ < kMaxRank, "shape: more than ", kMaxRank, " dimensions; merge some with reshape");
  values_[rank_++] = value;
}

void Shape::insert(int position, std::int64_t value) {
  push_back(value);
  std::rotate(begin() + position, end() - 1, end());
}

void Shape::erase(int position) {
  std::copy(begin() + position + 1, end(), begin() + position);
  --rank_;
}

std::int64_t Shape::numel() const {
  std::int64_t n = 1;
  bool overflow = false, empty = false;
  for (const std::int64_t size : *this) {  // the sizes next to a zero too: strides are made of them
    empty |= size == 0;
    overflow |= size != 0 && __builtin_mul_overflow(n, size, &n);
  }
  check(!overflow, "shape ", *this, ": the number of elements does not fit 63 bits; make it smaller");
  return empty ? 0 : n;
}

Shape Shape::row_major_strides() const {
  Shape strides = *this;
  std::int64_t stride = 1;
  for (int d = rank_ - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= std::max<std::int64_t>(values_[d], 1);
  }
  return strides;
}

bool operator==(const Shape& a, const Shape& b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int d = 0; d < shape.rank(); ++d) text += (d > 0 ? ", " : "") + std::to_string(shape[d]);
  return text + "]";
}

std::ostream& operator<<(std::ostream& stream, const Shape& shape) { return stream << to_string(shape); }

int normalize_dim(const char* op, std::int64_t dim, int rank) {
  const int range = std::max(rank, 1);
  check(dim >= -range && dim < range, op, ": dimension ", dim, " is out of range for a tensor with ", rank,
        " dimensions; it must be from ", -range, " to ", range - 1);
  return static_cast<int>(dim < 0 ? dim + range : dim);
}

void check_shape(const char* op, const Shape& shape) {
  for (const std::int64_t size : shape)
    check(size >= 0, op, ": shape ", shape, " has a negative size; every size must be at least 0");
}

namespace {

/// The size of dimension -d, which is 1 beyond the first.
std::int64_t size_from_end(const Shape& shape, int d) {
  return d <= shape.rank() ? shape[shape.rank() - d] : 1;
}

bool broadcast_at(const Shape& a, const Shape& b, int d) {
  const std::int64_t of_a = size_from_end(a, d), of_b = size_from_end(b, d);
  return of_a == of_b || of_a == 1 || of_b == 1;
}

}  // namespace

std::optional<Shape> broadcast_sizes(const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  Shape result = Shape::filled(rank, 1);
  for (int d = 1; d <= rank; ++d) {
    if (!broadcast_at(a, b, d)) return {};
    const std::int64_t of_a = size_from_end(a, d);
    result[rank - d] = of_a == 1 ? size_from_end(b, d) : of_a;
  }
  return result;
}

Shape broadcast_shapes(const char* op, const Shape& a, const Shape& b) {
  if (const std::optional<Shape> sizes = broadcast_sizes(a, b)) return *sizes;
  int d = 1;
  while (broadcast_at(a, b, d)) ++d;
  fail(op, ": shapes ", a, " and ", b, " do not broadcast: sizes ", size_from_end(a, d), " and ",
       size_from_end(b, d), " at dimension ", -d, "; they must be equal or one of them 1");
}

}  // namespace miniparallel
