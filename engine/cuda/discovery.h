#pragma once

#include <string>

namespace miniparallel::cuda {

/// The GPUs that can be used. `reason` says, as a sentence, why there are none.
struct Discovery {  // LCOV_EXCL_LINE: counted for what compilers add
  int count = 0;
  std::string reason;
};

Discovery discover();

}  // namespace miniparallel::cuda
