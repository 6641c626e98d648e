#include <miniparallel/miniparallel.h>

#include "../support/error_of.h"
#include "simulated.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

// What goes into a captured step and comes out of it: tensors that share memory, are written, kept, replaced.

namespace miniparallel {
namespace {

using testing::error_of;
using testing::Simulated;

const Device gpu = Device::cuda(0);

std::vector<float> values(const Tensor& tensor) { return tensor.to(float32).to_vector<float>(); }
std::vector<float> filled(std::size_t count, float value) { return std::vector<float>(count, value); }

}  // namespace

TEST_CASE("capture: an argument in host memory comes back as that of this call") {
  const Simulated machine;
  auto step = capture([](const Tensor& x) { return std::pair(x, x.to(gpu) * 2); });
  for (int i = 0; i < 6; ++i) {
    const auto [same, twice] = step(full({3}, static_cast<float>(i)));
    CHECK(values(same) == filled(3, static_cast<float>(i)));
    CHECK(values(twice) == filled(3, static_cast<float>(2 * i)));
  }
  CHECK(step.counters().replayed == 3);
}

TEST_CASE("capture: arguments that are one tensor, or parts of one, are told apart from others") {
  const Simulated machine;
  for (const Device device : {gpu, Device::cpu()}) {
    CAPTURE(device.is_cpu());
    auto step = capture([](const Tensor& x, const Tensor& y) { return x.to(gpu) * 10 + y.to(gpu); });
    const auto check_step = [&](const Tensor& x, const Tensor& y) {
      CHECK(values(step(x, y)) == values(x * 10 + y));
    };
    for (int i = 0; i < 4; ++i) {
      const Tensor x = full({2, 3}, static_cast<float>(i), {.device = device});
      check_step(x, x);
    }
    for (int i = 0; i < 4; ++i)
      check_step(full({2, 3}, 2.f, {.device = device}),
                 full({2, 3}, static_cast<float>(i), {.device = device}));
    for (int i = 0; i < 4; ++i) {
      const Tensor both = (arange(12).to(float32) + i).reshape({4, 3}).to(device);
      check_step(both.narrow(0, 0, 2), both.narrow(0, 2, 2));
      check_step(both.narrow(0, 1, 2), both.narrow(0, 2, 2));
    }
    CHECK(step.counters().replayed >= 3);
    CHECK(step.counters().reason == "");
  }
}

TEST_CASE("capture: an argument that the step writes is written") {
  const Simulated machine;
  auto step = capture([](Tensor x, const Tensor& y) {
    x.add_(y);
    return x * 2;
  });
  Tensor x = zeros({3}, {.device = gpu});
  for (int i = 1; i < 7; ++i) {
    const Tensor twice = step(x, ones({3}, {.device = gpu}));
    CHECK(values(x) == filled(3, static_cast<float>(i)));
    CHECK(values(twice) == filled(3, static_cast<float>(2 * i)));
  }
}

TEST_CASE("capture: an argument that is written by way of another handle") {
  const Simulated machine;
  const Tensor sum = zeros({3}, {.device = gpu});
  auto step = capture([&](const Tensor& x) {
    Tensor(sum).add_(1);
    return x * 2;
  });
  for (int i = 1; i < 7; ++i) CHECK(values(step(sum)) == filled(3, static_cast<float>(2 * i)));
  auto other = capture([&](const Tensor& x) {
    Tensor(sum).add_(1);
    return x * 2;
  });
  Tensor(sum).fill_(0);
  for (int i = 1; i < 7; ++i) CHECK(values(other(ones({3}, {.device = gpu}))) == filled(3, 2));
  for (int i = 7; i < 9; ++i) CHECK(values(other(sum)) == filled(3, static_cast<float>(2 * i)));
}

TEST_CASE("capture: a tensor from outside that is returned stays the one that it is") {
  const Simulated machine;
  const Tensor sum = zeros({3}, {.device = gpu});
  auto step = capture([&](const Tensor& x) {
    Tensor(sum).add_(x);
    return sum;
  });
  std::vector<Tensor> held;
  for (int i = 1; i < 9; ++i) {
    const Tensor returned = step(ones({3}, {.device = gpu}));
    if (i % 2 == 0) held.push_back(returned);
    CHECK(values(sum) == filled(3, static_cast<float>(i)));
    CHECK(values(returned) == filled(3, static_cast<float>(i)));
  }
  for (const Tensor& each : held) CHECK(values(each) == filled(3, 8));
  CHECK(step.counters().captured <= 2);
  CHECK(step.counters().replayed >= 4);
}

TEST_CASE("capture: results are arguments of the next call") {
  const Simulated machine;
  auto step = capture([](const Tensor& x) { return x * 2 + 1; });
  Tensor x = zeros({3}, {.device = gpu});
  float expected = 0;
  for (int i = 0; i < 8; ++i) {
    x = step(x);
    expected = expected * 2 + 1;
    CHECK(values(x) == filled(3, expected));
  }
  CHECK(values(step(step(x))) == filled(3, (expected * 2 + 1) * 2 + 1));
  CHECK(step.counters().reason == "");
}

TEST_CASE("capture: views, slices, expanded and empty arguments") {
  const Simulated machine;
  for (const Device device : {gpu, Device::cpu()}) {
    auto step = capture([](const Tensor& x) { return std::pair(x.to(gpu) * 2, x[0]); });
    for (int i = 0; i < 6; ++i) {
      const Tensor base = (arange(24).to(float32) + i).reshape({4, 6}).to(device);
      std::vector<Tensor> all{base.narrow(0, i % 3, 2), base.narrow(0, 1, 1).narrow(1, 3, 0),
                              base.unsqueeze(0)};
      if (device == gpu)
        all.insert(all.end(), {base.t(), base.narrow(1, i % 3, 2), base[i % 4].expand({3, 6})});
      for (const Tensor& x : all) {
        const auto [twice, first] = step(x);
        CHECK(values(twice) == values(x * 2));
        CHECK(values(first) == values(x[0]));
      }
    }
    CHECK(step.counters().reason == "");
    CHECK(step.counters().replayed >= 6);
  }
}

TEST_CASE("capture: a graph from before notices that a replay writes what it has saved") {
  const Simulated machine;
  const Tensor weight = full({3}, 2.f, {.device = gpu}).requires_grad_();
  auto step = capture([&](const Tensor& x) {
    const NoGradGuard no_grad;
    Tensor(weight).add_(x);
  });
  for (int i = 0; i < 6; ++i) {
    const Tensor y = (weight * weight).sum();
    const std::uint32_t before = weight.version();
    step(ones({3}, {.device = gpu}));
    CHECK(weight.version() == before + 1);
    CHECK_THROWS_AS(y.backward(), Error);
  }
  CHECK(step.counters().replayed >= 2);
}

TEST_CASE("capture: a step that meets other gradients at every call is given up") {
  const Simulated machine;
  const Tensor weight = full({3}, 2.f, {.device = gpu}).requires_grad_();
  auto step = capture([&](const Tensor& x) { (weight * x).sum().backward(); });
  for (int i = 0; i < 12; ++i) {
    weight.set_grad(full({3}, 1.f, {.device = gpu}));
    step(ones({3}, {.device = gpu}));
    CHECK(values(weight.grad()) == filled(3, 2));
  }
  CHECK(step.counters().captured == 4);
  CHECK(step.counters().reason.find("other gradients") != std::string::npos);
}

TEST_CASE("capture: another tensor in the place of one that somebody keeps") {
  const Simulated machine;
  Tensor weight = full({3}, 1.f, {.device = gpu});
  auto step = capture([&](const Tensor& x) { return x * weight; });
  const Tensor kept = weight;
  for (int i = 0; i < 12; ++i) {
    if (i % 4 == 3) {
      weight = full({3}, static_cast<float>(i), {.device = gpu});
    }
    CHECK(values(step(ones({3}, {.device = gpu}))) == values(weight));
  }
}

TEST_CASE("capture: a hook that comes later is called") {
  const Simulated machine;
  Tensor weight = full({3}, 1.f, {.device = gpu}).requires_grad_();
  auto step = capture([&](const Tensor& x) {
    weight.set_grad({});
    (x * weight).sum().backward();
    return weight.grad();
  });
  const auto run = [&](float expected) {
    for (int i = 0; i < 5; ++i) CHECK(values(step(ones({3}, {.device = gpu}))) == filled(3, expected));
  };
  run(1);
  const int hook = weight.register_hook([](const Tensor& gradient) { return gradient * 3; });
  run(3);
  weight.remove_hook(hook);
  run(1);
}

TEST_CASE("capture: arguments are not kept") {
  const Simulated machine;
  auto step = capture([](const Tensor& x) { return x.sum(); });
  std::int64_t before = 0;
  for (int i = 0; i < 6; ++i) {
    {
      const Tensor x = ones({1024, 1024}, {.device = gpu});
      before = memory_stats(gpu).used;
      step(x);
    }
    CAPTURE(i);
    if (i != 2) CHECK(memory_stats(gpu).used <= before - 4 * 1024 * 1024);
  }
}

TEST_CASE("capture: numbers that are not one, and strange arguments") {
  const Simulated machine;
  int calls = 0;
  auto step = capture([&](const Tensor& x, double factor) { return ++calls, x * factor; });
  for (int i = 0; i < 8; ++i) {
    const auto got = values(step(ones({2}, {.device = gpu}), std::nan("")));
    CHECK(got[0] != got[0]);
  }
  CHECK(calls == 3);
}

TEST_CASE("capture: a step that resets itself, throws, or is moved") {
  const Simulated machine;
  std::function<void()> reset;
  auto step = capture([&](const Tensor& x) {
    if (reset) reset();
    return x * 2;
  });
  reset = [&] { step.reset(); };
  for (int i = 0; i < 6; ++i) CHECK(values(step(ones({2}, {.device = gpu}))) == filled(2, 2));
  reset = {};
  for (int i = 0; i < 6; ++i) CHECK(values(step(ones({2}, {.device = gpu}))) == filled(2, 2));
  Tensor kept = step(ones({2}, {.device = gpu}));
  auto moved = std::move(step);
  CHECK(values(moved(ones({2}, {.device = gpu}) * 2)) == filled(2, 4));
  CHECK(moved.counters().replayed >= 2);
  CHECK(values(kept) == filled(2, 2));
  {
    const auto gone = std::move(moved);
  }
  CHECK(values(kept) == filled(2, 2));
}

TEST_CASE("capture: steps in steps") {
  const Simulated machine;
  auto inner = capture([](const Tensor& x) { return x * 2; });
  auto outer = capture([&](const Tensor& x) { return inner(x) + 1; });
  for (int i = 0; i < 8; ++i) {
    CHECK(values(outer(full({2}, static_cast<float>(i), {.device = gpu}))) ==
          filled(2, static_cast<float>(2 * i + 1)));
    CHECK(values(inner(full({2}, static_cast<float>(i), {.device = gpu}))) ==
          filled(2, static_cast<float>(2 * i)));
  }
  CHECK(outer.counters().replayed >= 3);
}

}  // namespace miniparallel
