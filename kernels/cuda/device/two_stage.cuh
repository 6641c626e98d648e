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
///
/// Where each element is needed once more, with the result, as by softmax, the second stage is done by every
/// block that needs it, and instead of `store` the struct has
///
///   void apply(std::int64_t output, const Accumulator& total, std::int64_t begin, std::int64_t end,
///              std::int64_t step) const;
///
/// and the elements of an output are read by the same threads as before.

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

/// What a thread of block (i, j) works on: elements begin, begin + step, ... of chunk j, for an output of
/// [i x, (i + 1) x), which may be past the last one.
struct ChunkShare {
  std::int64_t output, begin, end, step;

  __device__ static ChunkShare mine(const TwoStagePlan& plan) {
    const std::int64_t begin = blockIdx.y * plan.chunk;
    return {static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, begin + threadIdx.y,
            begin + plan.chunk < plan.count ? begin + plan.chunk : plan.count, blockDim.y};
  }
};

/// Stage 1: each block combines its chunk. With one chunk the result is final, else it goes to partials
/// (chunks, outputs).
template <class Reduction>
__global__ void __launch_bounds__(kBlock, sizeof(AccumulatorOf<Reduction>) > 16 ? 3 : 4)
    reduce_chunks(Reduction reduction, TwoStagePlan plan, AccumulatorOf<Reduction>* partials) {
  const ChunkShare share = ChunkShare::mine(plan);
  auto mine = Reduction::Values::initial();
  if (share.output < plan.outputs) mine = reduction.part(share.output, share.begin, share.end, share.step);
  const auto total = combine_over_y<typename Reduction::Values>(mine);
  if (threadIdx.y != 0 || share.output >= plan.outputs) return;
  if constexpr (requires { &Reduction::store; })
    if (partials == nullptr) return reduction.store(share.output, total);
  partials[blockIdx.y * plan.outputs + share.output] = total;
}

/// The chunks of an output, in order; every thread of the block gets the result.
template <class Reduction>
__device__ AccumulatorOf<Reduction> total_of(std::int64_t output, const TwoStagePlan& plan,
                                             const AccumulatorOf<Reduction>* partials) {
  auto mine = Reduction::Values::initial();
  if (output < plan.outputs)
    for_each_in_batches<4>(
        threadIdx.y, plan.chunks, blockDim.y,
        [&](std::int64_t chunk) { return partials[chunk * plan.outputs + output]; },
        [&](const auto& partial, std::int64_t) { mine = Reduction::Values::combine(mine, partial); });
  return combine_over_y<typename Reduction::Values>(mine);
}

template <class Reduction>
__global__ void reduce_partials(Reduction reduction, TwoStagePlan plan,
                                const AccumulatorOf<Reduction>* partials) {
  const std::int64_t output = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const auto total = total_of<Reduction>(output, plan, partials);
  if (threadIdx.y == 0 && output < plan.outputs) reduction.store(output, total);
}

template <class Reduction>
__global__ void __launch_bounds__(kBlock, 3)
    apply_to_chunks(Reduction reduction, TwoStagePlan plan, const AccumulatorOf<Reduction>* partials) {
  const ChunkShare share = ChunkShare::mine(plan);
  const auto total = total_of<Reduction>(share.output, plan, partials);
  if (share.output < plan.outputs) reduction.apply(share.output, total, share.begin, share.end, share.step);
}

/// Calls map.apply(output, begin, end, step), which needs no result of a reduction.
template <class Map>
__global__ void __launch_bounds__(kBlock, 3) map_chunks(Map map, TwoStagePlan plan) {
  const ChunkShare share = ChunkShare::mine(plan);
  if (share.output < plan.outputs) map.apply(share.output, share.begin, share.end, share.step);
}

/// Calls kernel(computation, plan, arguments...).
template <class Computation, class... Parameters, class... Arguments>
void launch_chunks(Stream stream, void (*kernel)(Computation, TwoStagePlan, Parameters...),
                   const Computation& computation, const TwoStagePlan& plan, const Arguments&... arguments) {
  launch_blocks(stream, kernel, dim3(plan.grid_x, plan.chunks), dim3(plan.x, plan.y), computation, plan,
                arguments...);
}

template <class Reduction>
void reduce_in_two_stages(const Reduction& reduction, const TwoStagePlan& plan, Stream stream) {
  using Accumulator = AccumulatorOf<Reduction>;
  auto* const partials = plan.chunks == 1 ? nullptr : static_cast<Accumulator*>(workspace(stream));
  launch_chunks(stream, reduce_chunks<Reduction>, reduction, plan, partials);
  if (partials != nullptr)
    launch_blocks(stream, reduce_partials<Reduction>, dim3(plan.grid_x), dim3(plan.x, plan.y), reduction,
                  plan, partials);
}

template <class Reduction>
void reduce_in_two_stages(const Reduction& reduction, std::int64_t outputs, std::int64_t count,
                          bool outputs_are_neighbours, Stream stream) {
  if (outputs == 0) return;
  reduce_in_two_stages(
      reduction,
      make_two_stage_plan(outputs, count, outputs_are_neighbours, sizeof(AccumulatorOf<Reduction>)), stream);
}

/// For a plan of several chunks.
template <class Reduction>
void reduce_and_apply(const Reduction& reduction, const TwoStagePlan& plan, Stream stream) {
  auto* const partials = static_cast<AccumulatorOf<Reduction>*>(workspace(stream));
  launch_chunks(stream, reduce_chunks<Reduction>, reduction, plan, partials);
  launch_chunks(stream, apply_to_chunks<Reduction>, reduction, plan, partials);
}

}  // namespace miniparallel::kernels::cuda
