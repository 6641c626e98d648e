#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "simulated.h"

// What a user is told where there is no GPU to use.

namespace miniparallel {
namespace {

using testing::Simulated;

simulator::Machine machine(auto&& change) {
  simulator::Machine machine = simulator::machine_with(2);
  change(machine);
  return machine;
}

std::string reason_on(const simulator::Machine& machine) {
  cuda::shut_down();
  simulator::reset(machine);
  CHECK(cuda_device_count() == 0);
  const std::string reason = cuda_unavailable_reason();
  CHECK_THROWS_WITH_AS(ones({2}, {.device = Device::cuda()}), doctest::Contains(reason.c_str()), Error);
  cuda::shut_down();
  CHECK(simulator::take_reports().empty());
  return reason;
}

TEST_CASE("the reason for having no GPU is named") {
  using simulator::Machine;
  CHECK(reason_on(machine([](Machine& m) { m.driver_version = 0; })) ==
        "no NVIDIA driver is installed, or it is not running");
  CHECK(reason_on(machine([](Machine& m) { m.driver_version = 12040; })) ==
        "the NVIDIA driver supports CUDA 12.4, this build needs 13.0; update the driver");
  CHECK(reason_on(machine([](Machine& m) { m.gpus.clear(); })) ==
        "no GPU is visible; CUDA_VISIBLE_DEVICES may hide it");
  CHECK(
      reason_on(machine([](Machine& m) { m.kernel_image = false; })) ==
      "this build has no kernel image for GPU 0 (Simulated GPU, compute capability 9.0); build it with that "
      "architecture in CMAKE_CUDA_ARCHITECTURES");
}

TEST_CASE("devices are counted, and one that does not exist is named") {
  const Simulated gpus(2);
  CHECK(cuda_device_count() == 2);
  CHECK(cuda_unavailable_reason() == "");
  CHECK_THROWS_WITH_AS(ones({2}, {.device = Device::cuda(2)}),
                       "cuda:2: there is no such device; the last is cuda:1", Error);
  CHECK(current_stream(Device::cpu()) == nullptr);
  CHECK(current_stream(Device::cuda(0)) != nullptr);
  CHECK(current_stream(Device::cuda(0)) != current_stream(Device::cuda(1)));
}

TEST_CASE("the caller's current device stays") {
  const Simulated gpus(2);
  const Tensor x = ones({3}, {.device = Device::cuda(1)});
  CHECK((x + x).to_vector<float>() == std::vector<float>{2, 2, 2});
  int current = -1;
  CHECK(cudaGetDevice(&current) == cudaSuccess);
  CHECK(current == 0);
}

}  // namespace
}  // namespace miniparallel
