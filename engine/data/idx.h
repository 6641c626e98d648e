#pragma once

#include <miniparallel/dtype.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace miniparallel::data {

/// The content of an IDX file: an array in row-major order, its elements in this machine's byte order.
struct IdxArray {
  DType dtype;  ///< uint8, int32 (of int8 and int16 too), float32 or float64
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// Reads the IDX format of MNIST (two zero bytes, type, number of dimensions, big-endian sizes and elements),
/// plain or in gzip. `name` is the file that errors speak of.
IdxArray parse_idx(std::span<const std::byte> file, const std::string& name);

}  // namespace miniparallel::data
