#include "tests/value_cases.h"

#include <doctest/doctest.h>

namespace miniparallel::testing {
namespace {

TEST_CASE("values at the edges: NaN, infinity, ends of ranges, nothing") { check_value_cases(Device::cpu()); }

}  // namespace
}  // namespace miniparallel::testing
