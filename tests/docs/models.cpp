#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/models.md.

using namespace miniparallel;

namespace docs_models {
#include "snippets/models/net.inc"
}  // namespace docs_models
using docs_models::Net;

TEST_CASE("docs/models: names, parameters, functions") {
  const testing::Captured captured(std::cout);
#include "snippets/models/use_net.inc"
  CHECK(captured.text().find("blocks.1.fc.weight [32, 32]\n") != std::string::npos);
  CHECK(captured.text().find("blocks.2.norm (LayerNorm)") != std::string::npos);
#include "snippets/models/functions.inc"
  CHECK(!net.drop.training);
  CHECK(net.input.weight.dtype() == float64);
  CHECK(same.output.weight.is_same(net.output.weight));
  CHECK(!other.output.weight.is_same(net.output.weight));
}

TEST_CASE("docs/models: training") {
  manual_seed(1);
  Net net;
  const Tensor before = net.output.weight.detach().clone();
#include "snippets/models/training.inc"
  CHECK(!equal(net.output.weight.detach(), before));
#include "snippets/models/averaged.inc"
  CHECK(logits.shape() == Shape{4, 2});
  CHECK(average.updates() == 20);
  optim::Adam groups({{parameters(net.input), {.lr = 1e-4}}, {parameters(net.output)}});
  CHECK(groups.lr(0) == 1e-4);
}

TEST_CASE("docs/models: sequential") {
#include "snippets/models/sequential.inc"
  CHECK(logits.shape() == Shape{4, 10});
}

TEST_CASE("docs/models: recurrent") {
#include "snippets/models/recurrent.inc"
  CHECK(outputs.shape() == Shape{3, 10, 16});
  CHECK(equal(last.select(0, 1), outputs.select(0, 1).select(0, 3)));
  CHECK(outputs.select(0, 1).narrow(0, 4, 6).abs().max().item() == 0);
}

TEST_CASE("docs/models: transformer") {
#include "snippets/models/transformer.inc"
  CHECK(y.shape() == Shape{8, 10, 64});
}

TEST_CASE("docs/models: metrics") {
  const testing::Captured captured(std::cout);
  manual_seed(2);
  nn::Linear net{4, 10};
  data::DataLoader batches(data::TensorDataset(randn({20, 4}), randint(0, 10, {20})), {.batch_size = 8});
#include "snippets/models/metrics.inc"
  CHECK(top1.count() == 20);
  CHECK(top5.compute() >= top1.compute());
  CHECK(sum(confusion.compute()).item() == 20);
}

TEST_CASE("docs/models: lbfgs") {
  manual_seed(1);
  nn::Linear net{3, 1};
  const Tensor x = randn({20, 3}), y = x.sum(1, true) + 1;
#include "snippets/models/lbfgs.inc"
  CHECK(mse_loss(net(x), y).item() < 1e-6 * loss.item());
}
