#include <miniparallel/error.h>
#include <miniparallel/ops.h>
#include <miniparallel/optim.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace miniparallel {
namespace {

using nn::utils::clip_grad_norm_;
using nn::utils::clip_grad_value_;
using testing::largest_difference;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor reference(const std::string& name) { return testing::golden("optim_goldens.safetensors", name); }

std::vector<Tensor> with_gradients(DType dtype) {
  std::vector<Tensor> parameters;
  for (int i = 0; i < 4; ++i) {
    const Tensor gradient = reference("gradient.1." + std::to_string(i)).to(dtype).clone();
    parameters.push_back(zeros_like(gradient).requires_grad_());
    parameters.back().set_grad(gradient);
  }
  parameters.push_back(zeros({2}, {.dtype = dtype, .requires_grad = true}));  // has none
  return parameters;
}

TEST_CASE("clip_grad_norm_: norms and clipped gradients agree with PyTorch") {
  for (const DType dtype : {float32, float64}) {
    for (const auto& [kind, norm_type] :
         {std::pair{"one", 1.0}, std::pair{"two", 2.0}, std::pair{"infinity", kInfinity}}) {
      for (const auto& [limit, max_norm] : {std::pair{"clipped", 0.5}, std::pair{"free", 1000.0}}) {
        const std::string label = std::string("clip.") + kind + "." + limit;
        CAPTURE(label);
        const auto parameters = with_gradients(dtype);
        const Tensor norm = clip_grad_norm_(parameters, max_norm, norm_type);
        const double tolerance = dtype == float64 ? 1e-13 : 1e-6;
        CHECK(norm.dtype() == dtype);
        CHECK(norm.item() == doctest::Approx(reference(label + ".norm").item()).epsilon(tolerance));
        for (int i = 0; i < 4; ++i)
          CHECK(largest_difference(parameters[i].grad(), reference(label + "." + std::to_string(i))) <
                tolerance);
      }
    }
  }
}

TEST_CASE("clip_grad_value_: agrees with PyTorch, NaN stays, versions count") {
  const auto parameters = with_gradients(float64);
  parameters[4].set_grad(tensor({std::nan(""), -9.0}, {2}, {.dtype = float64}));
  const auto version = parameters[0].grad().version();
  clip_grad_value_(parameters, 0.25);
  for (int i = 0; i < 4; ++i)
    CHECK(largest_difference(parameters[i].grad(), reference("clip.value." + std::to_string(i))) == 0);
  const auto last = parameters[4].grad().to_vector<double>();
  CHECK(std::isnan(last[0]));
  CHECK(last[1] == -0.25);
  CHECK(parameters[0].grad().version() > version);
}

TEST_CASE("clip_grad_norm_: a NaN among the gradients shows in the norm of every kind") {
  for (const double norm_type : {1.0, 2.0, kInfinity}) {
    const Tensor weight = zeros({10'000}, {.requires_grad = true});
    const Tensor gradient = ones({10'000});
    gradient.select(0, 4321).fill_(std::nan(""));
    weight.set_grad(gradient);
    CHECK(std::isnan(clip_grad_norm_({weight}, 1.0, norm_type).item()));
  }
}

TEST_CASE("clip_grad_norm_: no gradient gives 0; bad arguments say what to do") {
  const Tensor weight = zeros({3}, {.requires_grad = true});
  CHECK(clip_grad_norm_({weight}, 1.0).item() == 0);
  clip_grad_value_({weight}, 1.0);
  CHECK_THROWS_WITH_AS(clip_grad_norm_({weight}, -1),
                       "clip_grad_norm_: max_norm is -1; it must be at least 0", Error);
  CHECK_THROWS_WITH_AS(clip_grad_norm_({weight}, 1, 3),
                       "clip_grad_norm_: norm_type is 3; it must be 1, 2 or infinity", Error);
  const Tensor other = zeros({3}, {.dtype = float64, .requires_grad = true});
  weight.set_grad(ones({3}));
  other.set_grad(ones({3}, {.dtype = float64}));
  CHECK_THROWS_WITH_AS(
      clip_grad_norm_({weight, other}, 1),
      "clip_grad_norm_: gradients must share dtype and device; got float32 on cpu and float64 "
      "on cpu; clip them apart",
      Error);
}

}  // namespace
}  // namespace miniparallel
