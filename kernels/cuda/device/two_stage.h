#pragma once

#include <cstddef>
#include <cstdint>

namespace miniparallel::kernels::cuda {

/// How a reduction of `count` elements for each of `outputs` results is cut: blocks of (x, y) threads, x over
/// outputs, y over the reduced elements, in `chunks` parts. It depends on the sizes alone, and so do results.
struct TwoStagePlan {
  std::int64_t outputs = 0, count = 0, chunk = 0;
  unsigned x = 1, y = 1, grid_x = 0, chunks = 1;
};

/// `outputs_are_neighbours`: in memory, so that threads with neighbouring x should be; else those with
/// neighbouring y. `accumulator_bytes`: of one partial result, which must fit the workspace.
TwoStagePlan make_two_stage_plan(std::int64_t outputs, std::int64_t count, bool outputs_are_neighbours,
                                 std::size_t accumulator_bytes);

/// The same where each thread takes a pack of outputs, which are neighbours in memory: an output of the plan.
TwoStagePlan make_pack_plan(std::int64_t outputs, std::int64_t count, int pack,
                            std::size_t accumulator_bytes);

}  // namespace miniparallel::kernels::cuda
