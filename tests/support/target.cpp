#include <hwy/targets.h>

#include <cstdio>
#include <cstdlib>
#include <string_view>

// MINIPARALLEL_TEST_TARGET=portable runs the kernels compiled for the baseline instead of the best that this
// CPU has, =avx2 at most those for AVX2.

namespace {

[[maybe_unused]] const bool forced = [] {
  const char* const value = std::getenv("MINIPARALLEL_TEST_TARGET");
  if (value == nullptr) return false;
  const std::string_view target = value;
  if (target == "portable") {
    hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
  } else if (target == "avx2") {
    hwy::SetSupportedTargetsForTest((hwy::SupportedTargets() & HWY_AVX2) | HWY_STATIC_TARGET);
  } else {
    std::fprintf(stderr, "MINIPARALLEL_TEST_TARGET: got %s; it must be portable or avx2\n", value);
    std::exit(2);
  }
  return true;
}();

}  // namespace
