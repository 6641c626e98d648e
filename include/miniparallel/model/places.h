#pragma once

#include <miniparallel/require_cxx20.h>

#include <array>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel::reflect {

namespace detail {

/// So many pointers; up to eight are held without an allocation.
class Pointers {
 public:
  explicit Pointers(std::size_t count) : count_(count) {
    if (count > few_.size()) many_ = std::make_unique<const void*[]>(count);
  }
  std::size_t size() const { return count_; }
  const void** data() { return many_ ? many_.get() : few_.data(); }
  const void* operator[](std::size_t i) const { return many_ ? many_[i] : few_[i]; }

 private:
  std::size_t count_;
  std::array<const void*, 8> few_{};
  std::unique_ptr<const void*[]> many_;
};

}  // namespace detail

/// Where several values of one type are, or the same part of each, so that they can be walked side by side. T
/// is const where they must not be changed. References them, owns nothing.
template <class T>
class Places {
 public:
  explicit Places(T& value) : pointers_(1) { pointers_.data()[0] = &value; }
  Places(T& first, T& second) : pointers_(2) {
    pointers_.data()[0] = &first;
    pointers_.data()[1] = &second;
  }
  Places(T* values, std::size_t count) : pointers_(count) {
    for (std::size_t i = 0; i < count; ++i) pointers_.data()[i] = values + i;
  }
  /// The part `part(whole)` of each.
  template <class Whole, class Part>
  Places(const Places<Whole>& wholes, const Part& part) : pointers_(wholes.size()) {
    const void** const data = pointers_.data();
    for (std::size_t i = 0; i < wholes.size(); ++i) data[i] = std::addressof(part(wholes[i]));
  }

  std::size_t size() const { return pointers_.size(); }
  T& operator[](std::size_t i) const {
    return *static_cast<T*>(const_cast<void*>(pointers_[i]));  // NOLINT: T is const where it was
  }
  /// The value at `i`, moved out unless it must not be changed. A C array, which the walk refuses, has none.
  std::remove_const_t<std::remove_extent_t<T>> take(std::size_t i) const { return std::move((*this)[i]); }

 private:
  detail::Pointers pointers_;
};

template <class Whole, class Part>
Places(const Places<Whole>&, const Part&)
    -> Places<std::remove_reference_t<std::invoke_result_t<const Part&, Whole&>>>;

}  // namespace miniparallel::reflect
