#pragma once

#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>

#include <cstddef>
#include <span>
#include <string>

namespace miniparallel::io {

/// The array in the bytes of a .npy file; `name` is the file that errors speak of.
Tensor parse_npy(std::span<const std::byte> bytes, const std::string& name);

/// What comes before the elements of a .npy file, whose size is a multiple of 64.
std::string npy_header(const Tensor& tensor, const std::string& name);

/// The arrays in the bytes of a .npz file.
StateDict parse_npz(std::span<const std::byte> bytes, const std::string& name);

}  // namespace miniparallel::io
