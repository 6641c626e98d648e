// Knows nothing of miniparallel; the shared library that it calls is built on it.

#include <cstdio>

extern "C" double sum_of_squares(int count);

int main() {
  const double sum = sum_of_squares(1000);
  std::printf("sum of squares: %.0f\n", sum);
  return sum == 332833500 ? 0 : 1;
}
