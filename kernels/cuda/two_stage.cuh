#pragma once

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/two_stage.h"
#include "kernels/cuda/workspace.h"

/// Reductions in two stages: blocks combine chunks of what is reduced into partial results, then those are
/// combined. What is computed is a struct `Reduction` with
///
///   using Values = ...;  // with an Accumulator, initial() and combine(a, b)
///   Accumulator part(std::int64_t output, std::int64_t begin, std::int64_t end, std::int64_t step) const;
///   void store(std::int64_t output, const Accumulator& total) const;
///
/// where `part` combines the elements begin, begin + step, ... below end.

namespace miniparallel::kernels::cuda {

template <class Reduction>
using AccumulatorOf = typename Reduction::Values::Accumulator;

/// Stage 1: block (i, j) combines chunk j for outputs [i x, (i + 1) x). With one chunk the result is final,
/// else it goes to partials (chunks, outputs).
template <class Reduction>
__global__ void reduce_chunks(Reduction reduction, TwoStagePlan plan, AccumulatorOf<Reduction>* partials) {
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
    for (unsigned c = threadIdx.y; c < plan.chunks; c += blockDim.y)
      mine = Reduction::Values::combine(mine, partials[c * plan.outputs + output]);
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
