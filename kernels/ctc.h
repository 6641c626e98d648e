#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cmath>
#include <cstdint>
#include <limits>

/// Connectionist temporal classification. The states of a target are its classes with a blank before,
/// between and behind them; a way through them stays, goes to the next, or over a blank where `skip` says so.

namespace miniparallel::kernels {

/// Arrays are (steps, n, states); the n-th item has its own number of steps and of states, the first ones.
struct CtcArgs {
  std::int64_t steps = 0, n = 0, states = 0;
  const void* log_probs = nullptr;             ///< of the class of each state at each step
  const bool* skip = nullptr;                  ///< (n, states): whether it may be entered from two before
  const std::int64_t* step_counts = nullptr;   ///< (n)
  const std::int64_t* state_counts = nullptr;  ///< (n), odd
};
inline Sizes sizes(const CtcArgs& args) { return {"steps n states", {args.steps, args.n, args.states}}; }

/// float32 or float64. Nothing may alias.
struct Ctc {
  /// alpha: the log of the probability of all ways that are in a state at a step. losses (n).
  void (*forward)(DType dtype, const CtcArgs& args, void* alpha, void* losses, Stream stream);
  /// The gradient of log_probs for the gradient g (n) of the losses.
  void (*backward)(DType dtype, const CtcArgs& args, const void* alpha, const void* losses, const void* g,
                   void* dlog_probs, Stream stream);
};

/// One item, on the host or by the threads of a block.
template <class T>
struct CtcItem {
  static constexpr T kNever = -std::numeric_limits<T>::infinity();

  std::int64_t item, steps, states, row;  ///< row: elements from a step to the next
  const T* log_probs;
  const bool* skip;

  MP_INLINE CtcItem(const CtcArgs& args, std::int64_t i)
      : item(i),
        steps(args.step_counts[i]),
        states(args.state_counts[i]),
        row(args.n * args.states),
        log_probs(static_cast<const T*>(args.log_probs) + i * args.states),
        skip(args.skip + i * args.states) {}

  MP_INLINE static T log_sum(T a, T b, T c) {
    const T largest = a > b ? (a > c ? a : c) : (b > c ? b : c);
    if (largest == kNever) return kNever;
    return largest + std::log(std::exp(a - largest) + std::exp(b - largest) + std::exp(c - largest));
  }

  /// Alpha of state s at step t; `before`: the row of the step before.
  MP_INLINE T alpha(std::int64_t t, std::int64_t s, const T* before) const {
    if (s >= states) return kNever;
    const T here = log_probs[t * row + s];
    if (t == 0) return s < 2 ? here : kNever;
    return here +
           log_sum(before[s], s > 0 ? before[s - 1] : kNever, s > 1 && skip[s] ? before[s - 2] : kNever);
  }
  /// The same from the end, from the row of the step after.
  MP_INLINE T beta(std::int64_t t, std::int64_t s, const T* after) const {
    if (s >= states) return kNever;
    const T here = log_probs[t * row + s];
    if (t == steps - 1) return s >= states - 2 ? here : kNever;
    return here + log_sum(after[s], s + 1 < states ? after[s + 1] : kNever,
                          s + 2 < states && skip[s + 2] ? after[s + 2] : kNever);
  }
  /// `last`: alpha of the last step.
  MP_INLINE T loss(const T* last) const {
    if (steps == 0) return states == 1 ? T(0) : -kNever;
    return -log_sum(last[states - 1], states > 1 ? last[states - 2] : kNever, kNever);
  }
  /// -g times the share of the ways that are in the state at the step.
  MP_INLINE T gradient(std::int64_t t, std::int64_t s, T alpha, T beta, T loss, T g) const {
    if (g == T(0) || s >= states || ((alpha == kNever || beta == kNever) && loss != -kNever)) return T(0);
    return -g * std::exp(alpha + beta - log_probs[t * row + s] + loss);
  }
};

}  // namespace miniparallel::kernels
