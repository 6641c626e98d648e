#pragma once

#include <miniparallel/require_cxx20.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>
#include <vector>

namespace miniparallel {

/// Most dimensions that a tensor can have.
inline constexpr int kMaxRank = 8;

/// A short list of sizes, strides or dimension numbers, kept inline (no allocation).
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> values) : Shape(values.begin(), values.end()) {}
  /// One size: `zeros(3)`, `sum(x, 1)`. Not a bool, which is meant for another parameter.
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  Shape(T size) : Shape{static_cast<std::int64_t>(size)} {}                                // NOLINT: implicit
  Shape(const std::vector<std::int64_t>& values) : Shape(values.begin(), values.end()) {}  // NOLINT: implicit
  template <class Iterator>
  Shape(Iterator first, Iterator last) {
    for (; first != last; ++first) push_back(*first);
  }
  /// `rank` values, all equal to `value`.
  static Shape filled(int rank, std::int64_t value);

  int rank() const { return rank_; }
  std::size_t size() const { return static_cast<std::size_t>(rank_); }
  bool empty() const { return rank_ == 0; }
  /// Value i, from 0 to rank() - 1. Unchecked, as `front` and `back` of an empty one are.
  std::int64_t& operator[](int i) { return values_[i]; }
  std::int64_t operator[](int i) const { return values_[i]; }
  std::int64_t* begin() { return values_; }
  std::int64_t* end() { return values_ + rank_; }
  const std::int64_t* begin() const { return values_; }
  const std::int64_t* end() const { return values_ + rank_; }
  std::int64_t front() const { return values_[0]; }
  std::int64_t back() const { return values_[rank_ - 1]; }

  /// Throws `Error` past `kMaxRank` values.
  void push_back(std::int64_t value);
  /// Before `position`, from 0 to rank(). Throws `Error` past `kMaxRank` values.
  void insert(int position, std::int64_t value);
  void erase(int position);  ///< the value at `position`, from 0 to rank() - 1

  /// Product of the values; 1 when empty. Throws `Error` when it does not fit 63 bits.
  std::int64_t numel() const;
  /// Strides of a row-major tensor of these sizes.
  Shape row_major_strides() const;

  friend bool operator==(const Shape& a, const Shape& b);
  friend std::ostream& operator<<(std::ostream& stream, const Shape& shape);  ///< "[2, 3]"

 private:
  std::int64_t values_[kMaxRank] = {};
  int rank_ = 0;
};

/// "[2, 3]".
std::string to_string(const Shape& shape);

}  // namespace miniparallel
