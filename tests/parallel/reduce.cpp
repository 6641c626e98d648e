#include <miniparallel/parallel/reduce.h>

#include <miniparallel/autograd.h>
#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "parallel/reduce.h"

#include <doctest/doctest.h>

// Sums over devices in one fixed tree.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::on_machines;
using Tensors = std::vector<Tensor>;

TEST_CASE("reduce_add: adds in a tree over the list, whatever the devices") {
  on_machine(4, [](const std::vector<Device>& devices) {
    const std::vector<float> values{1e8f, 3.0f, -1e8f, 5.0f};
    for (const std::vector<std::size_t>& places :
         {std::vector<std::size_t>{3, 2, 1, 0}, {0, 0, 0, 0}, {1, 1, 2, 2}, {2, 2, 2, 0}})
      for (const std::size_t to : {0u, 3u}) {
        Tensors parts;
        for (std::size_t i = 0; i < 4; ++i)
          parts.push_back(full({3}, values[i], {.device = devices[places[i]]}));
        const Tensor sum = parallel::reduce_add(parts, devices[to]);
        CHECK(sum.device() == devices[to]);
        CHECK(equal(sum.cpu(), full({3}, 8.0)));  // (1e8 + 3) + (-1e8 + 5)
      }
  });
}

TEST_CASE("reduce_add: gives the same bits for every placement of many parts, also of 16 bits") {
  for (const DType dtype : {float32, float16, bfloat16})
    for (const std::size_t count : {1u, 3u, 8u, 11u, 20u}) {
      CAPTURE(dtype);
      CAPTURE(count);
      manual_seed(9);
      Tensors parts;
      for (std::size_t i = 0; i < count; ++i) parts.push_back((randn({5, 3}) * 100).to(dtype));
      const std::vector<float> expected = parallel::reduce_add(parts, Device::cpu()).to_vector<float>();
      for (const std::size_t gpus : {1u, 2u, 3u, 4u})
        on_machine(static_cast<int>(gpus), [&](const std::vector<Device>& devices) {
          Tensors runs, dealt;
          for (std::size_t i = 0; i < count; ++i) {
            runs.push_back(parts[i].to(devices[i * gpus / count]));
            dealt.push_back(parts[i].to(devices[i % gpus]));
          }
          CHECK(parallel::reduce_add(runs, devices[0]).to_vector<float>() == expected);
          CHECK(parallel::reduce_add(dealt, devices.back()).to_vector<float>() == expected);
        });
    }
}

TEST_CASE("reduce_add: numbers of 16 bits are summed in float32 and rounded once") {
  on_machine(4, [](const std::vector<Device>& devices) {
    Tensors parts{full({2}, 2048.0, {.dtype = float16, .device = devices[0]})};
    for (std::size_t i = 1; i < 8; ++i)
      parts.push_back(full({2}, 1.0, {.dtype = float16, .device = devices[i / 2]}));
    const Tensor sum = parallel::reduce_add(parts, devices[0]);
    CHECK(sum.dtype() == float16);
    CHECK(sum.select(0, 0).item() == 2056);  // 2055, between 2054 and 2056; step by step it stays 2048
  });
}

TEST_CASE("sum_parts: whole subtrees of a device cross as one sum") {
  on_machine(4, [](const std::vector<Device>& devices) {
    if (devices[0] == devices[1]) return;
    const auto bytes = [&](const std::vector<std::size_t>& places) {
      std::vector<parallel::Part> parts;
      for (std::size_t i = 0; i < places.size(); ++i)
        parts.push_back({static_cast<int>(i), ones({10}, {.device = devices[places[i]]})});
      const Tensor sum = empty({10}, {.device = devices[0]});
      const std::int64_t copied = parallel::sum_parts(parts, sum);
      CHECK(equal(sum.cpu(), full({10}, static_cast<double>(places.size()))));
      return copied / 40;
    };
    CHECK(bytes({0, 0, 0, 0}) == 0);
    CHECK(bytes({0, 1, 2, 3}) == 3);
    CHECK(bytes({0, 0, 0, 0, 1, 1, 1, 1}) == 1);
    CHECK(bytes({0, 0, 1, 1, 2, 2, 3, 3}) == 3);
    CHECK(bytes({0, 0, 0, 1, 1, 1, 2, 2}) == 3);  // 3, 4 to 5, 6 to 7
    CHECK(bytes({1, 1, 1, 1, 1, 1, 1, 1}) == 1);
  });
}

TEST_CASE("reduce_add, broadcast: are differentiable, twice, on every device") {
  on_machines([](const std::vector<Device>& devices) {
    const Tensor x = randn({3}, {.dtype = float64, .requires_grad = true});
    const auto round_trip = [&](const Tensor& from) {
      Tensors copies = parallel::broadcast(from, devices);
      for (std::size_t i = 0; i < copies.size(); ++i) {
        CHECK(copies[i].device() == devices[i]);
        copies[i] = copies[i] * copies[i] * static_cast<double>(i + 1);
      }
      return parallel::reduce_add(copies, Device::cpu());
    };
    const double factor = static_cast<double>(devices.size() * (devices.size() + 1)) / 2;
    const Tensor y = round_trip(x);
    CHECK(allclose(y, x * x * factor, 1e-11, 1e-11));
    const Tensor dx = autograd::grad({sum(y)}, {x}, {.create_graph = true})[0];
    CHECK(allclose(dx, x * (2 * factor), 1e-11, 1e-11));
    const Tensor ddx = autograd::grad({sum(dx)}, {x})[0];
    CHECK(allclose(ddx, full({3}, 2 * factor, {.dtype = float64}), 1e-11, 1e-11));
    if (devices.size() > 1) {  // a copy that is not used
      sum(parallel::broadcast(x, devices)[1]).backward();
      CHECK(equal(x.grad(), ones({3}, {.dtype = float64})));
    }
  });
}

TEST_CASE("broadcast: of integers, of nothing, to no device") {
  on_machine(2, [](const std::vector<Device>& devices) {
    for (const Tensor& copy : parallel::broadcast(arange(3), devices)) CHECK(equal(copy.cpu(), arange(3)));
    CHECK(parallel::broadcast(zeros({0, 2}), devices)[1].shape() == Shape{0, 2});
    CHECK(parallel::broadcast(ones({2}, {.requires_grad = true}), {}).empty());
  });
}

TEST_CASE("reduce_add: what it refuses") {
  CHECK_THROWS_WITH_AS(parallel::reduce_add({}, Device::cpu()),
                       "reduce_add: no tensors were given; pass one for each device", Error);
  CHECK_THROWS_WITH_AS(
      parallel::reduce_add({ones({2}), ones({3})}, Device::cpu()),
      "reduce_add: tensor 1 is float32 [3], the first float32 [2]; give all one shape and dtype", Error);
  CHECK_THROWS_WITH_AS(
      parallel::reduce_add({arange(3)}, Device::cpu()),
      "reduce_add: tensor 0 is int64; it sums floating-point numbers, convert with to(float64)", Error);
}

}  // namespace
}  // namespace miniparallel
