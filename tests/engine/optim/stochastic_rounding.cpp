#include <miniparallel/miniparallel.h>

#include "engine/tensor/arena.h"
#include "kernels/half.h"
#include "tests/engine/optim/variants.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

// Adam and AdamW of bfloat16 parameters that round up or down at random.

namespace miniparallel {
namespace {

using optim::Adam;
using optim::AdamW;
using testing::identical;

std::uint16_t rounded(float value, std::uint32_t noise) { return kernels::to_bfloat16(value, noise).bits; }
float with_bits(std::uint32_t bits) { return std::bit_cast<float>(bits); }

TEST_CASE("bfloat16 with noise: the share that is rounded up is what lies below the bits that stay") {
  for (const std::uint32_t sign : {0u, 0x80000000u})
    for (const std::uint32_t bits : {0x3f800000u, 0x3f800001u, 0x3f808000u, 0x3fffffffu, 0x00000000u,
                                     0x00000001u, 0x007fc000u, 0x7f7e1234u}) {
      CAPTURE(bits);
      std::uint32_t up = 0;
      for (std::uint32_t noise = 0; noise < 0x10000u; ++noise) {
        const std::uint32_t step = rounded(with_bits(sign | bits), noise) - ((sign | bits) >> 16);
        REQUIRE(step <= 1u);
        up += step;
      }
      CHECK(up == (bits & 0xffffu));
    }
}

TEST_CASE("bfloat16 with noise: infinities and NaN stay, and nothing more than to nearest becomes infinite") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const std::uint32_t noise : {0u, 1u, 0x8000u, 0xffffu}) {
    for (const float sign : {1.f, -1.f}) {
      const float largest = sign * with_bits(0x7f7f0000u);
      const std::uint16_t largest_bits = kernels::to_bfloat16(largest).bits;
      CHECK(rounded(largest, noise) == largest_bits);
      CHECK(rounded(sign * with_bits(0x7f7f7fffu), noise) == largest_bits);
      CHECK(rounded(sign * infinity, noise) == kernels::to_bfloat16(sign * infinity).bits);
    }
    CHECK(rounded(with_bits(0x7f7f8000u), 0xffffu) == kernels::to_bfloat16(infinity).bits);
    for (const std::uint32_t nan : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu})
      CHECK(std::isnan(kernels::to_float(kernels::to_bfloat16(with_bits(nan), noise))));
  }
}

/// A parameter of ones, after steps by the gradient 1, each of which takes `lr` away.
template <class Optimizer = Adam, class Options>
Tensor after_steps(const Options& options, int steps, DType dtype, std::int64_t n = 1 << 16) {
  const Tensor parameter = ones({n}, {.dtype = dtype}).requires_grad_();
  Optimizer optimizer({parameter}, options);
  for (int step = 0; step < steps; ++step) {
    parameter.set_grad(ones({n}, {.dtype = dtype}));
    optimizer.step();
  }
  return parameter.detach();
}

TEST_CASE("stochastic rounding: updates that are lost to nearest move the parameters on average") {
  manual_seed(1);
  const double lr = 1e-4, ulp = 1. / 256, n = 1 << 16;
  CHECK(after_steps(optim::AdamOptions{.lr = lr}, 20, bfloat16).to(float32).min().item() == 1);
  const auto check_mean = [&](const Tensor& got) {
    // The variance of a step is below lr ulp.
    const double error = 5 * std::sqrt(20 * lr * ulp / n);
    CHECK(std::abs(got.to(float64).mean().item() - (1 - 20 * lr)) < error);
    CHECK(got.to(float32).max().item() == 1);
    CHECK(got.to(float32).min().item() < 1);
  };
  check_mean(after_steps(optim::AdamOptions{.lr = lr, .stochastic_rounding = true}, 20, bfloat16));
  check_mean(after_steps<AdamW>(optim::AdamWOptions{.lr = lr, .weight_decay = 0, .stochastic_rounding = true},
                                20, bfloat16));
  check_mean(
      after_steps(optim::AdamOptions{.lr = lr, .amsgrad = true, .stochastic_rounding = true}, 20, bfloat16));
}

TEST_CASE("stochastic rounding: the average of squares follows gradients that become smaller") {
  manual_seed(2);
  const auto squares = [](DType dtype, bool at_random) {
    const std::int64_t n = 4096;
    const Tensor parameter = zeros({n}, {.dtype = dtype}).requires_grad_();
    Adam optimizer({parameter}, {.lr = 0, .stochastic_rounding = at_random});
    for (int step = 0; step < 400; ++step) {
      parameter.set_grad(full({n}, step < 100 ? 1 : 0.125, {.dtype = dtype}));
      optimizer.step();
    }
    return optimizer.state_dict().at("state.0.exp_avg_sq").to(float64).mean().item();
  };
  const double exact = squares(float32, false);
  CHECK(std::abs(squares(bfloat16, true) / exact - 1) < 0.01);
  CHECK(squares(bfloat16, false) / exact > 1.2);
}

TEST_CASE("stochastic rounding: other dtypes are updated as without, and nothing is drawn unless it is on") {
  for (const DType dtype : {float32, float64, float16}) {
    CAPTURE(dtype);
    CHECK(identical(after_steps(optim::AdamOptions{.lr = 0.01, .stochastic_rounding = true}, 3, dtype, 100),
                    after_steps(optim::AdamOptions{.lr = 0.01}, 3, dtype, 100)));
  }
  manual_seed(3);
  const RandomState before = random_state();
  const Tensor parameter = ones({3}, {.dtype = bfloat16}).requires_grad_();
  Adam plain({parameter});
  CHECK(random_state() == before);
  CHECK_FALSE(plain.state_dict().contains("rounding_seed"));
  Adam random({parameter}, {.stochastic_rounding = true});
  CHECK(random_state().ordinal == before.ordinal + 1);
  CHECK(random.state_dict().at("rounding_seed").dtype() == int64);
}

using Parameters = std::vector<Tensor>;

Parameters make_parameters() {
  Parameters parameters;
  for (const Shape& shape : {Shape{3, 5}, {64}, {1}, {70'001}, {16}})
    parameters.push_back(randn(shape).to(bfloat16).requires_grad_());
  return parameters;
}
/// Also puts gradients side by side where the parameters are so.
void set_gradients(const Parameters& parameters, bool packed) {
  const Arena arena(parameters, Device::cpu());
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    Tensor gradient = packed ? arena.tensor(i) : zeros_like(parameters[i].detach());
    gradient.copy_(randn(parameters[i].shape()).to(bfloat16));
    parameters[i].set_grad(gradient);
  }
}
struct Trained {
  Parameters parameters;
  StateDict state;
};
void check_same(const Trained& a, const Trained& b) {
  for (std::size_t i = 0; i < a.parameters.size(); ++i)
    CHECK(identical(a.parameters[i].detach(), b.parameters[i].detach()));
  REQUIRE(a.state.size() == b.state.size());
  for (const auto& entry : a.state) {
    INFO(entry.first);
    CHECK(identical(entry.second, b.state.at(entry.first)));
  }
}
constexpr optim::AdamWOptions kAtRandom{.lr = 0.01, .amsgrad = true, .stochastic_rounding = true};

TEST_CASE("stochastic rounding: the same bits for every number of threads and place in memory") {
  const int threads = num_threads();
  const auto train = [](int count, bool packed) {
    set_num_threads(count);
    manual_seed(4);
    const Parameters parameters = make_parameters();
    if (packed) pack(parameters);
    AdamW optimizer(parameters, kAtRandom);
    for (int step = 0; step < 3; ++step) {
      set_gradients(parameters, packed);
      optimizer.step();
    }
    return Trained{parameters, optimizer.state_dict()};
  };
  const Trained one = train(1, false);
  for (const int count : {2, 3}) check_same(train(count, false), one);
  for (const int count : {1, 2}) check_same(train(count, true), one);
  set_num_threads(threads);
}

TEST_CASE("stochastic rounding: every step, parameter, element and optimizer has bits of its own") {
  manual_seed(5);
  const std::int64_t n = 1000;
  const auto ones_of = [] { return ones({n}, {.dtype = bfloat16}).requires_grad_(); };
  const Parameters p{ones_of(), ones_of(), ones_of()};
  const optim::AdamOptions options{.lr = 1. / 512, .stochastic_rounding = true};
  Adam first({p[0], p[1]}, options), second({p[2]}, options);
  const auto step = [&] {
    for (const Tensor& each : p) {
      const NoGradGuard no_grad;
      Tensor values = each.detach();
      values.fill_(1);
      each.set_grad(ones({n}, {.dtype = bfloat16}));
    }
    first.step();
    second.step();
    std::vector<Tensor> moved;
    for (const Tensor& each : p) moved.push_back((each.detach() < 1).to(float64));
    return moved;
  };
  std::vector<Tensor> all = step();
  for (const Tensor& again : step()) all.push_back(again);
  for (std::size_t i = 0; i < all.size(); ++i) {
    CHECK(std::abs(all[i].mean().item() - 0.5) < 0.1);
    const Tensor next = all[i].narrow(0, 1, n - 1) * all[i].narrow(0, 0, n - 1);
    CHECK(std::abs(next.mean().item() - 0.25) < 0.1);
    for (std::size_t k = 0; k < i; ++k) CHECK(std::abs((all[i] * all[k]).mean().item() - 0.25) < 0.1);
  }
}

TEST_CASE("stochastic rounding: a checkpoint continues with the same bits") {
  const testing::TemporaryFolder folder;
  const auto train = [&](bool resumes) {
    manual_seed(6);
    const Parameters parameters = make_parameters();
    auto optimizer = std::make_unique<AdamW>(parameters, kAtRandom);
    std::int64_t unused = 0;
    for (int step = 0; step < 6; ++step) {
      if (step == 3 && resumes) {
        save_checkpoint(folder / "run", {{"optimizer", *optimizer}, {"n", unused}});
        manual_seed(99);
        optimizer = std::make_unique<AdamW>(parameters, kAtRandom);
        load_checkpoint(folder / "run", {{"optimizer", *optimizer}, {"n", unused}});
      }
      set_gradients(parameters, false);
      optimizer->step();
    }
    return Trained{parameters, optimizer->state_dict()};
  };
  check_same(train(true), train(false));
}

}  // namespace
}  // namespace miniparallel
