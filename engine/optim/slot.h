#pragma once

#include <miniparallel/optim/optimizer.h>

#include "engine/optim/divided_state.h"

#include <memory>

namespace miniparallel::optim {

/// A parameter and the values that the optimizer keeps for it.
struct Optimizer::Slot {
  Tensor parameter;
  int group = 0;
  std::int64_t step = 0;  ///< updates so far; with state, of that
  std::array<Tensor, kMaxStates> state;
  std::shared_ptr<DividedState> divided = nullptr;  ///< in place of `state`, from element `position` on
  std::int64_t position = 0;
  /// A bit for each of the last attempts to step, the last one's lowest: whether `step` counts an update
  /// then, of which the host does not know yet if it was skipped.
  std::uint32_t pending = 0;

  /// In the stream of random bits of a step parameter number i has elements from i * kMostElements on.
  static constexpr std::int64_t kMostElements = std::int64_t{1} << 42;

  /// State `k`, a copy where it is divided; undefined where there is none.
  Tensor whole_state(std::size_t k) const {
    return divided ? divided->whole(k, position, parameter.shape()) : state[k];
  }
  /// Brings divided state together, as far as it goes.
  void join_state() {
    if (!divided) return;
    for (std::size_t k = 0; k < kMaxStates; ++k) state[k] = whole_state(k);
    divided = nullptr;
  }
};

}  // namespace miniparallel::optim
