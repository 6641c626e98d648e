#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

// The code of docs/pytorch-weights.md.

using namespace miniparallel;

namespace docs_pytorch_weights {
#include "snippets/pytorch-weights/block.inc"
}  // namespace docs_pytorch_weights
using namespace docs_pytorch_weights;

TEST_CASE("docs/pytorch-weights: names, renamed, there and back") {
  BasicBlock net{.conv1 = {4, 8, 3, {.padding = 1, .bias = false}},
                 .conv2 = {8, 8, 3, {.padding = 1, .bias = false}},
                 .bn1 = {8},
                 .bn2 = {8},
                 .downsample = {}};
  CHECK(state_dict(net).contains("bn1.running_var"));
  const testing::TemporaryFolder folder;
  const std::string file = folder / "net.safetensors";
  StateDict theirs;
  for (const auto& [name, tensor] : state_dict(net)) theirs["module." + name] = zeros_like(tensor.detach());
  save(theirs, file);
  {
#include "snippets/pytorch-weights/rename.inc"
    CHECK(net.conv1.weight.abs().max().item() == 0);
  }
#include "snippets/pytorch-weights/out.inc"
  CHECK(load(file).contains("conv2.weight"));
}
