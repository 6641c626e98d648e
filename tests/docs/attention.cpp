#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

// The code of docs/attention.md.

using namespace miniparallel;

TEST_CASE("docs/attention: masks, and what true means") {
#include "snippets/attention/masks.inc"
  // Changing what does not take part changes nothing.
  Tensor other = x.clone();
  other[2].narrow(0, 3, 7).fill_(5);
  CHECK(allclose(attention(other, {.mask = real.view({8, 1, 1, 10})})[2].narrow(0, 0, 3),
                 padded[2].narrow(0, 0, 3)));
  CHECK_FALSE(allclose(attention(other)[2].narrow(0, 0, 3), padded[2].narrow(0, 0, 3)));
  other = x.clone();
  other.select(1, 9).fill_(5);
  CHECK(allclose(attention(other, {.causal = true}).narrow(1, 0, 9), past.narrow(1, 0, 9)));
  CHECK(
      allclose(attention(other, {.mask = (arange(10).unsqueeze(1) - arange(10)).abs() <= 2}).narrow(1, 0, 7),
               near.narrow(1, 0, 7)));
  CHECK(both.shape() == Shape{8, 10, 64});
  const Tensor one = ones({1, 2, 4});
  CHECK(scaled_dot_product_attention(one, one, one, zeros({2, 2}) > 0).abs().max().item() == 0);
  {
#include "snippets/attention/cross.inc"
    CHECK(seen.shape() == Shape{8, 5, 64});
    CHECK(y.shape() == Shape{8, 5, 64});
  }
#include "snippets/attention/heads.inc"
  CHECK(joined.shape() == Shape{8, 10, 64});
}
