#include <miniparallel/dlpack.h>

#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/tensor/blob.h"
#include "engine/tensor/tensor_impl.h"

#include <cstddef>
#include <memory>

namespace miniparallel {
namespace {

// As in dlpack.h, compiled for a machine of 64 bits.
static_assert(sizeof(dlpack::Tensor) == 48 && offsetof(dlpack::Tensor, device) == 8 &&
              offsetof(dlpack::Tensor, ndim) == 16 && offsetof(dlpack::Tensor, dtype) == 20 &&
              offsetof(dlpack::Tensor, shape) == 24 && offsetof(dlpack::Tensor, byte_offset) == 40);
static_assert(sizeof(dlpack::ManagedTensor) == 80 && offsetof(dlpack::ManagedTensor, manager_ctx) == 8 &&
              offsetof(dlpack::ManagedTensor, deleter) == 16 &&
              offsetof(dlpack::ManagedTensor, flags) == 24 && offsetof(dlpack::ManagedTensor, tensor) == 32);

constexpr dlpack::Version kVersion{1, 0};

struct Row {
  DType dtype;
  dlpack::TypeCode code;
  int bits;
};
constexpr Row kTypes[] = {
    {float32, dlpack::TypeCode::floating, 32},      {float64, dlpack::TypeCode::floating, 64},
    {float16, dlpack::TypeCode::floating, 16},      {bfloat16, dlpack::TypeCode::bfloat, 16},
    {int64, dlpack::TypeCode::integer, 64},         {int32, dlpack::TypeCode::integer, 32},
    {uint8, dlpack::TypeCode::unsigned_integer, 8}, {boolean, dlpack::TypeCode::boolean, 8},
};

dlpack::DataType data_type(DType dtype) {
  for (const Row& row : kTypes)
    if (row.dtype == dtype) return {row.code, static_cast<std::uint8_t>(row.bits), 1};
  fail("to_dlpack: ", dtype, " has no place in DLPack; convert with to(float32)");
}

DType dtype_from(dlpack::DataType type) {
  for (const Row& row : kTypes)
    if (row.code == type.code && row.bits == type.bits && type.lanes == 1) return row.dtype;
  fail("from_dlpack: got a dtype of code ", static_cast<int>(type.code), " with ", int{type.bits},
       " bits and ", type.lanes,
       " lanes; it must be float16, bfloat16, float32, float64, int32, int64, uint8 or bool");
}

Device device_from(dlpack::Device device) {
  using dlpack::DeviceType;
  if (device.type == DeviceType::cpu || device.type == DeviceType::cuda_host) return Device::cpu();
  check(device.type == DeviceType::cuda || device.type == DeviceType::cuda_managed,
        "from_dlpack: got memory of device type ", static_cast<std::int32_t>(device.type),
        "; it must be that of the CPU, 1, or of CUDA, 2");
  return Device::cuda(device.id);
}

/// What an exported description points to.
struct Exported {
  dlpack::ManagedTensor managed;
  Tensor tensor;  // keeps the elements
  Shape shape, strides;
};

void delete_exported(dlpack::ManagedTensor* managed) { delete static_cast<Exported*>(managed->manager_ctx); }

}  // namespace

dlpack::ManagedTensor* to_dlpack(const Tensor& tensor) {
  check(tensor.defined(), "to_dlpack: the tensor is undefined; assign it first");
  auto exported = std::make_unique<Exported>(Exported{{}, tensor.detach(), tensor.shape(), tensor.strides()});
  const Device device = tensor.device();
  if (device.is_cuda()) synchronize(device);
  exported->managed = {
      .version = kVersion,
      .manager_ctx = exported.get(),
      .deleter = delete_exported,
      .flags = 0,
      .tensor = {
          .data = raw(exported->tensor),
          .device = {device.is_cuda() ? dlpack::DeviceType::cuda : dlpack::DeviceType::cpu, device.index},
          .ndim = tensor.dim(),
          .dtype = data_type(tensor.dtype()),
          .shape = exported->shape.begin(),
          .strides = exported->strides.begin(),
          .byte_offset = 0}};
  return &exported.release()->managed;
}

Tensor from_dlpack(dlpack::ManagedTensor* managed) {
  check(managed != nullptr, "from_dlpack: got a null pointer; pass the description of a tensor");
  check(managed->version.major == kVersion.major, "from_dlpack: got version ", managed->version.major, ".",
        managed->version.minor, " of DLPack; this is ", kVersion.major, ".", kVersion.minor,
        ", so ask the other library for that one");
  const dlpack::Tensor& from = managed->tensor;
  check(from.ndim >= 0 && from.ndim <= kMaxRank, "from_dlpack: got ", from.ndim,
        " dimensions; tensors have at most ", kMaxRank);
  const Shape shape(from.shape, from.shape + from.ndim);
  const Shape strides =
      from.strides != nullptr ? Shape(from.strides, from.strides + from.ndim) : shape.row_major_strides();
  auto* const memory = static_cast<std::byte*>(from.data) + from.byte_offset;
  const Tensor shared = make_foreign("from_dlpack", memory, shape, strides, dtype_from(from.dtype),
                                     device_from(from.device), {});
  const bool read_only = (managed->flags & dlpack::kReadOnly) != 0;
  Tensor result = read_only ? shared.clone() : shared;
  if (read_only && result.is_cuda()) synchronize(result.device());
  if (managed->deleter != nullptr) {
    if (read_only) {
      managed->deleter(managed);
    } else {
      shared.impl()->storage->set_released([managed](void*) { managed->deleter(managed); });
    }
  }
  return result;
}

}  // namespace miniparallel
