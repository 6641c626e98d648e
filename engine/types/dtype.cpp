#include <miniparallel/dtype.h>

#include "engine/error.h"

#include <ostream>

namespace miniparallel {
namespace {

thread_local DType current_default = DType::float32;

/// bool, uint8, int32, int64, the 16-bit types, float32, float64.
int rank(DType dtype) {
  constexpr int ranks[] = {5, 6, 3, 2, 1, 0, 4, 4};
  return ranks[static_cast<int>(dtype)];
}

}  // namespace

const char* name(DType dtype) {
  constexpr const char* names[] = {"float32", "float64", "int64",   "int32",
                                   "uint8",   "bool",    "float16", "bfloat16"};
  return names[static_cast<int>(dtype)];
}

std::ostream& operator<<(std::ostream& stream, DType dtype) { return stream << name(dtype); }

DType promote(DType a, DType b) {
  if (a != b && rank(a) == rank(b)) return DType::float32;
  return rank(a) >= rank(b) ? a : b;
}

DType default_dtype() { return current_default; }

void set_default_dtype(DType dtype) {
  check(dtype == DType::float32 || dtype == DType::float64, "set_default_dtype: got ", dtype,
        "; only float32 and float64 compute");
  current_default = dtype;
}

}  // namespace miniparallel
