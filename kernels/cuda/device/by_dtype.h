#pragma once

#include <miniparallel/dtype.h>

namespace miniparallel::kernels::cuda {

template <class T>
const T* in(const void* p) {
  return static_cast<const T*>(p);
}
template <class T>
T* out(void* p) {
  return static_cast<T*>(p);
}

/// Calls f with a number of the type that `dtype`, float32 or float64, stands for: f([&]<class T>(T) {...}).
template <class F>
void with_type(DType dtype, const F& f) {
  dtype == float32 ? f(float()) : f(double());
}

}  // namespace miniparallel::kernels::cuda
