#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/cifar.md.

using namespace miniparallel;

namespace docs_cifar {
#include "snippets/cifar/block.inc"
}  // namespace docs_cifar
using namespace docs_cifar;

namespace {
struct Net {
  nn::Conv2d conv{3, 4, 3, {.stride = 4}};
  ResidualBlock block{.conv1 = {4, 4, 3, {.padding = 1, .bias = false}},
                      .norm1 = {4, norm_relu},
                      .conv2 = {4, 4, 3, {.padding = 1, .bias = false}},
                      .norm2 = {4, norm_relu}};
  nn::Linear head{4, 10};
  Tensor operator()(const Tensor& x) { return head(mean(block(conv(x)), {2, 3})); }
};
}  // namespace

TEST_CASE("docs/cifar: an epoch in float16 and in bfloat16") {
  const testing::TemporaryFolder files;
  for (char i = 1; i <= 5; ++i)
    testing::write_text(files / ("data_batch_" + std::to_string(i) + ".bin"),
                        std::string(1, i) + std::string(3072, static_cast<char>(20 * i)));
  const std::string folder = files.path();
  const Device device = Device::cpu();
  const std::int64_t epochs = 1;
  for (const DType dtype : {float16, bfloat16}) {
    manual_seed(1);
    Net model;
    const Tensor before = model.head.weight.detach().clone();
#include "snippets/cifar/augment.inc"
#include "snippets/cifar/step.inc"
    const testing::Captured captured(std::cout);
#include "snippets/cifar/loop.inc"
    CHECK(std::stod(captured.text()) == doctest::Approx(2.3).epsilon(0.2));
    CHECK_FALSE(equal(model.head.weight.detach(), before));
  }
}
