#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"

#include <cstdint>

/// From a dtype to the type that it stands for, on the host.

namespace miniparallel::kernels {

template <class T>
MP_INLINE const T* in(const void* p) {
  return static_cast<const T*>(p);
}
template <class T>
MP_INLINE T* out(void* p) {
  return static_cast<T*>(p);
}

/// Calls f for the type of float32 or float64: with_type(dtype, [&]<class T>() { ... }).
template <class F>
void with_type(DType dtype, const F& f) {
  dtype == float32 ? f.template operator()<float>() : f.template operator()<double>();
}

/// The same for a type of values and one of indices, uint8 or int32: [&]<class T, class Index>() { ... }.
template <class F>
void with_types(DType dtype, DType index_dtype, const F& f) {
  with_type(dtype, [&]<class T>() {
    index_dtype == uint8 ? f.template operator()<T, std::uint8_t>()
                         : f.template operator()<T, std::int32_t>();
  });
}

/// Something for float32 and for float64, as the loops of a kernel.
template <class Loops>
struct ByDType {
  Loops of_float32, of_float64;
  MP_INLINE const Loops& operator[](DType dtype) const { return dtype == float32 ? of_float32 : of_float64; }
};

}  // namespace miniparallel::kernels
