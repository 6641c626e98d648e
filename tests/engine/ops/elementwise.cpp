#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

using namespace miniparallel;

TEST_CASE("an expression and its gradient") {
  Tensor x = tensor({1.0, 2.0, 3.0, 4.0}, {2, 2}, {.requires_grad = true});
  Tensor y = tanh(x * 2.0 + 1.0) / (x * x);
  y.backward(ones_like(y));
  CHECK(y.grad_fn_name() == "div");
  CHECK(x.grad().defined());
  const std::vector<double> grad = x.grad().to_vector<double>();
  CHECK(grad[0] == doctest::Approx(-1.9703769).epsilon(1e-5));
  CHECK(x.t().to_vector<int>() == std::vector<int>{1, 3, 2, 4});
  CHECK((x + 0.0).detach().to_string() == "tensor([[1., 2.],\n        [3., 4.]])");
}

TEST_CASE("every elementwise op is a function and a member") {
  const Tensor x = tensor({{0.5, 1.5}, {2.0, 0.25}}), y = tensor({{1.0, 1.5}, {-2.0, 3.0}});
#define CHECK_UNARY_OP(name, functor) CHECK(equal(x.name(), name(x)));
#define CHECK_BINARY_OP(name, functor) CHECK(equal(x.name(y), name(x, y)));
#define CHECK_COMPARE(name, op)         \
  CHECK(equal(x.name(y), x op y));      \
  CHECK(equal(name(x, y), x op y));     \
  CHECK(equal(x.name(1.5), x op 1.5));  \
  CHECK(equal(name(x, 1.5), x op 1.5)); \
  CHECK(equal(1.5 op x, full({2, 2}, 1.5) op x));
  MINIPARALLEL_UNARY_ARITHMETIC(CHECK_UNARY_OP)
  MINIPARALLEL_UNARY_FLOATING(CHECK_UNARY_OP)
  MINIPARALLEL_BINARY_ARITHMETIC(CHECK_BINARY_OP)
  MINIPARALLEL_BINARY_FLOATING(CHECK_BINARY_OP)
  MINIPARALLEL_COMPARE(CHECK_COMPARE)
  CHECK(equal(x.add(2), x + 2));
  CHECK(equal(x.sub(2), x - 2));
  CHECK(equal(x.mul(2), x * 2));
  CHECK(equal(x.div(2), x / 2));
  CHECK(equal(x.pow(3), pow(x, 3)));
  CHECK(equal(pow(2.0, x), pow(full_like(x, 2), x)));
  CHECK(equal(x.gelu(Gelu::tanh), gelu(x, Gelu::tanh)));
  CHECK(equal(x.var(0), var(x, {0})));
  CHECK(allclose(x.std({1}, false), sqrt(var(x, {1}, false))));
  CHECK(x.equal(x));
  CHECK(x.allclose(x + 1e-7));
  CHECK(equal(x.logical_and(y > 0), logical_and(x, y > 0)));
  CHECK(equal(x.where(y > 0, 0.0), where(y > 0, x, 0.0)));
}

TEST_CASE("std at equal elements is 0, and so is its gradient") {
  const Tensor x = full({3}, 2.5, {.requires_grad = true});
  miniparallel::std(x).backward();
  CHECK(miniparallel::std(x).item() == 0);
  CHECK(equal(x.grad(), zeros(3)));
}

TEST_CASE("numbers and masks stand where users write them") {
  Tensor x = tensor({-1.0, 2.0, 3.0});
  CHECK(equal(where(x > 0, x, 0.0), tensor({0.0, 2.0, 3.0})));
  CHECK(equal(where(x > 0, 1, x), tensor({-1.0, 1.0, 1.0})));
  CHECK(equal(where(x > 0, 1, 0), tensor({0, 1, 1})));
  CHECK(where(x > 0, 1.0, 0.0).dtype() == float32);
  x -= 1;
  CHECK(equal(x, tensor({-2.0, 1.0, 2.0})));
  CHECK(equal((x > 0) & (x < 2), tensor({false, true, false})));
  CHECK(equal((x < 0) | (x == 2), tensor({true, false, true})));
  CHECK(equal(~(x > 0), tensor({true, false, false})));
  CHECK(equal(!(0 < x), tensor({true, false, false})));
  CHECK(x.sizes() == Shape{3});
  CHECK_FALSE(x.is_cuda());
  CHECK(x.is_cpu());
  CHECK(x.element_size() == 4);
  CHECK(equal(sum(ones({2, 3}), 1), tensor({3.0, 3.0})));
  CHECK(equal(chunk(x, 3)[1], tensor({1.0})));
  CHECK(equal(split(x, 2)[1], tensor({2.0})));
  CHECK(reshape(transpose(ones({2, 3}), 0, 1), -1).shape() == Shape{6});
  const Tensor target = tensor({0.0, 1.0, 0.5});
  CHECK(equal(binary_cross_entropy_with_logits(x, target), bce_with_logits(x, target)));
}

TEST_CASE("tensors are made as users write them") {
  CHECK(zeros(3).shape() == Shape{3});
  CHECK(zeros({3}, float64).dtype() == float64);
  CHECK(ones({3}, Device::cpu()).dtype() == float32);
  CHECK(arange(3, int32).dtype() == int32);
  CHECK(full({2}, 1, float64).dtype() == float64);
  CHECK(zeros({2}, {}).dtype() == float32);
  CHECK(tensor(3.0).to_string() == scalar_tensor(3.0).to_string());
  CHECK(tensor(3).dtype() == int64);
  CHECK(tensor(true).dtype() == boolean);
  CHECK(tensor({1, 2.5}).dtype() == float32);
  CHECK(tensor({1, 2.5}).to_vector<double>() == std::vector<double>{1, 2.5});
  CHECK(tensor({true, 2}).dtype() == int64);
  CHECK(tensor({1, 2.5}, {2, 1}, {.dtype = float64}).shape() == Shape{2, 1});
  CHECK(tensor({1.5, 2.5}, {.requires_grad = true}).requires_grad());
  CHECK(tensor({1, 2}, float64).dtype() == float64);
  CHECK(tensor({}).shape() == Shape{0});
  CHECK(tensor({5}, {}).dim() == 0);
  CHECK(equal(tensor({{1, 2}, {3, 4}}), arange(1, 5).view({2, 2})));
  CHECK(equal(tensor({{1, 2.5}, {3, 4}}), tensor({1.0, 2.5, 3.0, 4.0}, {2, 2})));
  CHECK(equal(tensor({{{1, 2}, {3, 4}}, {{5, 6}, {7, 8}}}), arange(1, 9).view({2, 2, 2})));
  CHECK(tensor({{1}, {2}}).shape() == Shape{2, 1});
  CHECK(tensor({{1}}).shape() == Shape{1, 1});
  CHECK(Device("cuda") == Device::cuda(0));
  CHECK(Device("cuda:1") == Device::cuda(1));
  CHECK(Device(std::string("cpu")) == Device::cpu());
  CHECK(zeros({2}, {.device = "cpu"}).to("cpu").is_cpu());
}

TEST_CASE_TEMPLATE("a vector of any arithmetic type makes a tensor", T, bool, char, signed char,
                   unsigned char, short, unsigned short, int, unsigned, long, unsigned long, long long,
                   unsigned long long, float, double, long double) {
  const Tensor x = tensor(std::vector<T>{T(0), T(1), T(1)});
  CHECK(x.dtype() == (std::is_same_v<T, bool>            ? boolean
                      : std::is_same_v<T, unsigned char> ? uint8
                      : std::is_floating_point_v<T>      ? float32
                                                         : int64));
  CHECK(x.to_vector<int>() == std::vector<int>{0, 1, 1});
  CHECK(equal(tensor({T(0), T(1), T(1)}), x));
  CHECK(equal(tensor(T(1)), x[1]));
}

TEST_CASE("ops bear the names that users know") {
  const Tensor x = ones({2}, {.requires_grad = true});
  CHECK((x * 2.0).grad_fn_name() == "mul");
  CHECK((1.0 - x).grad_fn_name() == "sub");
  CHECK((1.0 / x).grad_fn_name() == "div");
  CHECK(x.clamp(0, 1).grad_fn_name() == "clamp");
  CHECK(gelu(x).grad_fn_name() == "gelu");
  CHECK_THROWS_WITH_AS(neg(tensor({true})), "neg: bool is not supported; convert with to(float32)", Error);
}
