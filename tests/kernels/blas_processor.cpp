#include <doctest/doctest.h>
#include <hwy/targets.h>

#include <cstdlib>
#include <string_view>

extern "C" char* openblas_get_corename();

TEST_CASE("the BLAS multiplies with the processor's vectors") {
#if HWY_ARCH_X86
  if ((hwy::SupportedTargets() & HWY_AVX2) == 0 || std::getenv("OPENBLAS_CORETYPE") != nullptr) return;
  CHECK(openblas_get_corename() != std::string_view("Prescott"));
#endif
}
