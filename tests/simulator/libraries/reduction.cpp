#include "reduction.h"

#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace miniparallel::simulator {
namespace {

template <class F>
bool with_type(ncclDataType_t type, F&& f) {
  switch (type) {
    case ncclInt8:
      return f(std::int8_t{}), true;
    case ncclUint8:
      return f(std::uint8_t{}), true;
    case ncclInt32:
      return f(std::int32_t{}), true;
    case ncclUint32:
      return f(std::uint32_t{}), true;
    case ncclInt64:
      return f(std::int64_t{}), true;
    case ncclUint64:
      return f(std::uint64_t{}), true;
    case ncclFloat16:
      return f(__half{}), true;
    case ncclFloat32:
      return f(float{}), true;
    case ncclFloat64:
      return f(double{}), true;
    case ncclBfloat16:
      return f(__nv_bfloat16{}), true;
    case ncclFloat8e4m3:
      return f(__nv_fp8_e4m3{}), true;
    case ncclFloat8e5m2:
      return f(__nv_fp8_e5m2{}), true;
    default:
      return false;
  }
}

/// The type in which elements of type T are reduced; 64 unsigned
/// bits hold every integer sum and product modulo 2^64.
template <class T>
using Accumulator = std::conditional_t<std::is_integral_v<T>, std::uint64_t,
                                       std::conditional_t<std::is_same_v<T, double>, double, float>>;

template <class T>
T combine(ncclRedOp_t op, T left, T right) {
  using A = Accumulator<T>;
  const auto a = static_cast<A>(left), b = static_cast<A>(right);
  switch (op) {
    case ncclProd:
      return static_cast<T>(a * b);
    case ncclMax:
      return left < right ? right : left;
    case ncclMin:
      return right < left ? right : left;
    default:
      return static_cast<T>(a + b);
  }
}

template <class T>
T divide(T sum, std::size_t ranks) {
  return static_cast<T>(sum / static_cast<T>(ranks));
}

}  // namespace

std::size_t size_of(ncclDataType_t type) {
  std::size_t size = 0;
  with_type(type, [&](auto zero) { size = sizeof(zero); });
  return size;
}

void reduce(ncclDataType_t type, ncclRedOp_t op, std::span<const void* const> inputs, void* target,
            std::size_t count) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    using Value = std::conditional_t<std::is_arithmetic_v<T>, T, float>;
    for (std::size_t i = 0; i < count; ++i) {
      auto value = static_cast<Value>(static_cast<const T*>(inputs.front())[i]);
      for (const void* input : inputs.subspan(1)) {
        value = combine(op, value, static_cast<Value>(static_cast<const T*>(input)[i]));
      }
      if (op == ncclAvg) value = divide(value, inputs.size());
      static_cast<T*>(target)[i] = static_cast<T>(value);
    }
  });
}

}  // namespace miniparallel::simulator
