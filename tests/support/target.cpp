#include <hwy/targets.h>

#include <cstdlib>
#include <string_view>

// MINIPARALLEL_TEST_TARGET=portable runs the kernels compiled
// for the baseline instead of the best that this CPU has.

namespace {

[[maybe_unused]] const bool forced = [] {
  const char* const target = std::getenv("MINIPARALLEL_TEST_TARGET");
  if (target == nullptr || std::string_view(target) != "portable") return false;
  hwy::SetSupportedTargetsForTest(HWY_STATIC_TARGET);
  return true;
}();

}  // namespace
