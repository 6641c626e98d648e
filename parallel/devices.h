#pragma once

#include <miniparallel/device.h>

#include <cstdint>
#include <string>
#include <vector>

namespace miniparallel::parallel {

/// The devices of a list that may name one several times, in order.
std::vector<Device> each_once(const std::vector<Device>& devices);

/// "139.8", of a number of bytes.
std::string gibibytes(std::int64_t bytes);

}  // namespace miniparallel::parallel
