#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>

namespace miniparallel::kernels {

/// How large a call's work is, for the profiler: what `sizes`, a function next to each struct of arguments,
/// returns.
struct Sizes {
  static constexpr std::size_t kMax = 9;

  const char* labels;  ///< names of the values, separated by spaces; null for a shape
  std::int64_t values[kMax];
  std::size_t count;

  Sizes(const char* names, std::span<const std::int64_t> sizes)
      : labels(names), count(std::min(sizes.size(), kMax)) {
    std::copy_n(sizes.begin(), count, values);
  }
  Sizes(const char* names, std::initializer_list<std::int64_t> sizes)
      : Sizes(names, std::span(sizes.begin(), sizes.size())) {}
};

}  // namespace miniparallel::kernels
