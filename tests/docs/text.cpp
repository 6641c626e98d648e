#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

// The code of docs/text.md.

using namespace miniparallel;

namespace docs_text {
#include "snippets/text/net.inc"
}  // namespace docs_text
using namespace docs_text;

TEST_CASE("docs/text: steps that carry the state on, and writing") {
  manual_seed(1);
  Net net{.characters = {5, 8}, .lstm = {8, 16, {.batch_first = true}}, .output = {16, 5}};
  optim::Adam optimizer(parameters(net), {.lr = 0.02});
  const Tensor strips = remainder(arange(200), 5).expand({2, 200});  // 0 1 2 3 4 0 1 ...
  const std::int64_t length = 9;
  nn::LSTMState state;
  std::int64_t at = 0;
  double last = 0;
  for (int i = 0; i < 20; ++i) {
#include "snippets/text/step.inc"
    last = loss.item();
  }
  CHECK(last < 0.5);
  const Tensor prompt = tensor({0, 1, 2});
  std::vector<int> written;
#include "snippets/text/write.inc"
  CHECK(written[0] == 3);
  CHECK(written[1] == 4);
}
