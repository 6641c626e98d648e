#include "engine/tensor/arena.h"

#include <miniparallel/miniparallel.h>

#include "engine/tensor/tensor_impl.h"

#include <doctest/doctest.h>

#include <cstdint>

namespace miniparallel {
namespace {

struct Net {
  nn::Linear first{3, 5}, second{5, 2};
  Tensor operator()(const Tensor& x) { return second(tanh(first(x))); }
};

std::uintptr_t address(const Tensor& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data<float>());
}

TEST_CASE("arena: packed parameters keep their values, and stand in one block at multiples of 256 bytes") {
  Net net;
  const std::vector<Tensor> before = parameters(clone(net));
  const Arena arena = pack(parameters(net));
  CHECK(arena.blocks().size() == 1);
  const std::vector<Tensor> after = parameters(net);
  for (std::size_t i = 0; i < after.size(); ++i) {
    CHECK(equal(after[i], before[i]));
    CHECK(after[i].requires_grad());
    CHECK(arena.holds(i, after[i]));
    CHECK_FALSE(arena.holds(i, before[i]));
    CHECK((address(after[i]) - address(arena.blocks()[0])) % 256 == 0);
  }
  CHECK(address(after[1]) - address(after[0]) == 256);
}

TEST_CASE("arena: optimizers and copies made before follow") {
  Net net;
  Net copy = net;
  optim::SGD optimizer(parameters(net), {.lr = 0.5});
  const Arena arena = pack(parameters(net));
  const Tensor before = net.first.weight.clone();
  net(randn({4, 3})).sum().backward();
  optimizer.step();
  CHECK_FALSE(equal(net.first.weight, before));
  CHECK(equal(copy.first.weight, net.first.weight));
  CHECK(equal(arena.tensor(0), net.first.weight));
}

TEST_CASE("arena: each tensor has a version of its own") {
  Net net;
  const Arena arena = pack(parameters(net));
  const auto loss = net(randn({4, 3})).sum();
  const std::uint32_t version = net.first.weight.version();
  {
    const NoGradGuard no_grad;
    net.second.bias.add_(1);  // no backward reads it
  }
  CHECK(net.first.weight.version() == version);
  loss.backward();
  const auto stale = net(randn({4, 3})).sum();
  {
    const NoGradGuard no_grad;
    net.second.weight.add_(1);
  }
  CHECK_THROWS_AS(stale.backward(), Error);
}

TEST_CASE("arena: a place may be overwritten where nobody else holds it, whoever holds its neighbours") {
  const Arena arena = pack({ones({3}), ones({5})});
  const Tensor first = arena.tensor(0), second = arena.tensor(1);
  const Tensor third = second;  // NOLINT: holds it as well
  CHECK(is_exclusive(first));
  CHECK_FALSE(is_exclusive(second));
  const Tensor view = first.view({3, 1});
  CHECK_FALSE(is_exclusive(first));
}

TEST_CASE("arena: gradients stay, and the next ones add to them") {
  Net net;
  const Tensor x = randn({4, 3});
  net(x).sum().backward();
  const Tensor before = net.first.weight.grad().clone();
  const Arena arena = pack(parameters(net));
  CHECK(equal(net.first.weight.grad(), before));
  net(x).sum().backward();
  CHECK(allclose(net.first.weight.grad(), before * 2));
}

TEST_CASE("arena: a graph recorded before still has its backward") {
  Net net, same = clone(net);
  const Tensor x = randn({4, 3});
  const Tensor loss = net(x).sum();
  const Arena arena = pack(parameters(net));
  loss.backward();
  same(x).sum().backward();
  CHECK(allclose(net.first.weight.grad(), same.first.weight.grad()));
}

TEST_CASE("arena: a conversion leaves it, and packing again makes a new one") {
  Net net;
  const Arena arena = pack(parameters(net));
  to(net, float64);
  CHECK_FALSE(arena.holds(0, net.first.weight));
  const Arena again = pack(parameters(net));
  CHECK(again.holds(0, net.first.weight));
  CHECK(again.blocks()[0].dtype() == float64);
}

TEST_CASE("arena: a block per dtype, and runs of neighbours with the padding between them") {
  const std::vector<Tensor> tensors{ones({3}), full({2}, 2.0, {.dtype = float64}), full({5}, 3.0), zeros({0}),
                                    full({}, 4.0)};
  const Arena arena = pack(tensors);
  CHECK(arena.blocks().size() == 2);
  CHECK_FALSE(arena.is_followed(0));
  CHECK(arena.is_followed(2));
  const Tensor run = arena.run(2, 4);
  CHECK(run.numel() == 64 + 1);
  CHECK(run.sum().item() == 5 * 3 + 4);
}

TEST_CASE("arena: nothing to pack is fine") { CHECK(pack({}).size() == 0); }

}  // namespace
}  // namespace miniparallel
