#pragma once

#include <miniparallel/dtype.h>

#include "kernels/macros.h"
#include "kernels/optimizer.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"
#include "kernels/update.h"

#include <cstddef>
#include <cstdint>
#include <span>

/// A loss in float16 is multiplied by a scale, so that small gradients are not lost; steps whose gradients
/// overflow are skipped, and change the scale. Which ones did only the device knows when a step is enqueued.

namespace miniparallel::kernels {

/// The last attempts of an optimizer to step, in one word: below a bit for each, the last one's lowest, which
/// is 1 where the step was skipped; above the number of attempts.
using Attempts = std::uint64_t;
inline constexpr int kKnownAttempts = 32;
MP_INLINE std::uint32_t skipped_of(Attempts attempts) { return static_cast<std::uint32_t>(attempts); }
MP_INLINE std::uint32_t count_of(Attempts attempts) { return static_cast<std::uint32_t>(attempts >> 32); }
MP_INLINE Attempts with_attempt(Attempts before, bool skipped) {
  return (Attempts{count_of(before)} + 1) << 32 | (skipped_of(before) << 1 | (skipped ? 1u : 0u));
}

/// `count` words (int32), one of which is not 0 if a gradient has overflowed.
struct OverflowFlags {
  std::int32_t* at = nullptr;
  int count = 0;

  MP_INLINE bool any() const {
    bool found = false;
    for (int i = 0; i < count; ++i) found = found || at[i] != 0;
    return found;
  }
};

/// Rules of which the device picks one. With `skipped`, those of the attempts in a mask that were skipped,
/// it is number popcount(skipped); its `skip` is whether a gradient has overflowed now.
struct RuleChoice {
  std::uint32_t mask;   ///< attempts, as in `Attempts`
  std::uint32_t first;  ///< of its rules, among all; there are popcount(mask) + 1
};
/// `bytes` holds `count` choices, then the rules that these refer to, each of `rule_size`.
struct RuleChoices {
  const std::byte* bytes;
  std::size_t size;
  bool on_device;  ///< in the device's memory, to be read when the kernel runs; else on the host, read now
  int count;
  int rule_size;
};
inline Sizes sizes(const RuleChoices& choices) { return {"rules", {choices.count}}; }
/// Bytes of choices on the host that one call takes.
inline constexpr std::size_t kMostChoices = 3584;

/// What one optimizer has tried since the last update of the scale. Without a step `attempts` is null.
struct ScaledStep {
  OverflowFlags overflow;  ///< set to 0
  Attempts* attempts = nullptr;
  Attempts* seen = nullptr;  ///< memory of the host that gets a copy; may be null
};
inline constexpr int kMostScaledSteps = 32;

struct ScaleUpdate {
  float* scale;
  std::int32_t* growth;   ///< updates without an overflow since the scale last changed
  std::int64_t* skipped;  ///< steps so far
  double growth_factor, backoff_factor;
  std::int64_t growth_interval;
  ScaledStep steps[kMostScaledSteps];
  int count = 0;
};
inline Sizes sizes(const ScaleUpdate& update) { return {"steps", {update.count}}; }

/// As in torch._amp_update_scale_: a scale that would grow to infinity stays.
MP_INLINE void update_scale_now(const ScaleUpdate& of) {
  bool overflow = false;
  for (int i = 0; i < of.count; ++i) {
    const ScaledStep& step = of.steps[i];
    const bool skipped = step.overflow.any();
    overflow = overflow || skipped;
    for (int k = 0; k < step.overflow.count; ++k) step.overflow.at[k] = 0;
    if (step.attempts == nullptr) continue;
    *step.attempts = with_attempt(*step.attempts, skipped);
    if (skipped) ++*of.skipped;
  }
  if (overflow) {
    *of.scale = static_cast<float>(static_cast<double>(*of.scale) * of.backoff_factor);
    *of.growth = 0;
  } else if (*of.growth + 1 >= of.growth_interval) {
    const double grown = static_cast<double>(*of.scale) * of.growth_factor;
    if (grown <= 3.4028234663852886e38) *of.scale = static_cast<float>(grown);
    *of.growth = 0;
  } else {
    ++*of.growth;
  }
}

namespace functors {

/// g / scale, by a multiplication.
template <class T>
struct Unscale {
  T inverse;
  explicit MP_INLINE Unscale(float scale) : inverse(static_cast<T>(1 / static_cast<double>(scale))) {}
  MP_INLINE T operator()(T g) const { return g * inverse; }
  /// Of an infinity or NaN.
  static MP_INLINE bool is_overflow(T g) { return !(g - g == T(0)); }
};

}  // namespace functors

struct LossScale {
  /// g /= scale (1); sets the flag where the result is no finite number. float32 or float64.
  void (*unscale)(DType dtype, std::span<const GradientRow> rows, const float* scale, std::int32_t* flag,
                  Stream stream);
  /// rules[i] = the rule that choice i picks. Choices on the host take at most kMostChoices bytes.
  void (*choose)(const RuleChoices& choices, OverflowFlags overflow, const Attempts* attempts,
                 std::byte* rules, Stream stream);
  /// Brings the scale and what it depends on up to date. All in the device's memory.
  void (*update)(const ScaleUpdate& update, Stream stream);
};

}  // namespace miniparallel::kernels
