#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/fine-tuning.md.

using namespace miniparallel;

namespace docs_fine_tuning {
#include "snippets/fine-tuning/net.inc"
}  // namespace docs_fine_tuning
using namespace docs_fine_tuning;

TEST_CASE("docs/fine-tuning: load, freeze, train the head") {
  const testing::TemporaryFolder folder;
  const std::string file = folder / "old.safetensors";
  Net old;
  save(old, file);
#include "snippets/fine-tuning/load.inc"
  CHECK(report.missing == std::vector<std::string>{"head.weight", "head.bias"});
  CHECK(equal(net.body.conv.weight, old.body.conv.weight));
  CHECK_FALSE(equal(net.head.weight, old.head.weight));
  {
#include "snippets/fine-tuning/freeze.inc"
    const Tensor before = state_dict(net).at("body.norm.running_mean").clone();
    mse_loss(net(randn({4, 1, 28, 28})), zeros({4, 5})).backward();
    optimizer.step();
    CHECK(equal(net.body.conv.weight, old.body.conv.weight));
    CHECK(equal(state_dict(net).at("body.norm.running_mean"), before));
    CHECK_FALSE(net.body.conv.weight.grad().defined());
  }
  const testing::Captured captured(std::cout);
  {
#include "snippets/fine-tuning/walk.inc"
    CHECK(decayed.size() == 2);
    CHECK(optimizer.num_groups() == 2);
  }
  CHECK(captured.text().find("body.conv.weight [16, 1, 3, 3], frozen\n") == 0);
#include "snippets/fine-tuning/init.inc"
  CHECK(net.head.bias.abs().max().item() == 0);
  CHECK(net.head.weight.abs().max().item() < 2.1);
}
