#pragma once

#include <miniparallel/tensor.h>

#include <cstdint>

/// Tensors to and from other libraries in the same process, without a copy, by DLPack
/// (https://github.com/dmlc/dlpack): NumPy, PyTorch, CuPy and JAX speak it too.
namespace miniparallel {

/// DLPack's structs as its version 1 lays them out in memory: a pointer to one of dlpack.h may be cast to one
/// of these and back.
namespace dlpack {

enum class DeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_host = 3, cuda_managed = 13 };
struct Device {
  DeviceType type;
  std::int32_t id;
};

enum class TypeCode : std::uint8_t {
  integer = 0,
  unsigned_integer = 1,
  floating = 2,
  bfloat = 4,
  boolean = 6
};
struct DataType {
  TypeCode code;
  std::uint8_t bits;
  std::uint16_t lanes;  ///< 1 but for vector types
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  ///< in elements; null: row-major
  std::uint64_t byte_offset;
};

struct Version {
  std::uint32_t major, minor;
};
inline constexpr std::uint64_t kReadOnly = 1;  ///< a flag

/// DLManagedTensorVersioned. Whoever holds it last calls `deleter(this)`.
struct ManagedTensor {
  Version version;
  void* manager_ctx;
  void (*deleter)(ManagedTensor* self);  ///< may be null
  std::uint64_t flags;
  Tensor tensor;
};

}  // namespace dlpack

/// A description of the tensor for another library, which shares its elements and calls `deleter` when it is
/// done. Outside of the graph; what a GPU is to do with the elements is done. Throws `Error` for an undefined
/// one.
dlpack::ManagedTensor* to_dlpack(const Tensor& tensor);

/// The tensor that another library describes. It shares the elements and calls `deleter` when the last tensor
/// that uses them is gone; of elements that may only be read it is a copy. Work that a GPU has with them must
/// be done or be ordered before. Throws `Error` and leaves `managed` to the caller for another version,
/// device, dtype, for negative strides or more than 8 dimensions.
Tensor from_dlpack(dlpack::ManagedTensor* managed);

}  // namespace miniparallel
