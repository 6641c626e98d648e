#pragma once

#include <miniparallel/tensor.h>

#include <functional>
#include <string>
#include <vector>

/// The table of values that are known without a reference: NaN, infinity, ends of ranges, nothing at all.
/// Every device gives them to the bit.

namespace miniparallel::testing {

struct ValueCase {
  std::string name;
  std::function<Tensor(Device)> compute;
  Tensor expected;
};

const std::vector<ValueCase>& value_cases();

/// Runs the table on a device.
void check_value_cases(Device device);

}  // namespace miniparallel::testing
