#pragma once

#include <miniparallel/require_cxx20.h>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <type_traits>

namespace miniparallel {

/// Element types. The floating ones compute: float16 and bfloat16 in float32, each result rounded once, to
/// nearest, ties to even. The integers and bool index, count and mask. `Tensor::to` converts.
enum class DType : std::uint8_t { float32, float64, int64, int32, uint8, boolean, float16, bfloat16 };

inline constexpr DType float32 = DType::float32;
inline constexpr DType float64 = DType::float64;
inline constexpr DType int64 = DType::int64;
inline constexpr DType int32 = DType::int32;
inline constexpr DType uint8 = DType::uint8;
inline constexpr DType boolean = DType::boolean;
inline constexpr DType float16 = DType::float16;
inline constexpr DType bfloat16 = DType::bfloat16;

/// Bytes of one element.
constexpr std::size_t size_of(DType dtype) {
  constexpr std::size_t bytes[] = {4, 8, 8, 4, 1, 1, 2, 2};
  return bytes[static_cast<int>(dtype)];
}

/// "float32", "int64", ...
const char* name(DType dtype);
std::ostream& operator<<(std::ostream& stream, DType dtype);

/// float32, float64, float16 or bfloat16.
constexpr bool is_floating(DType dtype) {
  return dtype == float32 || dtype == float64 || dtype == float16 || dtype == bfloat16;
}

/// The dtype that holds both, by PyTorch's rules for two tensors with dimensions: bool < uint8 < int32 <
/// int64 < float16, bfloat16 < float32 < float64 (float16 with bfloat16 gives float32).
DType promote(DType a, DType b);

/// The dtype of tensors created without one; float32 at the
/// start. Per thread; a DataParallel replica inherits it.
DType default_dtype();

/// Sets `default_dtype` for this thread. Throws `Error` unless it is float32 or float64.
void set_default_dtype(DType dtype);

/// An element of 16 bits, as it is stored; `Tensor::to` converts.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

/// The DType of a C++ type: `dtype_of<float> == float32`.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> : std::integral_constant<DType, DType::float32> {};
template <>
struct DTypeOf<double> : std::integral_constant<DType, DType::float64> {};
template <>
struct DTypeOf<std::int64_t> : std::integral_constant<DType, DType::int64> {};
template <>
struct DTypeOf<std::int32_t> : std::integral_constant<DType, DType::int32> {};
template <>
struct DTypeOf<std::uint8_t> : std::integral_constant<DType, DType::uint8> {};
template <>
struct DTypeOf<bool> : std::integral_constant<DType, DType::boolean> {};
template <>
struct DTypeOf<Half> : std::integral_constant<DType, DType::float16> {};
template <>
struct DTypeOf<BFloat16> : std::integral_constant<DType, DType::bfloat16> {};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

}  // namespace miniparallel
