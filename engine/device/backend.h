#pragma once

#include <miniparallel/device.h>

#include "kernels/backend.h"

namespace miniparallel {

/// The kernels of the device's kind, for one launch, which is counted.
const kernels::Backend& backend(Device device);

}  // namespace miniparallel
