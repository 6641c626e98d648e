#pragma once

#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>

#include <string>

/// NumPy's files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
namespace miniparallel {

/// The array in a .npy file, as `numpy.save` writes it, on the CPU: of float16, float32, float64, int32,
/// int64, uint8 or bool; int8, int16 and uint16 become int32, uint32 int64. Either order of the elements in
/// memory is read; the result is row-major. The file is not trusted: damaged, cut off, of another dtype,
/// big-endian or of Python's objects is an `Error` that names it.
Tensor load_npy(const std::string& path);
/// The arrays of a .npz file by name, as `numpy.savez` and `numpy.savez_compressed` write them.
StateDict load_npz(const std::string& path);

/// Writes a .npy file that `numpy.load` reads; the old one is replaced in one step, as by `save`. Throws
/// `Error` for bfloat16, which NumPy has not.
void save_npy(const Tensor& tensor, const std::string& path);
/// Writes tensors as a .npz file, uncompressed. Throws `Error` past its 65535 tensors and 4 GiB: `save` has
/// no such limits.
void save_npz(const StateDict& tensors, const std::string& path);

}  // namespace miniparallel
