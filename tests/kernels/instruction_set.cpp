#include "kernels/cpu/instruction_set.h"

#include <doctest/doctest.h>
#include <hwy/targets.h>

#include <cstdlib>
#include <string_view>

TEST_CASE("the kernels are those of the best instruction set that the CPU has, or that a test wants") {
  const std::string_view got = miniparallel::kernels::cpu::instruction_set();
  const char* const wanted = std::getenv("MINIPARALLEL_TEST_TARGET");
  if (wanted == nullptr) {
    const auto targets = hwy::SupportedTargets() & HWY_TARGETS;  // a build may compile fewer than the CPU has
    if ((targets & HWY_AVX3) != 0)
      CHECK(got == "AVX3");
    else if ((targets & HWY_AVX2) != 0)
      CHECK(got == "AVX2");
    else
      CHECK(got == hwy::TargetName(HWY_STATIC_TARGET));
  } else if (std::string_view(wanted) == "avx2") {
    CHECK((got == "AVX2" || got == hwy::TargetName(HWY_STATIC_TARGET)));
  } else {
    CHECK(got == hwy::TargetName(HWY_STATIC_TARGET));
  }
}
