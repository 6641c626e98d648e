#include "kernels/cuda/device/two_stage.h"

#include "kernels/cuda/device/grid.h"
#include "kernels/cuda/device/workspace.h"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::int64_t kAlone = 16384;       // elements for which a second kernel takes longer than it saves
constexpr std::int64_t kChunk = 2048;        // elements that one of several blocks reduces at least
constexpr std::int64_t kEnoughBlocks = 512;  // they keep the largest GPU's memory busy

}  // namespace

TwoStagePlan make_two_stage_plan(std::int64_t outputs, std::int64_t count, bool outputs_are_neighbours,
                                 std::size_t accumulator_bytes) {
  TwoStagePlan plan;
  plan.outputs = outputs, plan.count = count;
  plan.x = outputs_are_neighbours ? 32 : 1;
  plan.y = kBlock / plan.x;
  plan.grid_x = static_cast<unsigned>((outputs + plan.x - 1) / plan.x);
  const std::int64_t room =
      static_cast<std::int64_t>(kWorkspaceBytes / accumulator_bytes) / std::max<std::int64_t>(outputs, 1);
  const std::int64_t elements = outputs == 0 ? 0 : count * plan.x;
  const std::int64_t useful =
      elements < kAlone ? 1
                        : std::min(kEnoughBlocks / std::max<std::int64_t>(plan.grid_x, 1), elements / kChunk);
  plan.chunks = static_cast<unsigned>(std::max<std::int64_t>(std::min(room, useful), 1));
  plan.chunk = (count + plan.chunks - 1) / plan.chunks;
  return plan;
}

}  // namespace miniparallel::kernels::cuda
