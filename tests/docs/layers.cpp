#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/layers.md.

using namespace miniparallel;

TEST_CASE("docs/layers: the shapes that the page states") {
#include "snippets/layers/convolution.inc"
  CHECK(same.shape() == Shape{8, 16, 32, 32});
  CHECK(half.shape() == Shape{8, 16, 16, 16});
  CHECK(twice.shape() == Shape{8, 16, 64, 64});
  CHECK(each.shape() == Shape{8, 3, 32, 32});
  const testing::Captured captured(std::cout);
#include "snippets/layers/sequential.inc"
  CHECK(captured.text().find("AdaptiveAvgPool2d") != std::string::npos);
  CHECK(net(x).shape() == Shape{8, 10});
}
