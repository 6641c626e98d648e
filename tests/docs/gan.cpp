#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

// The code of docs/gan.md.

using namespace miniparallel;

namespace {
struct Generator {
  nn::Linear fc{32, 64};
  Tensor operator()(const Tensor& noise) { return tanh(fc(noise)).view({-1, 1, 8, 8}); }
};
struct Discriminator {
  nn::Linear fc{64, 1};
  Tensor operator()(const Tensor& images) { return fc(images.flatten(1)).squeeze(1); }
};
}  // namespace

TEST_CASE("docs/gan: each turn changes one model") {
  manual_seed(1);
#include "snippets/gan/models.inc"
  const Device device = generator.device();
  const Tensor photographs = randn({16, 1, 8, 8});
  const Tensor before = generator->fc.weight.detach().clone();
#include "snippets/gan/turns.inc"
  CHECK_FALSE(equal(generator->fc.weight.detach(), before));
  CHECK_FALSE(discriminator->fc.weight.grad().defined());
  CHECK(judged.item() > 0);
  CHECK(deceived.item() > 0);
}
