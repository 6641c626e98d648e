#include <miniparallel/miniparallel.h>

extern "C" double sum_of_squares(int count) {
  using namespace miniparallel;
  const Tensor x = arange(count, {.dtype = float64});
  return matmul(x, x).item();
}
