#pragma once
// Which bytes of device memory a library call touches.
#include "../runtime.h"
#include "matmul.h"
#include "number.h"

#include <cstdint>
#include <vector>

namespace miniparallel::simulator {

/// The elements of a matrix, without the gaps that a leading dimension leaves.
inline Access access(Use use, const Matrix& matrix) {
  const auto size = size_of(matrix.type);
  const bool columns = matrix.row_stride == 1;
  const auto run = static_cast<std::size_t>(columns ? matrix.rows : matrix.cols);
  const auto runs = static_cast<std::size_t>(columns ? matrix.cols : matrix.rows);
  const auto pitch = static_cast<std::size_t>(columns ? matrix.col_stride : matrix.row_stride);
  return {use, matrix.data, run * size, pitch * size, runs};
}

/// The address of element `offset` of an array of elements
/// of `size` bytes; an array at NULL stays there or near it.
inline void* advanced(const void* array, std::size_t size, std::int64_t offset) {
  return reinterpret_cast<void*>(reinterpret_cast<std::uintptr_t>(array) +
                                 static_cast<std::uintptr_t>(offset) * size);
}

/// alpha or beta: read at once from host memory, or from device memory when the work runs.
class Scalar {
 public:
  Scalar(const void* address, cudaDataType_t type, bool on_device)
      : address_(address), type_(type), on_device_(on_device), value_(on_device ? 0 : read()) {}

  double value() const { return on_device_ ? read() : value_; }

  /// True if the host can tell now that it is not 0.
  bool known_nonzero() const { return !on_device_ && value_ != 0; }

  void add_to(std::vector<Access>& accesses) const {
    if (on_device_) accesses.push_back({Use::read, address_, size_of(type_)});
  }

 private:
  double read() const {
    double value = 0;
    with_type(type_,
              [&](auto zero) { value = convert<double>(*static_cast<const decltype(zero)*>(address_)); });
    return value;
  }

  const void* address_;
  cudaDataType_t type_;
  bool on_device_;
  double value_;
};

}  // namespace miniparallel::simulator
