#include "kernels/cuda/device/two_stage.h"

#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/workspace.h"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::int64_t kAlone = 16384;       // elements for which a second kernel takes longer than it saves
constexpr std::int64_t kChunk = 2048;        // elements that one of several blocks reduces at least
constexpr std::int64_t kEnoughBlocks = 512;  // they keep the largest GPU's memory busy

/// Cuts what is reduced into as many chunks as are useful, whose results fit the workspace.
void cut(TwoStagePlan& plan, std::int64_t elements_of_block, std::size_t result_bytes) {
  const std::int64_t room =
      static_cast<std::int64_t>(kWorkspaceBytes / result_bytes) / std::max<std::int64_t>(plan.outputs, 1);
  const std::int64_t useful =
      elements_of_block < kAlone
          ? 1
          : std::min(kEnoughBlocks / std::max<std::int64_t>(plan.grid_x, 1), elements_of_block / kChunk);
  plan.chunks = static_cast<unsigned>(std::max<std::int64_t>(std::min(room, useful), 1));
  plan.chunk = (plan.count + plan.chunks - 1) / plan.chunks;
}

}  // namespace

TwoStagePlan make_two_stage_plan(std::int64_t outputs, std::int64_t count, bool outputs_are_neighbours,
                                 std::size_t accumulator_bytes) {
  TwoStagePlan plan;
  plan.outputs = outputs, plan.count = count;
  plan.x = outputs_are_neighbours ? 32 : 1;
  plan.y = kBlock / plan.x;
  plan.grid_x = static_cast<unsigned>((outputs + plan.x - 1) / plan.x);
  cut(plan, outputs == 0 ? 0 : count * plan.x, accumulator_bytes);
  return plan;
}

TwoStagePlan make_pack_plan(std::int64_t outputs, std::int64_t count, int pack,
                            std::size_t accumulator_bytes) {
  TwoStagePlan plan;
  plan.outputs = outputs / pack, plan.count = count;
  plan.x = 32;
  while (plan.x > 4 && plan.outputs % plan.x != 0) plan.x /= 2;
  while (plan.x / 2 >= plan.outputs && plan.x > 1) plan.x /= 2;
  plan.y = kBlock / plan.x;
  plan.grid_x = static_cast<unsigned>((plan.outputs + plan.x - 1) / plan.x);
  cut(plan, count * plan.x * pack, accumulator_bytes * static_cast<std::size_t>(pack));
  return plan;
}

}  // namespace miniparallel::kernels::cuda
