#pragma once

#include <miniparallel/optim/optimizer.h>

namespace miniparallel::optim {

/// A parameter and the values that the optimizer keeps for it.
struct Optimizer::Slot {
  Tensor parameter;
  int group = 0;
  std::int64_t step = 0;  ///< updates so far; with state, of that
  std::array<Tensor, kMaxStates> state;
};

}  // namespace miniparallel::optim
