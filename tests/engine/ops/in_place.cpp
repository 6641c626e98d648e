#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <limits>

using namespace miniparallel;

TEST_CASE("in place: rows of a buffer written one by one carry gradients") {
  Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, {2, 2}, {.dtype = float64, .requires_grad = true});
  Tensor buffer = zeros({3, 2}, {.dtype = float64});
  const Tensor last = buffer[2];
  buffer[0].copy_(x[0] * 2.0);
  buffer[1].copy_(x[1] * x[1]);
  CHECK(buffer.requires_grad());
  CHECK(last.requires_grad());  // an older view follows its base
  buffer[2].copy_(buffer[0] + buffer[1]);
  (last * last).sum().backward();
  // d (2 a + b^2)^2 = 2 (2 a + b^2) (2 da + 2 b db)
  CHECK(x.grad().to_vector<double>() == std::vector<double>{44, 80, 132, 320});
}

TEST_CASE("in place: what a write to a view covers gets no gradient, the rest does") {
  Tensor x = ones({2, 3}, {.dtype = float64, .requires_grad = true});
  Tensor y = x * 3.0;
  y.select(1, 1).mul_(10.0);
  y.t()[2].zero_();
  y.sum().backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{3, 30, 0, 3, 30, 0});
}

TEST_CASE("in place: a product with a tensor that needs the old elements") {
  Tensor x = tensor({2.0, 3.0}, {2}, {.dtype = float64, .requires_grad = true});
  Tensor y = x * 1.0;
  y.mul_(x);
  y.clamp_(0, 5);
  y.sum().backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{4, 0});
}

TEST_CASE("in place: second derivatives flow through a written view") {
  const Tensor x = tensor({0.5, -1.5}, {2}, {.dtype = float64, .requires_grad = true});
  const autograd::Function1 function = [](const std::vector<Tensor>& inputs) {
    Tensor y = inputs[0] * inputs[0];
    y.narrow(0, 0, 1).add_(square(inputs[0].narrow(0, 1, 1)));
    return y * y;
  };
  CHECK(autograd::gradcheck(function, {x}) == "");
  CHECK(autograd::gradgradcheck(function, {x}) == "");
}

TEST_CASE("in place: where autograd forbids it") {
  Tensor leaf = ones({2}, {.requires_grad = true});
  CHECK_THROWS_WITH_AS(leaf.add_(1),
                       "add_: a leaf that requires grad cannot be written in place while grad mode is on; "
                       "use NoGradGuard",
                       Error);
  CHECK_THROWS_WITH_AS(leaf[0].zero_(),
                       "zero_: a view of a leaf that requires grad cannot be written in place while grad "
                       "mode is on; use NoGradGuard",
                       Error);
  {
    const NoGradGuard no_grad;
    leaf[0].fill_(5);
  }
  CHECK(leaf.to_vector<int>() == std::vector<int>{5, 1});
  Tensor part;
  Tensor y = leaf * 1.0;
  {
    const NoGradGuard no_grad;
    part = y[0];
  }
  CHECK_THROWS_AS(part.mul_(leaf[1]), Error);
}

TEST_CASE("in place: a source that overlaps the target is read before it is written") {
  Tensor rows = tensor({1.0, 2.0, 3.0, 4.0}, {2, 2});
  rows -= rows[0];
  CHECK(rows.to_vector<double>() == std::vector<double>{0, 0, 2, 2});
  Tensor square = arange(9).view({3, 3});
  square += square.t();
  CHECK(square.to_vector<int>() == std::vector<int>{0, 4, 8, 4, 8, 12, 8, 12, 16});
  Tensor line = arange(5);
  line.narrow(0, 1, 4).copy_(line.narrow(0, 0, 4));
  CHECK(line.to_vector<int>() == std::vector<int>{0, 0, 1, 2, 3});

  Tensor x = tensor({2.0, 3.0, 5.0, 7.0}, {2, 2}, {.dtype = float64, .requires_grad = true});
  Tensor y = x * 1.0;
  y.mul_(y[0]);
  y.sum().backward();
  CHECK(x.grad().to_vector<double>() == std::vector<double>{9, 13, 2, 3});
}

TEST_CASE("in place: a number that the dtype cannot take is refused, a large integer is exact") {
  Tensor x = arange(4);
  CHECK_THROWS_WITH_AS(x *= 0.5, doctest::Contains("mul_: a result of float32 cannot be written"), Error);
  CHECK_THROWS_WITH_AS(x.clamp_(0.5, 2), doctest::Contains("clamp_"), Error);
  x = zeros({1}, {.dtype = int64});
  x += std::int64_t{9007199254740993};
  CHECK(x.item<std::int64_t>() == 9007199254740993);
  x.clamp_(0, std::numeric_limits<std::int64_t>::max());
  CHECK(x.item<std::int64_t>() == 9007199254740993);
}

TEST_CASE("in place: a view of a view that was made while grad mode was off cannot carry gradients") {
  const Tensor x = ones({2, 2}, {.requires_grad = true}), scale = ones({2}, {.requires_grad = true});
  const Tensor y = x * 2;
  Tensor row;
  {
    const NoGradGuard no_grad;
    row = y[0];
  }
  CHECK_THROWS_WITH_AS(row.narrow(0, 0, 2).mul_(scale), doctest::Contains("while grad mode was off"), Error);
}

TEST_CASE("in place: a tensor written with what was made of it is freed") {
  const auto before = memory_stats().used;
  {
    const Tensor x = ones({1000}, {.requires_grad = true});
    Tensor y = x * 2;
    y += gelu(y);
    Tensor buffer = ones({2, 1000});
    buffer[1].copy_(x * buffer[0]);
  }
  CHECK(memory_stats().used == before);
}

TEST_CASE("in place: integers written from a tensor with a graph have none") {
  const Tensor x = full({2}, 1.5f, {.requires_grad = true});
  Tensor whole = zeros({2}, {.dtype = int64});
  whole.copy_(x * 2);
  CHECK_FALSE(whole.requires_grad());
  CHECK(whole.to_vector<int>() == std::vector<int>{3, 3});
}

TEST_CASE("in place: asking an older view records nothing and never throws") {
  const Tensor scale = ones({2}, {.requires_grad = true});
  Tensor y = zeros({2, 2});
  const Tensor row = y[0];
  CHECK(row.is_leaf());
  y.mul_(scale);
  CHECK(row.requires_grad());
  CHECK_FALSE(row.is_leaf());
  CHECK(row.grad_fn_name() == "view");
  row.retain_grad();
  (row * 3).sum().backward();
  CHECK(row.grad().to_vector<double>() == std::vector<double>{3, 3});

  Tensor columns = zeros({2, 2}).t().detach();  // not contiguous, and no view
  const Tensor column = columns[0];
  columns.mul_(scale);
  CHECK(column.requires_grad());
  CHECK(column.grad_fn_name() == "view");
  Tensor target = zeros({2});
  for (int i = 0; i < 2; ++i) {
    CHECK_THROWS_WITH_AS(column * 2, doctest::Contains("its base is not contiguous"), Error);
    CHECK_THROWS_WITH_AS(target.copy_(column), doctest::Contains("its base is not contiguous"), Error);
  }
  CHECK(target.version() == 0);
}

TEST_CASE("in place: gradients with respect to an input behind an older view") {
  const Tensor x = tensor({2.0, 3.0}, {2}, {.dtype = float64, .requires_grad = true});
  Tensor y = zeros({2, 2}, {.dtype = float64});
  const Tensor row = y[1];
  y.add_(x * x);
  CHECK(autograd::grad({(row * 2).sum()}, {x})[0].to_vector<double>() == std::vector<double>{8, 12});
}

TEST_CASE("in place: an empty tensor repeats no elements") {
  Tensor repeated = zeros({0, 1}).expand({0, 4});
  CHECK(repeated.add_(1).numel() == 0);
  CHECK_THROWS_WITH_AS(zeros({2, 1}).expand({2, 4}).add_(1), doctest::Contains("repeats its elements"),
                       Error);
}
