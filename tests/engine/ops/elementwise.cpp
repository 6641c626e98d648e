#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

using namespace miniparallel;

TEST_CASE("broadcast: one element for each row, on either side, in rows of any length") {
  for (const DType dtype : {float32, float64, int64})
    for (const std::int64_t width : {63, 64, 100, 1024, 3000}) {
      INFO(dtype, ", rows of ", width);
      const Tensor x = randint(1, 9, {3, 5, width}).to(dtype), column = randint(1, 9, {5, 1}).to(dtype);
      const Tensor whole = column.expand({3, 5, width}).contiguous();
      CHECK(equal(x + column, x + whole));
      CHECK(equal(column - x, whole - x));
      CHECK(equal(x - column, x - whole));
      CHECK(equal(column * x, whole * x));
      CHECK(equal(x / column, x / whole));
      CHECK(equal(column / x, whole / x));
      CHECK(equal(maximum(x, column), maximum(x, whole)));
      CHECK(equal(column * column.expand({5, width}), (column * column).expand({5, width})));
      Tensor y = x.clone();
      y.mul_(column);
      CHECK(equal(y, x * whole));
    }
}

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
  const Tensor x = tensor({{0.5, 0.75}, {0.125, 0.25}}), y = tensor({{1.0, 1.5}, {0.5, 3.0}});
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
  CHECK(equal(x.floor_divide(2), floor_divide(x, 2)));
  CHECK(equal(x.remainder(2), remainder(x, 2)));
  CHECK(equal(x.fmod(2), fmod(x, 2)));
  CHECK(equal(x.reciprocal(), 1 / x));
  CHECK(equal(x.isfinite(), !(x.isnan() | x.isinf())));
  CHECK(equal(x.addcmul(x, y, 2), addcmul(x, x, y, 2)));
  CHECK(equal(x.addcdiv(x, y), addcdiv(x, x, y)));
  CHECK(equal(x.lerp(y, 0.5), lerp(x, y, full({}, 0.5))));
  CHECK(equal(x.clamp_min(1), maximum(x, ones({}))));
  CHECK(equal(x.prelu(full({}, 0.25)), prelu(x, full({}, 0.25))));
  CHECK(x.isclose(x + 1e-9).all().item<bool>());
  CHECK(equal(x.clamp_max(1), minimum(x, ones({}))));
  CHECK(equal(x.clamp(y, y + 1), clamp(x, y, y + 1)));
  CHECK(equal(x.logical_xor(y > 0), (x != 0) ^ (y > 0)));
  CHECK(x.equal(x));
  CHECK(x.allclose(x + 1e-7));
  CHECK(equal(x.logical_and(y > 0), logical_and(x, y > 0)));
  CHECK(equal(x.where(y > 0, 0.0), where(y > 0, x, 0.0)));
}

TEST_CASE("every unary op has a form in place, with the same values and gradients") {
  const Tensor x = tensor({{0.5, 0.75}, {0.125, 0.25}});
#define CHECK_IN_PLACE(name, functor)                                            \
  {                                                                              \
    INFO(#name);                                                                 \
    const Tensor a = x.clone().requires_grad_(), b = x.clone().requires_grad_(); \
    Tensor written = a * 1;                                                      \
    sum(written.name##_()).backward();                                           \
    const Tensor made = name(b);                                                 \
    sum(made).backward();                                                        \
    CHECK(equal(written, made));                                                 \
    CHECK(equal(a.grad(), b.grad()));                                            \
  }
  MINIPARALLEL_UNARY_ARITHMETIC(CHECK_IN_PLACE)
  MINIPARALLEL_UNARY_FLOATING(CHECK_IN_PLACE)
  CHECK_THROWS_WITH_AS(tensor({1}).sqrt_(), "sqrt_: int64 is not supported; convert with to(float32)", Error);
}

TEST_CASE("every op of ops.h that PyTorch has as a member is one") {
  const Tensor x = tensor({{0.5, 1.5}, {2.0, 0.25}}), y = tensor({{1.0, 1.5}, {-2.0, 3.0}}), v = x[0];
  const Tensor index = tensor({{0, 1}, {1, 0}}), row = tensor({1, 0});
  CHECK(equal(x.max(), max(x)));
  CHECK(equal(x.min(), min(x)));
  CHECK(equal(x.max(1).indices, max(x, 1).indices));
  CHECK(equal(x.min(0, true).values, min(x, 0, true).values));
  CHECK(equal(x.argmin(), argmin(x)));
  CHECK(equal(x.argmin(1), argmin(x, 1)));
  CHECK(equal((x > 1).any(), any(x > 1)));
  CHECK(equal((x > 1).all({0}), all(x > 1, {0})));
  CHECK(equal(x.count_nonzero(), count_nonzero(x)));
  CHECK(equal(x.norm(), norm(x)));
  CHECK(equal(x.logsumexp(1), logsumexp(x, 1)));
  CHECK(equal(x.prod(0), prod(x, 0)));
  CHECK(equal(x.cumsum(1), cumsum(x, 1)));
  CHECK(equal(x.cumprod(1), cumprod(x, 1)));
  CHECK(equal(x.sort().values, sort(x).values));
  CHECK(equal(x.argsort(), argsort(x)));
  CHECK(equal(x.topk(1).values, topk(x, 1).values));
  CHECK(equal(x.mm(y), mm(x, y)));
  CHECK(equal(stack({x}).bmm(stack({y})), bmm(stack({x}), stack({y}))));
  CHECK(equal(x.mv(v), mv(x, v)));
  CHECK(equal(v.dot(v), dot(v, v)));
  CHECK(equal(v.outer(v), outer(v, v)));
  CHECK(equal(x.addmm(x, y, 2, 3), addmm(x, x, y, 2, 3)));
  CHECK(equal(stack({x}).baddbmm(stack({x}), stack({y})), baddbmm(stack({x}), stack({x}), stack({y}))));
  CHECK(equal(x.gather(1, index), gather(x, 1, index)));
  CHECK(equal(x.scatter(1, index, y), scatter(x, 1, index, y)));
  CHECK(equal(x.scatter(1, index, 7), scatter(x, 1, index, 7)));
  CHECK(equal(x.scatter_add(1, index, y), scatter_add(x, 1, index, y)));
  CHECK(equal(x.index_add(0, row, y), index_add(x, 0, row, y)));
  CHECK(equal(x.take_along_dim(index, 1), take_along_dim(x, index, 1)));
  CHECK(equal(x.masked_select(x > 1), masked_select(x, x > 1)));
  CHECK(equal(x.nonzero(), nonzero(x)));
  CHECK(equal(row.bincount(), bincount(row)));
  CHECK(equal(x.tril(), tril(x)));
  CHECK(equal(x.triu(1), triu(x, 1)));
  CHECK(equal(x.diag(), diag(x)));
  CHECK(equal(x.tile({2, 1}), tile(x, {2, 1})));
  CHECK(equal(x.repeat_interleave(2, 0), repeat_interleave(x, 2, 0)));
  CHECK(equal(x.flip({0}), flip(x, {0})));
  CHECK(equal(x.roll(1, 0), roll(x, 1, 0)));
  CHECK(equal(x.frac(), frac(x)));
  CHECK(equal(x.logit(0.1), logit(x, 0.1)));
  CHECK(equal(x.sinc(), sinc(x)));
  CHECK(equal(y.signbit(), signbit(y)));
  CHECK(equal(y.nan_to_num(1), y));
  CHECK(equal(x.copysign(y), copysign(x, y)));
  CHECK(equal(x.fmax(y), fmax(x, y)));
  CHECK(equal(x.fmin(y), fmin(x, y)));
  CHECK(equal(x.nansum(0), sum(x, 0)));
  CHECK(equal(x.nanmean(0), mean(x, 0)));
  CHECK(equal(x.median(), median(x)));
  CHECK(equal(x.median(1).indices, median(x, 1).indices));
  CHECK(equal(x.kthvalue(2).values, kthvalue(x, 2).values));
  CHECK(equal(x.quantile(0.5), quantile(x, 0.5)));
  CHECK(equal(x.diff(), diff(x)));
  CHECK(equal(x.trace(), trace(x)));
  CHECK(equal(x.inner(y), inner(x, y)));
  CHECK(equal(x.kron(y), kron(x, y)));
  CHECK(equal(ones(3).cross(arange(3, float32)), cross(ones(3), arange(3, float32))));
  CHECK(equal((1 + x).acosh(), acosh(1 + x)));
  CHECK(equal(x.asinh(), asinh(x)));
  CHECK(equal((x / 4).atanh(), atanh(x / 4)));
  CHECK(equal(x.ravel(), x.flatten()));
  CHECK(equal(x.fliplr(), fliplr(x)));
  CHECK(equal(x.flipud(), flipud(x)));
  CHECK(equal(x.rot90(), rot90(x)));
  CHECK(equal(x.diag_embed(), diag_embed(x)));
  CHECK(equal(x.unfold(1, 1, 1), unfold(x, 1, 1, 1)));
  CHECK(equal(x.index_fill(0, row, 3), index_fill(x, 0, row, 3)));
  CHECK(equal(x.index_copy(0, row, y), index_copy(x, 0, row, y)));
  CHECK(equal(x.masked_scatter(x > 1, y), masked_scatter(x, x > 1, y)));
  CHECK(equal(x.take(index), take(x, index)));
  CHECK(equal(x.argwhere(), nonzero(x)));
  CHECK(x.size() == x.shape());
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
