#pragma once

#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/cuda/device/two_stage.h"
#include "kernels/cuda/device/workspace.h"

/// Reductions in two stages: blocks combine chunks of the input into partial results, then those are
/// combined. The computation is a struct `Reduction` with
///
///   using Values = ...;  // with an Accumulator, initial() and combine(a, b)
///   Accumulator part(std::int64_t output, std::int64_t begin, std::int64_t end, std::int64_t step) const;
///   void store(std::int64_t output, const Accumulator& total) const;
///
/// where `part` combines the elements begin, begin + step, ... below end, as for_each_in_batches gives them.

namespace miniparallel::kernels::cuda {

/// Calls use(load(i), i) for i = begin, begin + step, ... below end, in order. The loads of a batch are all
/// under way before the first is used, also those of a last one that is not full: the speed of these kernels
/// depends on the loads that a thread has in flight.
template <int batch, class Load, class Use>
__device__ void for_each_in_batches(std::int64_t begin, std::int64_t end, std::int64_t step, const Load& load,
                                    const Use& use) {
  for (; begin < end; begin += batch * step) {
    decltype(load(begin)) loaded[batch] = {};
    MP_UNROLL
    for (int k = 0; k < batch; ++k)
      if (begin + k * step < end) loaded[k] = load(begin + k * step);
    MP_UNROLL
    for (int k = 0; k < batch; ++k)
      if (begin + k * step < end) use(loaded[k], begin + k * step);
  }
}

template <class Reduction>
using AccumulatorOf = typename Reduction::Values::Accumulator;

/// Stage 1: block (i, j) combines chunk j for outputs [i x, (i + 1) x). With one chunk the result is final,
/// else it goes to partials (chunks, outputs).
template <class Reduction>
__global__ void __launch_bounds__(kBlock, sizeof(AccumulatorOf<Reduction>) > 16 ? 3 : 4)
    reduce_chunks(Reduction reduction, TwoStagePlan plan, AccumulatorOf<Reduction>* partials) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  auto mine = Reduction::Values::initial();
  if (output < plan.outputs) {
    const std::int64_t begin = blockIdx.y * plan.chunk;
    const std::int64_t end = begin + plan.chunk < plan.count ? begin + plan.chunk : plan.count;
    mine = reduction.part(output, begin + threadIdx.y, end, blockDim.y);
  }
  const auto total = combine_over_y<typename Reduction::Values>(mine);
  if (threadIdx.y != 0 || output >= plan.outputs) return;
  if (partials != nullptr)
    partials[blockIdx.y * plan.outputs + output] = total;
  else
    reduction.store(output, total);
}

/// Stage 2: the chunks of each output, in order.
template <class Reduction>
__global__ void reduce_partials(Reduction reduction, TwoStagePlan plan,
                                const AccumulatorOf<Reduction>* partials) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  auto mine = Reduction::Values::initial();
  if (output < plan.outputs)
    for_each_in_batches<4>(
        threadIdx.y, plan.chunks, blockDim.y,
        [&](std::int64_t chunk) { return partials[chunk * plan.outputs + output]; },
        [&](const auto& partial, std::int64_t) { mine = Reduction::Values::combine(mine, partial); });
  const auto total = combine_over_y<typename Reduction::Values>(mine);
  if (threadIdx.y == 0 && output < plan.outputs) reduction.store(output, total);
}

template <class Reduction>
void reduce_in_two_stages(const Reduction& reduction, std::int64_t outputs, std::int64_t count,
                          bool outputs_are_neighbours, Stream stream) {
  using Accumulator = AccumulatorOf<Reduction>;
  if (outputs == 0) return;
  const TwoStagePlan plan = make_two_stage_plan(outputs, count, outputs_are_neighbours, sizeof(Accumulator));
  const dim3 block(plan.x, plan.y);
  auto* const partials = plan.chunks == 1 ? nullptr : static_cast<Accumulator*>(workspace(stream));
  launch_blocks(stream, reduce_chunks<Reduction>, dim3(plan.grid_x, plan.chunks), block, reduction, plan,
                partials);
  if (partials != nullptr)
    launch_blocks(stream, reduce_partials<Reduction>, dim3(plan.grid_x), block, reduction, plan, partials);
}

}  // namespace miniparallel::kernels::cuda
