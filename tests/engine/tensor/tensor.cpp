#include <miniparallel/tensor.h>

#include <miniparallel/error.h>
#include <miniparallel/ops.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace miniparallel {
namespace {

using testing::identical;

Tensor count(const Shape& shape) { return arange(shape.numel(), {.dtype = float32}).reshape(shape); }

TEST_CASE("tensor: creation by value, dtype and shape") {
  CHECK(zeros({2, 3}).dtype() == float32);
  CHECK(full({2}, 3).dtype() == int64);
  CHECK(full({2}, true).dtype() == boolean);
  CHECK(full({}, 1.5).dtype() == float32);
  CHECK(tensor({1, 2}).dtype() == int64);
  CHECK(tensor({1.0, 2.0}).dtype() == float32);
  CHECK(tensor({true, false}).dtype() == boolean);
  CHECK(equal(arange(5), tensor({0, 1, 2, 3, 4})));
  CHECK(equal(arange(1, 8, 3), tensor({1, 4, 7})));
  CHECK(equal(arange(3, 0, -1), tensor({3, 2, 1})));
  CHECK(equal(arange(0.0, 1.0, 0.25), tensor({0.0, 0.25, 0.5, 0.75})));
  CHECK(arange(0).numel() == 0);
  CHECK(equal(eye(2), tensor({1.0, 0.0, 0.0, 1.0}, {2, 2})));
  CHECK(equal(ones_like(tensor({1, 2})), tensor({1, 1})));
  CHECK(scalar_tensor(2.5).dim() == 0);
  set_default_dtype(float64);
  CHECK(tensor({1.0}).dtype() == float64);
  CHECK(zeros({1}).dtype() == float64);
  set_default_dtype(float32);
  CHECK_THROWS_AS(set_default_dtype(int64), Error);
}

TEST_CASE("tensor: slices are Python's, and views share elements") {
  const Tensor x = count({3, 4});
  CHECK(equal(x.slice(1, 0, 4, 3), tensor({0.0, 3.0, 4.0, 7.0, 8.0, 11.0}, {3, 2})));
  CHECK(equal(x.slice(0, -2, 100), x.narrow(0, 1, 2)));
  CHECK(x.slice(0, 2, 1).shape() == Shape{0, 4});
  CHECK(x.slice(1, -100, -3).shape() == Shape{3, 1});
  CHECK(x[-1][-1].item() == 11);
  x[1].slice(0, 1, 4, 2).fill_(-1);
  CHECK(equal(x[1], tensor({4.0, -1.0, 6.0, -1.0})));
  CHECK(equal(x.t()[1], tensor({1.0, -1.0, 9.0})));
  CHECK(x.permute({1, 0}).strides() == Shape{1, 4});
  CHECK(x.view({2, -1}).shape() == Shape{2, 6});
  CHECK_FALSE(x.t().is_contiguous());
  CHECK(x.t().contiguous().is_contiguous());
  CHECK(x.contiguous().is_same(x));
  CHECK(x.to(float32).is_same(x));
}

TEST_CASE("tensor: chunk and split") {
  const Tensor x = count({7});
  std::vector<std::int64_t> sizes;
  for (const Tensor& part : x.chunk(3)) sizes.push_back(part.numel());
  CHECK(sizes == std::vector<std::int64_t>{3, 3, 1});
  CHECK(x.split(2).size() == 4);
  CHECK(equal(cat(x.split(Shape{1, 4, 2})), x));
}

TEST_CASE("tensor: item, to_vector, allclose, equal") {
  CHECK(tensor({7}).item<int>() == 7);
  CHECK(tensor({std::int64_t{1} << 62}).item<std::int64_t>() == std::int64_t{1} << 62);
  CHECK(scalar_tensor(true).item<bool>());
  CHECK(count({2, 2}).t().to_vector<int>() == std::vector<int>{0, 2, 1, 3});
  const double nan = std::nan("");
  CHECK(allclose(tensor({1.0, 2.0}), tensor({1.0, 2.00001})));
  CHECK_FALSE(allclose(tensor({1.0}), tensor({1.1})));
  CHECK_FALSE(allclose(tensor({nan}), tensor({nan})));
  CHECK_FALSE(equal(tensor({1.0}), tensor({1})));
  CHECK_FALSE(equal(tensor({1.0}), tensor({1.0, 1.0})));
}

TEST_CASE("tensor: promotion of two tensors and of a tensor and a number") {
  const Tensor f64 = zeros({2}, {.dtype = float64}), f32 = zeros({2}), i64 = full({2}, 1);
  const Tensor i32 = i64.to(int32), u8 = i64.to(uint8), b = i64.to(boolean);
  CHECK((f32 + f64).dtype() == float64);
  CHECK((i64 + f32).dtype() == float32);
  CHECK((u8 + i32).dtype() == int32);
  CHECK((b + u8).dtype() == uint8);
  CHECK((f32 + scalar_tensor(1.0, {.dtype = float64})).dtype() == float32);
  CHECK((i64 + scalar_tensor(1.0, {.dtype = float64})).dtype() == float64);
  CHECK((i64 * 2).dtype() == int64);
  CHECK((u8 * 2).dtype() == uint8);
  CHECK((u8 * 2.0).dtype() == float32);
  CHECK((b + 1).dtype() == int64);
  CHECK((i64 / i64).dtype() == float32);
  CHECK(sum(u8).dtype() == int64);
}

TEST_CASE("tensor: a float as an integer is cut off, and as uint8 wraps around below 0") {
  for (const DType from : {float32, float64, float16, bfloat16}) {
    const Tensor x = tensor({-2.0, -1.75, -0.5, 0.5, 1.75, 255.0}).to(from);
    CHECK(equal(x.to(int32), tensor({-2, -1, 0, 0, 1, 255}).to(int32)));
    CHECK(equal(x.to(uint8), tensor({254, 255, 0, 0, 1, 255}).to(uint8)));
  }
}

TEST_CASE("tensor: promote agrees with PyTorch for every two dtypes") {
  const auto expected = testing::golden("op_goldens.safetensors", "promotion").to_vector<int>();
  for (int a = 0; a < 8; ++a)
    for (int b = 0; b < 8; ++b)
      CHECK(static_cast<int>(promote(DType(a), DType(b))) == expected[static_cast<std::size_t>(8 * a + b)]);
}

TEST_CASE("tensor: every float16 and bfloat16 converts to float32 and back to the same bits") {
  std::vector<std::uint16_t> bits(1 << 16);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  for (const DType dtype : {float16, bfloat16}) {
    const Tensor all = from_data(bits.data(), {1 << 16}, dtype);
    std::vector<std::uint16_t> again(bits.size());
    all.to(float32).to(dtype).copy_to_host(again.data(), dtype);
    const auto values = all.to_vector<double>();
    int differing = 0, nans = 0;
    for (std::size_t i = 0; i < bits.size(); ++i) {
      nans += std::isnan(values[i]);
      differing += !std::isnan(values[i]) && bits[i] != again[i];
    }
    CHECK(differing == 0);
    CHECK(nans == (dtype == float16 ? 2 * 1023 : 2 * 127));
  }
  const Tensor ties = tensor({2049.0, 2051.0, 65519.9, 65520.0, 1e-8, -0.0}).to(float16).to(float32);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(equal(ties, tensor({2048.0, 2052.0, 65504.0, infinity, 0.0, -0.0})));
}

TEST_CASE("tensor: conversions between every two dtypes keep small whole numbers") {
  const Tensor zero_one = tensor({0, 1, 1, 0});
  for (const DType from : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
    for (const DType to : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
      CHECK(equal(zero_one.to(from).to(to).to(int64), zero_one));
  CHECK(equal(tensor({-1.9, 2.9}).to(int64), tensor({-1, 2})));
  CHECK(equal(tensor({0.0, 0.5, -3.0}).to(boolean), tensor({false, true, true})));
}

TEST_CASE("tensor: printing aligns columns and leaves the middle out, and tells what is not usual") {
  CHECK(tensor({1.0, 2.5, -3.0}).to_string() == "tensor([ 1.0,  2.5, -3.0])");
  CHECK(tensor({1, 20, -300}).to_string() == "tensor([   1,   20, -300])");
  CHECK(tensor(std::vector<std::int64_t>{9007199254740993, INT64_MIN}).to_string() ==
        "tensor([    9007199254740993, -9223372036854775808])");
  CHECK(tensor({true, false}).to_string() == "tensor([ true, false])");
  CHECK(count({2, 3}).to_string() == "tensor([[0., 1., 2.],\n        [3., 4., 5.]])");
  CHECK(count({2, 3}).t().to_string() == "tensor([[0., 3.],\n        [1., 4.],\n        [2., 5.]])");
  CHECK(scalar_tensor(2.5).to_string() == "tensor(2.5)");
  CHECK(zeros({0}).to_string() == "tensor([], dtype=float32)");
  CHECK(count({2, 1, 2}).to_string() == "tensor([[[0., 1.]],\n\n        [[2., 3.]]])");
  CHECK(arange(2000).to_string() == "tensor([   0,    1,    2, ..., 1997, 1998, 1999])");
  CHECK(tensor({1e-6, 1.0}).to_string() == "tensor([1e-06, 1e+00])");
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(tensor({infinity, -1.0, std::nan("")}).to_string() == "tensor([inf, -1., nan])");
  CHECK(tensor({1.0}, {1}, {.dtype = float64}).to_string() == "tensor([1.], dtype=float64)");
  Tensor leaf = tensor({1.0});
  CHECK(leaf.requires_grad_().to_string() == "tensor([1.], requires_grad)");
  CHECK((leaf * leaf).to_string() == "tensor([1.], grad_fn=mul)");
  CHECK(Tensor().to_string() == "tensor(undefined)");
}

TEST_CASE("tensor: the methods are the functions") {
  const Tensor x = count({3, 4}) / 7.0 + 0.1, index = tensor({2, 0}), mask = x > 1.0;
  const std::vector<std::pair<Tensor, Tensor>> pairs{
      {x.neg(), neg(x)},
      {x.exp(), exp(x)},
      {x.log(), log(x)},
      {x.sqrt(), sqrt(x)},
      {x.abs(), abs(x)},
      {x.pow(1.5), pow(x, 1.5)},
      {x.tanh(), tanh(x)},
      {x.sigmoid(), sigmoid(x)},
      {x.relu(), relu(x)},
      {x.sum(), sum(x)},
      {x.sum({1}, true), sum(x, {1}, true)},
      {x.mean(), mean(x)},
      {x.mean({0}), mean(x, {0})},
      {x.amax({1}), amax(x, {1})},
      {x.amin(), amin(x)},
      {x.argmax(), argmax(x)},
      {x.argmax(1, true), argmax(x, 1, true)},
      {x.matmul(x.t()), matmul(x, x.t())},
      {x.softmax(1), softmax(x, 1)},
      {x.log_softmax(0), log_softmax(x, 0)},
      {x.masked_fill(mask, 3), masked_fill(x, mask, 3)},
      {x.clamp(0.5, 1), clamp(x, 0.5, 1)},
      {x.index_select(0, index), index_select(x, 0, index)},
  };
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    CAPTURE(i);
    CHECK(identical(pairs[i].first, pairs[i].second));
  }
}

TEST_CASE("tensor: sizes at the end of the range are answered, not wrapped") {
  const auto largest = std::numeric_limits<std::int64_t>::max();
  const Tensor x = arange(3);
  CHECK_THROWS_AS(x.narrow(0, 1, largest), Error);
  CHECK(x.slice(0, 1, 3, largest).to_vector<int>() == std::vector<int>{1});
  CHECK(x.chunk(largest).size() == 3);
  CHECK_THROWS_AS(x.view({std::int64_t{1} << 62, 4, -1}), Error);
  CHECK_THROWS_AS(arange(1e18), Error);
  CHECK_THROWS_AS(arange(largest), Error);
  CHECK(clamp(x, 1, largest).to_vector<int>() == std::vector<int>{1, 1, 2});
  const std::int64_t exact = 9007199254740992;  // 2^53
  CHECK(arange(exact, exact + 3).numel() == 3);
  CHECK(arange(exact, exact + 3)[1].item<std::int64_t>() == exact + 1);
  CHECK(arange(5, 0, -2).to_vector<int>() == std::vector<int>{5, 3, 1});
}

TEST_CASE("tensor: an undefined tensor is an error that names the op") {
  const Tensor none;
  CHECK_THROWS_AS(none.detach(), Error);
  CHECK_THROWS_WITH_AS(relu(none), doctest::Contains("relu: an argument is undefined"), Error);
  CHECK_THROWS_WITH_AS(static_cast<void>(none == none),
                       doctest::Contains("operator==: an argument is undefined"), Error);
  CHECK_THROWS_WITH_AS(Tensor().mul_(2), doctest::Contains("mul_: an argument is undefined"), Error);
}

TEST_CASE("tensor: bounds beyond what a dtype holds do not clamp") {
  const Tensor x = tensor({0, 100, 255}, {3}, {.dtype = uint8});
  CHECK(equal(clamp(x, -5, 300), x));
  CHECK(clamp(x, 50, 300).to_vector<int>() == std::vector<int>{50, 100, 255});
}

TEST_CASE("tensor: sizes beside a zero are counted, strides are made of them") {
  const std::int64_t large = std::int64_t{1} << 32;
  CHECK(Shape{large, 0, large / 4}.numel() == 0);
  CHECK_THROWS_WITH_AS(empty({0, large, large}), doctest::Contains("does not fit 63 bits"), Error);
}

TEST_CASE("tensor: values and shape must agree") {
  CHECK_THROWS_WITH_AS(tensor({1.0, 2.0}, {3}), doctest::Contains("got 2 values for shape [3]"), Error);
  CHECK_THROWS_WITH_AS(from_data(nullptr, {2}, float32), doctest::Contains("null pointer"), Error);
  CHECK(from_data(nullptr, {0}, float32).numel() == 0);
}

}  // namespace
}  // namespace miniparallel
