#include "kernels/by_dtype.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/pack.cuh"
#include "kernels/cuda/device/rows.cuh"
#include "kernels/loss_scale.h"

#include <cstring>

namespace miniparallel::kernels::cuda {
namespace {

/// Returns whether one of the N elements is no finite number.
template <int N, class T>
__device__ bool unscale_at(T* gradient, std::int64_t i, const functors::Unscale<T>& unscaled) {
  Pack<T, N>& at = pack_at<N>(gradient, i);
  Pack<T, N> g = at;
  bool overflow = false;
  MP_UNROLL
  for (int k = 0; k < N; ++k) {
    g.at[k] = unscaled(g.at[k]);
    overflow = overflow || functors::Unscale<T>::is_overflow(g.at[k]);
  }
  at = g;
  return overflow;
}

template <class T, class Rows>
__global__ void unscale_rows(Rows batch, const float* scale, std::int32_t* flag) {
  constexpr int pack = kPack<T>;
  const auto [row, begin, end] = batch.chunk(blockIdx.x);
  T* const gradient = static_cast<T*>(row.gradient);
  const functors::Unscale<T> unscaled(*scale);
  const std::int64_t packed = are_aligned(16, row.gradient) ? begin + (end - begin) / pack * pack : begin;
  bool overflow = false;
  for (std::int64_t i = begin + threadIdx.x * pack; i < packed; i += blockDim.x * pack)
    overflow = unscale_at<pack>(gradient, i, unscaled) || overflow;
  for (std::int64_t i = packed + threadIdx.x; i < end; i += blockDim.x)
    overflow = unscale_at<1>(gradient, i, unscaled) || overflow;
  if (overflow) atomicExch(flag, 1);
}

/// Choices as an argument of the kernel.
struct GivenChoices {
  alignas(8) std::byte bytes[kMostChoices];
};
__device__ const std::byte* bytes_of(const GivenChoices& choices) { return choices.bytes; }
__device__ const std::byte* bytes_of(const std::byte* choices) { return choices; }

/// The first word of a rule.
__device__ std::uint64_t with_skip(std::uint64_t word, bool skip) {
  RuleHead head;
  std::memcpy(static_cast<void*>(&head), &word, sizeof(head));
  head.skip = skip;
  std::memcpy(&word, &head, sizeof(head));
  return word;
}

/// A block for each choice; a thread copies a word.
template <class Choices>
__global__ void choose_rules(Choices choices, int count, int rule_words, OverflowFlags overflow,
                             const Attempts* attempts, std::byte* rules) {
  const auto* const all = reinterpret_cast<const RuleChoice*>(bytes_of(choices));
  const RuleChoice choice = all[blockIdx.x];
  const auto number = choice.first + static_cast<std::uint32_t>(__popc(choice.mask & skipped_of(*attempts)));
  const auto* const from = reinterpret_cast<const std::uint64_t*>(all + count) + number * rule_words;
  auto* const to = reinterpret_cast<std::uint64_t*>(rules) + blockIdx.x * rule_words;
  for (int i = threadIdx.x; i < rule_words; i += blockDim.x) {
    std::uint64_t word = from[i];
    if (i == 0) word = with_skip(word, overflow.any());
    to[i] = word;
  }
}

__global__ void update_scale(ScaleUpdate update) {
  update_scale_now(update);
  for (int i = 0; i < update.count; ++i)
    if (const ScaledStep& step = update.steps[i]; step.seen != nullptr)
      atomicExch(reinterpret_cast<unsigned long long*>(step.seen),
                 static_cast<unsigned long long>(*step.attempts));
}

void unscale(DType dtype, std::span<const GradientRow> rows, const float* scale, std::int32_t* flag,
             Stream stream) {
  with_type(dtype, [&]<class T>() {
    for_each_batch(rows, [&]<class Rows>(const Rows& batch, unsigned blocks, std::int64_t) {
      launch_on(stream, unscale_rows<T, Rows>, blocks, kBlock, batch, scale, flag);
    });
  });
}

void choose(const RuleChoices& choices, OverflowFlags overflow, const Attempts* attempts, std::byte* rules,
            Stream stream) {
  const auto start = [&](auto kernel, const auto& given) {
    launch_on(stream, kernel, static_cast<unsigned>(choices.count), 32, given, choices.count,
              choices.rule_size / 8, overflow, attempts, rules);
  };
  if (choices.on_device) return start(choose_rules<const std::byte*>, choices.bytes);
  GivenChoices given;
  std::memcpy(given.bytes, choices.bytes, choices.size);
  start(choose_rules<GivenChoices>, given);
}

void update(const ScaleUpdate& update, Stream stream) { launch_on(stream, update_scale, 1, 1, update); }

}  // namespace

const LossScale& loss_scale() {
  static constexpr LossScale launchers{.unscale = unscale, .choose = choose, .update = update};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
