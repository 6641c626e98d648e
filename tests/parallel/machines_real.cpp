#define DOCTEST_CONFIG_IMPLEMENT
#include <miniparallel/cuda.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <cstdio>

namespace miniparallel::testing {

void on_machine(int count, const std::function<void(const std::vector<Device>&)>& body) {
  CAPTURE(count);
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) devices.push_back(Device::cuda(i % cuda_device_count()));
  body(devices);
}

void on_machines(const std::function<void(const std::vector<Device>&)>& body) {
  for (const int count : {1, 2, 3, 4, 8}) on_machine(count, body);
}

}  // namespace miniparallel::testing

int main(int argc, char** argv) {
  if (miniparallel::cuda_device_count() == 0) {
    std::printf("nothing was tested: %s\n", miniparallel::cuda_unavailable_reason().c_str());
    return 77;  // CTest counts the test as skipped
  }
  return doctest::Context(argc, argv).run();
}
