#define DOCTEST_CONFIG_IMPLEMENT
#include <miniparallel/cuda.h>
#include <miniparallel/memory.h>

#include "gpus.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>

namespace miniparallel::testing {

Gpus::Gpus(int count, std::uint64_t) : count_(std::min(count, cuda_device_count())) {}

Gpus::~Gpus() { CHECK(memory_stats(Device::cuda(0)).used == 0); }

}  // namespace miniparallel::testing

int main(int argc, char** argv) {
  if (miniparallel::cuda_device_count() == 0) {
    std::printf("nothing was tested: %s\n", miniparallel::cuda_unavailable_reason().c_str());
    return 77;  // CTest counts the test as skipped
  }
  return doctest::Context(argc, argv).run();
}
