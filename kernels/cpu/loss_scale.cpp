#include "kernels/loss_scale.h"

#include "kernels/by_dtype.h"
#include "kernels/cpu/backend.h"
#include "kernels/cpu/parallel.h"

#include <atomic>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/loss_scale.cpp"
#include "kernels/cpu/targets.h"

#ifndef MINIPARALLEL_KERNELS_CPU_LOSS_SCALE  // once, not per instruction set
#define MINIPARALLEL_KERNELS_CPU_LOSS_SCALE

namespace miniparallel::kernels::cpu {

struct LossScaleLoops {
  /// Whether an element of [begin, end) is no finite number.
  ByDType<bool (*)(void* gradient, float scale, std::int64_t begin, std::int64_t end)> unscale;
};

}  // namespace miniparallel::kernels::cpu

#endif

HWY_BEFORE_NAMESPACE();
namespace miniparallel::kernels::cpu::HWY_NAMESPACE {
namespace {

template <class T>
bool unscale(void* gradient, float scale, std::int64_t begin, std::int64_t end) {
  using Unscale = functors::Unscale<T>;
  T* g = out<T>(gradient);
  const Unscale unscaled(scale);
  int overflows = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    g[i] = unscaled(g[i]);
    overflows |= Unscale::is_overflow(g[i]) ? 1 : 0;
  }
  return overflows != 0;
}

}  // namespace

const LossScaleLoops& loss_scale_loops() {
  static constexpr LossScaleLoops table{{unscale<float>, unscale<double>}};
  return table;
}

}  // namespace miniparallel::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace miniparallel::kernels::cpu {
namespace {

MP_DISPATCH(LossScaleLoops, loss_scale_loops)

constexpr std::int64_t kGrain = 1 << 14;

void unscale(DType dtype, std::span<const GradientRow> rows, const float* scale, std::int32_t* flag, Stream) {
  const auto loop = loss_scale_loops().unscale[dtype];
  std::atomic<bool> overflow = false;
  for (const GradientRow& row : rows)
    parallel_for(row.n, kGrain, [&](std::int64_t begin, std::int64_t end) {
      if (loop(row.gradient, *scale, begin, end)) overflow = true;
    });
  if (overflow) *flag = 1;
}

void choose(const RuleChoices& choices, OverflowFlags overflow, const Attempts* attempts, std::byte* rules,
            Stream) {
  const auto size = static_cast<std::size_t>(choices.rule_size);
  const std::byte* const all = choices.bytes + static_cast<std::size_t>(choices.count) * sizeof(RuleChoice);
  for (int i = 0; i < choices.count; ++i) {
    RuleChoice choice;
    std::memcpy(&choice, choices.bytes + static_cast<std::size_t>(i) * sizeof(RuleChoice),
                sizeof(RuleChoice));
    const auto number =
        choice.first + static_cast<std::uint32_t>(std::popcount(choice.mask & skipped_of(*attempts)));
    std::byte* const rule = rules + static_cast<std::size_t>(i) * size;
    std::memcpy(rule, all + number * size, size);
    RuleHead head;
    std::memcpy(&head, rule, sizeof(head));
    head.skip = overflow.any();
    std::memcpy(rule, &head, sizeof(head));
  }
}

void update(const ScaleUpdate& update, Stream) {
  update_scale_now(update);
  for (int i = 0; i < update.count; ++i)
    if (const ScaledStep& step = update.steps[i]; step.seen != nullptr) *step.seen = *step.attempts;
}

}  // namespace

const LossScale& loss_scale() {
  static constexpr LossScale launchers{.unscale = unscale, .choose = choose, .update = update};
  return launchers;
}

}  // namespace miniparallel::kernels::cpu
#endif
