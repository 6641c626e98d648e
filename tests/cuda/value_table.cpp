#include "gpus.h"
#include "tests/value_cases.h"

namespace miniparallel::testing {
namespace {

TEST_CASE("the table of values at the edges") {
  const Gpus machine;
  check_value_cases(Device::cuda(0));
}

}  // namespace
}  // namespace miniparallel::testing
