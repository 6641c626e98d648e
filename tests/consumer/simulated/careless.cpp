// Reads a GPU's memory on the host, which only a simulated GPU that checks can tell from a lucky pointer.

#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include <cstdio>

using namespace miniparallel;

int main() {
  const Tensor x = ones({4}, {.device = Device::cuda()});
  synchronize(Device::cuda());
  std::printf("%g\n", device_data<float>(x)[0]);
}
