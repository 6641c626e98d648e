#include "tests/support/derivatives.h"

#include <limits>

namespace miniparallel {
namespace {

using testing::error_of;

TEST_CASE("rearranged and padded: what does not fit is named") {
  const Tensor x = ones({3, 4});
  CHECK(error_of([&] { flip(x, {0, -2}); }) == "flip: dimension 0 is named twice in [0, -2]; name it once");
  CHECK(error_of([&] { roll(x, {1, 2}, {0}); }) ==
        "roll: got the shifts [1, 2] for dims [0]; name a dimension for each shift, or one shift alone");
  CHECK(error_of([&] { x.repeat({2}); }) ==
        "repeat: got the repeats [2] for shape [3, 4]; name a number for each dimension");
  CHECK(error_of([&] { tile(x, {-1}); }) ==
        "tile: the repeats [1, -1] have a negative one; each must be at least 0");
  CHECK(error_of([&] { diag(ones({2, 2, 2})); }) ==
        "diag: got shape [2, 2, 2]; it takes a vector or a matrix");
  CHECK(error_of([&] { tril(ones({2})); }) == "tril: got shape [2]; it takes at least 2 dimensions");
  CHECK(error_of([&] { x.diagonal(0, 1, -1); }) == "diagonal: dim1 and dim2 are both 1; name two dimensions");
  CHECK(error_of([&] { x.movedim({0, 1}, {0, 0}); }).starts_with("movedim: a dimension is named twice"));
  CHECK(error_of([&] { pad(x, {1}); }) ==
        "pad: got 1 numbers for shape [3, 4]; name two for each dimension, from the last one on");
  CHECK(
      error_of([&] { pad(x, {4, 0}, PadMode::reflect); }) ==
      "pad: dimension 1 of [3, 4] cannot give 4 elements from itself; pad by at most 3, or with a constant");
  CHECK(error_of([&] { pad(x, {-3, -2}); }) ==
        "pad: -3 and -2 take more than dimension 1 of [3, 4] has; leave some of it");
  CHECK(error_of([&] { mm(x, ones({4})); }) ==
        "mm: got shape [4]; it must be a matrix, use matmul for others");
  CHECK(error_of([&] { tensordot(x, x, 1); }) ==
        "tensordot: dimension 1 of [3, 4] and 0 of [3, 4] differ; sums run over equal sizes");
  CHECK(error_of([&] { glu(ones({3}), 0); }) == "glu: dimension 0 of [3] has an odd size; it is cut in half");
  CHECK(error_of([&] { prelu(x, ones({3})); }) ==
        "prelu: weight has shape [3], the input [3, 4]; it must have one element, or one for each size of "
        "dimension 1");
  CHECK(error_of([&] { hardtanh(x, 2, 1); }) ==
        "hardtanh: the bounds are 2 and 1; the first must not be above the second");
}

TEST_CASE("rearranged tensors are what users expect") {
  const Tensor x = tensor({{1, 2, 3}, {4, 5, 6}});
  CHECK(equal(x.flip({0}), tensor({{4, 5, 6}, {1, 2, 3}})));
  CHECK(equal(x.roll(1), tensor({{6, 1, 2}, {3, 4, 5}})));
  CHECK(equal(x.T(), x.t()));
  CHECK(equal(x.unbind()[1], tensor({4, 5, 6})));
  CHECK(equal(diag(tensor({1, 2})), tensor({{1, 0}, {0, 2}})));
  CHECK(equal(x.diagonal(), tensor({1, 5})));
  CHECK(equal(hstack({x, x}), cat({x, x}, 1)));
  CHECK(equal(meshgrid({tensor({1, 2}), tensor({3, 4})})[0], tensor({{1, 1}, {2, 2}})));
  CHECK(allclose(logspace(0, 2, 3), tensor({1.0, 10.0, 100.0})));
  CHECK(allclose(linspace(1, 0, 3), tensor({1.0, 0.5, 0.0})));
  Tensor y = zeros({2, 2});
  y.diagonal().fill_(3);  // a view
  CHECK(equal(y, 3 * eye(2)));
}

TEST_CASE("flip, roll, tril: gradients, and more than a row of a kernel") {
  using testing::check_derivatives;
  check_derivatives([](const auto& x) { return flip(x[0] * x[0], {0, 2}); }, {{2, 3, 4}});
  check_derivatives([](const auto& x) { return roll(x[0] * x[0], {1, -5}, {0, 2}); }, {{2, 3, 4}});
  check_derivatives([](const auto& x) { return roll(x[0] * x[0], 7); }, {{2, 3}});
  check_derivatives([](const auto& x) { return diag_embed(x[0] * x[0], -1, 2, 0); }, {{2, 3}});
  const Tensor x = randn({3, 70, 90});
  const Tensor row = arange(70).unsqueeze(1), column = arange(90);
  for (const std::int64_t diagonal :
       {std::int64_t{-80}, std::int64_t{-70}, std::int64_t{-3}, std::int64_t{0}, std::int64_t{5},
        std::int64_t{90}, std::numeric_limits<std::int64_t>::max(),
        std::numeric_limits<std::int64_t>::min()}) {
    const Tensor distance = (column - row).to(float64);
    CHECK(equal(tril(x, diagonal), x * (distance <= static_cast<double>(diagonal)).to(float32)));
    CHECK(equal(triu(x, diagonal), x * (distance >= static_cast<double>(diagonal)).to(float32)));
  }
}

}  // namespace
}  // namespace miniparallel
