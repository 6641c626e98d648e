#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

namespace miniparallel {
namespace {

TEST_CASE("where there is no GPU the reason is named, and the CPU computes") {
  if (cuda_device_count() > 0) return;
  const std::string reason = cuda_unavailable_reason();
#ifdef TESTS_OF_CUDA_BUILD
  CHECK(reason != "this build of miniparallel has no CUDA backend");
  if (!std::filesystem::exists("/proc/driver/nvidia/version"))
    CHECK(reason == "no NVIDIA driver is installed, or it is not running");
#else
  CHECK(reason == "this build of miniparallel has no CUDA backend");
#endif
  CHECK_THROWS_WITH_AS(ones({2}, {.device = Device::cuda()}), doctest::Contains(reason.c_str()), Error);
  CHECK(sum(ones({2})).item() == 2);
}

}  // namespace
}  // namespace miniparallel
