#include "tests/value_cases.h"

#include <miniparallel/autograd.h>
#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace miniparallel::testing {
namespace {

using Tensors = std::vector<Tensor>;
using Values = std::vector<double>;

const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

Tensor reals(const Values& values, DType dtype = float64, Device device = {}) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = dtype, .device = device});
}
Tensor wholes(const std::vector<std::int64_t>& values, DType dtype = int64, Device device = {}) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, {.dtype = dtype, .device = device});
}
Tensor truths(const std::vector<std::int64_t>& values, Device device = {}) {
  return wholes(values, int64, device) != 0;
}

/// The gradients of the sum of f by all inputs, one after the other: by the kernels,
/// then by differentiable ops.
std::function<Tensor(Device)> gradients(std::function<Tensor(const Tensors&)> f, std::vector<Values> inputs,
                                        DType dtype = float64) {
  return [=](Device device) {
    Tensors found;
    for (const bool create_graph : {false, true}) {
      Tensors leaves;
      for (const Values& values : inputs) leaves.push_back(reals(values, dtype, device).requires_grad_());
      for (const Tensor& gradient : autograd::grad({sum(f(leaves))}, leaves, {.create_graph = create_graph}))
        found.push_back(gradient.detach().flatten());
    }
    return cat(found);
  };
}

/// The same gradients from both.
Tensor twice(const Values& values) { return cat({reals(values), reals(values)}); }

/// d/ds of the sum of the gradient of s f(x), for an x without elements, is 0.
std::function<Tensor(Device)> second_of_nothing(Tensor (*f)(const Tensor&)) {
  return [=](Device device) {
    const Tensor x = zeros({0, 3}, {.dtype = float64, .device = device}).requires_grad_();
    const Tensor s = ones({}, {.dtype = float64, .device = device}).requires_grad_();
    const Tensor first = autograd::grad({f(x) * s}, {x}, {.create_graph = true})[0];
    return autograd::grad({sum(first)}, {s})[0];
  };
}

Tensor shape_of(const Tensor& x) {
  return wholes(std::vector<std::int64_t>(x.shape().begin(), x.shape().end()));
}

/// Least and greatest element.
Tensor ends(const Tensor& x) { return stack({amin(x), amax(x)}); }

/// The gradient of row 1 of 2, which `hits` indices name, of 0.1 each.
Tensor hits_of_a_tenth(std::int64_t hits, DType dtype, Device device) {
  const Tensor table = zeros({2, 1}, {.dtype = dtype, .device = device}).requires_grad_();
  embedding(table, ones({hits}, {.dtype = int64, .device = device}))
      .backward(full({hits, 1}, 0.1, {.dtype = dtype, .device = device}));
  return table.grad().flatten();
}

#define ON(...) [](Device device) -> Tensor { return __VA_ARGS__; }
#define OF(...) [](const Tensors& x) -> Tensor { return __VA_ARGS__; }

using Rows = std::vector<ValueCase>;

const Rows& intervals() {
  static const Rows rows{
      {"uniform_: float32 has one number from 2^24 - 1 to below 2^24",
       ON(ends(empty({999}, {.device = device}).uniform_(16777215, 16777216))),
       reals({16777215, 16777215}, float32)},
      {"uniform_: float64, likewise",
       ON(ends(empty({999}, {.dtype = float64, .device = device}).uniform_(1, 1 + 0x1p-52))), reals({1, 1})},
      {"uniform_: float16",
       ON(ends(empty({999}, {.dtype = float16, .device = device}).uniform_(2047, 2048).to(float32))),
       reals({2047, 2047}, float32)},
      {"uniform_: from a number to itself", ON(empty({2}, {.device = device}).uniform_(3, 3)),
       reals({3, 3}, float32)},
      {"uniform_: from below 0 to 0",
       ON(amax(empty({9999}, {.dtype = bfloat16, .device = device}).uniform_(-1, 0).to(float32)) < 0),
       full({}, true)},
      {"rand: float16", ON(amax(rand({99'999}, {.dtype = float16, .device = device}).to(float32)) < 1),
       full({}, true)},
      {"rand: bfloat16", ON(amax(rand({9999}, {.dtype = bfloat16, .device = device}).to(float32)) < 1),
       full({}, true)},
      {"randint: the even numbers that float32 has",
       ON(ends(randint(16777216, 16777220, {99}, {.dtype = float32, .device = device}))),
       reals({16777216, 16777218}, float32)},
      {"randint: the only number that float32 has",
       ON(ends(randint(16777217, 16777220, {99}, {.dtype = float32, .device = device}))),
       reals({16777218, 16777218}, float32)},
      {"randint: up to the greatest of int64", ON(amin(randint(most - 1, most, {9}, {.device = device}))),
       wholes({most - 1}).squeeze(0)},
      {"randint: uint8", ON(ends(randint(255, 256, {9}, {.dtype = uint8, .device = device}))),
       wholes({255, 255}, uint8)},
      {"randint: float16 up to its greatest",
       ON(ends(randint(65504, 65505, {9}, {.dtype = float16, .device = device}).to(float32))),
       reals({65504, 65504}, float32)},
  };
  return rows;
}

const Rows& numbers() {
  static const Rows rows{
      {"operator==: a number that uint8 does not have", ON(wholes({44, 255}, uint8, device) == 300),
       truths({0, 0})},
      {"operator==: a negative number", ON(wholes({1, 255}, uint8, device) == -1), truths({0, 0})},
      {"operator<: a number that int32 does not have",
       ON(wholes({1}, int32, device) < (std::int64_t{1} << 40)), truths({1})},
      {"operator<: a number that float32 does not have", ON(reals({1, inf}, float32, device) < 1e300),
       truths({1, 0})},
      {"clamp: bounds that uint8 does not have", ON(clamp(wholes({0, 100, 255}, uint8, device), -1, 300)),
       wholes({0, 100, 255}, uint8)},
      {"clamp: bounds that int32 does not have",
       ON(clamp(wholes({-7, 7}, int32, device), -10'000'000'000'000'000, 10'000'000'000'000'000)),
       wholes({-7, 7}, int32)},
      {"add: -1 to uint8", ON(wholes({1, 0}, uint8, device) + -1), wholes({0, 255}, uint8)},
      {"add: int64 wraps around", ON(wholes({most, least}, int64, device) + wholes({1, -1}, int64, device)),
       wholes({least, most})},
      {"add: int32 and a number wrap around", ON(wholes({2147483647}, int32, device) + 1),
       wholes({-2147483648}, int32)},
      {"sub: int64 wraps around", ON(wholes({least}, int64, device) - wholes({1}, int64, device)),
       wholes({most})},
      {"mul: int64 wraps around", ON(wholes({most, least}, int64, device) * wholes({2, -1}, int64, device)),
       wholes({-2, least})},
      {"square: int32 wraps around", ON(square(wholes({65536, 65537}, int32, device))),
       wholes({0, 131073}, int32)},
      {"neg, abs: the least int64",
       ON(cat({neg(wholes({least}, int64, device)), abs(wholes({least}, int64, device))})),
       wholes({least, least})},
      {"sum: int64 wraps around", ON(sum(wholes({most, 1}, int64, device), {0}, true)), wholes({least})},
      {"pow: bool to a whole power is int64",
       ON(cat({pow(truths({0, 1}, device), 0), pow(truths({0, 1}, device), 1), pow(truths({0, 1}, device), 2),
               pow(truths({0, 1}, device), 3)})),
       wholes({1, 1, 0, 1, 0, 1, 0, 1})},
      {"pow: bool to a real power", ON(pow(truths({0, 1}, device), 2.0)), reals({0, 1}, float32)},
      {"operator+=: int64 to int32", ON(wholes({1}, int32, device).add_(wholes({5}, int64, device))),
       wholes({6}, int32)},
      {"operator+=: int64 to int32, modulo 2^32",
       ON(wholes({1}, int32, device).add_(wholes({(std::int64_t{1} << 32) + 5}, int64, device))),
       wholes({6}, int32)},
      {"operator*=: int64 to uint8", ON(wholes({2}, uint8, device).mul_(wholes({3}, int64, device))),
       wholes({6}, uint8)},
      {"log: -0", ON(log(reals({-0.0, 0}, float32, device))), reals({-inf, -inf}, float32)},
      {"floor_divide, remainder, fmod: integers of both signs",
       ON(cat({floor_divide(wholes({7, -7, 7, -7}, int64, device), wholes({2, 2, -2, -2}, int64, device)),
               remainder(wholes({7, -7, 7, -7}, int64, device), wholes({2, 2, -2, -2}, int64, device)),
               fmod(wholes({7, -7, 7, -7}, int64, device), wholes({2, 2, -2, -2}, int64, device))})),
       wholes({3, -4, -4, 3, 1, 1, -1, -1, 1, -1, 1, -1})},
      {"floor_divide, remainder, fmod: integers by 0, and the least by -1",
       ON(cat({floor_divide(wholes({5, least}, int64, device), wholes({0, -1}, int64, device)),
               remainder(wholes({5, least}, int64, device), wholes({0, -1}, int64, device)),
               fmod(wholes({5, least}, int64, device), wholes({0, -1}, int64, device))})),
       wholes({0, least, 0, 0, 0, 0})},
      {"floor_divide: real numbers that rounding would lift, zeros, infinities",
       ON(floor_divide(reals({1, -1, 6, 0, 1, -1, inf, 1, -1}, float64, device),
                       reals({0.1, 0.1, 0.1, 3, 0, 0, 2, inf, inf}, float64, device))),
       reals({9, -10, 59, 0, inf, -inf, nan, 0, -1})},
      {"remainder: real numbers of both signs",
       ON(remainder(reals({5.5, -5.5, 5.5, -5.5, 1, inf}, float64, device),
                    reals({2, 2, -2, -2, inf, 2}, float64, device))),
       reals({1.5, 0.5, -0.5, -1.5, 1, nan})},
      {"round: halves to even",
       ON(round(reals({-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.6, nan, inf}, float32, device))),
       reals({-2, -2, 0, 0, 2, 2, 3, nan, inf}, float32)},
      {"floor, ceil, trunc, sign: of a number below 0",
       ON(cat({floor(reals({-1.5}, float64, device)), ceil(reals({-1.5}, float64, device)),
               trunc(reals({-1.5}, float64, device)), sign(reals({-1.5}, float64, device))})),
       reals({-2, -1, -1, -1})},
      {"sign: 0 and NaN", ON(sign(reals({0, nan}, float32, device))), reals({0, 0}, float32)},
      {"sign, floor: integers stay",
       ON(cat({sign(wholes({-7, 0, 7}, int32, device)), floor(wholes({3}, int32, device))})),
       wholes({-1, 0, 1, 3}, int32)},
      {"xlogy: 0 times a logarithm",
       ON(xlogy(reals({0, 0, 0, 2}, float64, device), reals({0, -1, nan, 1}, float64, device))),
       reals({0, 0, nan, 0})},
      {"isnan, isinf, isfinite",
       ON(cat({isnan(reals({nan, inf, -inf, 1}, float32, device)),
               isinf(reals({nan, inf, -inf, 1}, float32, device)),
               isfinite(reals({nan, inf, -inf, 1}, float32, device)), isfinite(wholes({1}, int32, device)),
               isnan(wholes({1}, int32, device))})),
       truths({1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0})},
      {"activations: far out",
       ON(cat({softplus(reals({1000, -1000}, float32, device)), mish(reals({1000, -1000}, float32, device)),
               logsigmoid(reals({1000, -1000}, float32, device)),
               hardswish(reals({1000, -1000}, float32, device)), elu(reals({1000, -1000}, float32, device)),
               celu(reals({1000, -1000}, float32, device))})),
       reals({1000, 0, 1000, 0, 0, -1000, 1000, 0, 1000, -1, 1000, -1}, float32)},
      {"lerp: exact at both ends",
       ON(lerp(reals({0.1, 0.1}, float32, device), reals({0.7, 0.7}, float32, device),
               reals({0, 1}, float32, device))),
       reals({0.1, 0.7}, float64).to(float32)},
      {"linspace: exact at both ends",
       ON(linspace(0.1, 0.7, 4, {.dtype = float64, .device = device}).slice(0, 0, 4, 3)), reals({0.1, 0.7})},
      {"linspace: of one and of none",
       ON(cat({linspace(2, 5, 1, {.dtype = float64, .device = device}),
               linspace(2, 5, 0, {.dtype = float64, .device = device})})),
       reals({2})},
      {"argmin: the ends of integers",
       ON(stack({argmin(wholes({most, least, 0}, int64, device)), argmin(wholes({255, 0, 1}, uint8, device)),
                 argmin(truths({1, 0}, device)), argmin(reals({1, nan, 0}, float32, device))})),
       wholes({1, 1, 1, 1})},
      {"linspace: only numbers that are made must be in the range",
       ON(linspace(2, 300, 1, {.dtype = uint8, .device = device})), wholes({2}, uint8)},
      {"sort: NaN last, zeros in their order",
       ON(argsort(reals({nan, 1, 0, -0.0, -inf, nan, inf}, float64, device))), wholes({4, 2, 3, 1, 6, 0, 5})},
      {"sort: descending, NaN first, equal ones in their order",
       ON(argsort(reals({1, nan, 2, 1, -inf, 2}, float32, device), 0, true)), wholes({1, 2, 5, 0, 3, 4})},
      {"sort: the ends of integers", ON(sort(wholes({0, most, least, -1}, int64, device)).values),
       wholes({least, -1, 0, most})},
      {"sort: uint8 and bool",
       ON(cat({argsort(wholes({200, 3, 100}, uint8, device)), argsort(truths({1, 0, 1, 0}, device))})),
       wholes({1, 2, 0, 1, 3, 0, 2})},
      {"sort: int32, many",
       ON(argsort(neg(arange(2500, {.dtype = int32, .device = device}))).slice(0, 0, 2500, 2499)),
       wholes({2499, 0})},
      {"cumsum: int64 wraps around", ON(cumsum(wholes({most, 1}, int64, device), 0)), wholes({most, least})},
      {"cumsum: columns of integers",
       ON(cumsum(wholes({1, 2, 3, 4}, int32, device).view({2, 2}), 0).flatten()), wholes({1, 2, 4, 6})},
      {"cumprod: bool", ON(cumprod(truths({1, 1, 0, 1}, device), 0)), wholes({1, 1, 0, 0})},
      {"any, all: of nothing", ON(stack({any(truths({}, device)), all(truths({}, device))})), truths({0, 1})},
      {"scatter: of equal indices the last counts, every size of elements",
       ON(cat({scatter(zeros({3}, {.dtype = uint8, .device = device}), 0, wholes({1, 1, 0}, int64, device),
                       wholes({7, 8, 9}, uint8, device))
                   .to(int64),
               scatter(zeros({3}, {.dtype = float16, .device = device}), 0, wholes({1, 1, 0}, int64, device),
                       wholes({7, 8, 9}, int64, device).to(float16))
                   .to(int64),
               scatter(zeros({3}, {.dtype = int32, .device = device}), 0, wholes({1, 1, 0}, int32, device),
                       wholes({7, 8, 9}, int32, device))
                   .to(int64),
               scatter(zeros({3}, {.dtype = int64, .device = device}), 0, wholes({1, 1, 0}, int64, device),
                       wholes({7, 8, 9}, int64, device))})),
       wholes({9, 8, 0, 9, 8, 0, 9, 8, 0, 9, 8, 0})},
      {"bincount: weights that are integers are summed in float64",
       ON(bincount(wholes({1, 1, 0}, int64, device), wholes({7, 8, 9}, int64, device))), reals({9, 15})},
      {"diagonal: beyond the matrix, at the ends of int64",
       ON(cat({ones({2, 2}, {.device = device}).diagonal(least),
               ones({2, 2}, {.device = device}).diagonal(most)})),
       reals({}, float32)},
      {"pad: all elements taken away, others added",
       ON(pad(reals({1, 2, 3}, float64, device), {-3, 4}, PadMode::constant, 7)), reals({7, 7, 7, 7})},
      {"norm: negative, of infinities", ON(norm(reals({inf, inf}, float64, device), -1)),
       reals({inf}).squeeze(0)},
      {"logsumexp: of nothing", ON(logsumexp(zeros({2, 0}, {.dtype = float64, .device = device}), {1})),
       reals({-inf, -inf})},
      {"kl_div: the mean of no rows, and of rows without elements",
       ON(stack({kl_div(zeros({0, 3}, {.device = device}), zeros({0, 3}, {.device = device}),
                        {.batch_mean = true}),
                 kl_div(zeros({2, 0}, {.device = device}), zeros({2, 0}, {.device = device}),
                        {.batch_mean = true})})),
       reals({nan, 0}, float32)},
      {"to: float64 to float16 rounds once",
       ON(reals({65519.99999999, 65520, 1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-11, -1 - 0x1p-11 - 0x1p-40, 1e-300,
                 inf, nan},
                float64, device)
              .to(float16)
              .to(float64)),
       reals({65504, inf, 1 + 0x1p-10, 1, -1 - 0x1p-10, 0, inf, nan})},
      {"to: float64 to bfloat16 rounds once",
       ON(reals({1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-8, 1 + 0x1p-8 - 0x1p-40, 1e300}, float64, device)
              .to(bfloat16)
              .to(float64)),
       reals({1 + 0x1p-7, 1, 1, inf})},
      {"to: int64 to bfloat16 rounds once",
       ON(wholes({(std::int64_t{1} << 32) + (1 << 24) + 1,
                  (std::int64_t{1} << 62) + (std::int64_t{1} << 54) + 1},
                 int64, device)
              .to(bfloat16)
              .to(float64)),
       reals({0x1p32 + 0x1p25, 0x1p62 + 0x1p55})},
      {"dropout: all of an infinity", ON(dropout(reals({inf, nan, 1}, float32, device), 1)),
       reals({0, 0, 0}, float32)},
      {"embedding: the gradient of many hits", ON(hits_of_a_tenth(200'000, float32, device)),
       reals({0, 200'000 * static_cast<double>(0.1f)}, float32)},
      {"adaptive_avg_pool2d: a large window",
       ON(adaptive_avg_pool2d(full({1, 1, 1500, 1500}, 0.1, {.device = device}), {1, 1}).flatten()),
       reals({static_cast<double>(0.1f)}, float32)},
      {"view: of nothing, transposed",
       ON(shape_of(ones({0, 3, 8}, {.device = device}).transpose(1, 2).view({0, 24}))), wholes({0, 24})},
      {"is_contiguous: nothing",
       ON(full({}, ones({0, 3, 8}, {.device = device}).transpose(1, 2).is_contiguous())), full({}, true)},
      {"chunk: nothing", ON(full({}, static_cast<int>(zeros({0}, {.device = device}).chunk(3).size()))),
       full({}, 3)},
      {"split: nothing into parts of 0",
       ON(full({}, static_cast<int>(zeros({0}, {.device = device}).split(0).size()))), full({}, 1)},
  };
  return rows;
}

const Rows& gradients_of_edges() {
  static const Rows rows{
      {"relu", gradients(OF(relu(x[0])), {{nan, -1, 0, 1}}), twice({1, 0, 0, 1})},
      {"linear: relu",
       gradients(OF(linear(x[0], full_like(x[0], nan).unsqueeze(0), {}, Activation::relu)), {{1}}),
       twice({nan})},
      {"abs", gradients(OF(abs(x[0])), {{nan, -1, 0, 1}}), twice({nan, -1, 0, 1})},
      {"l1_loss", gradients(OF(l1_loss(x[0], x[1], Reduction::sum)), {{nan, 1, 1, inf}, {1, 1, 2, 1}}),
       twice({nan, 0, -1, 1, nan, 0, 1, -1})},
      {"maximum", gradients(OF(maximum(x[0], x[1])), {{nan, 1, nan, 1, 2}, {1, nan, nan, 1, 1}}),
       twice({1, 1, 1, 0.5, 1, 1, 1, 1, 0.5, 0})},
      {"minimum", gradients(OF(minimum(x[0], x[1])), {{nan, 1, nan, 1, 2}, {1, nan, nan, 1, 1}}),
       twice({1, 1, 1, 0.5, 0, 1, 1, 1, 0.5, 1})},
      {"amax", gradients(OF(amax(x[0].view({2, 3}), {1})), {{nan, 1, 2, 3, 3, 1}}),
       twice({nan, nan, nan, 0.5, 0.5, 0})},
      {"amin", gradients(OF(amin(x[0].view({2, 3}), {1})), {{nan, 1, nan, 3, 1, 1}}),
       twice({nan, nan, nan, 0, 0.5, 0.5})},
      {"clamp", gradients(OF(clamp(x[0], -1, 1)), {{nan, -2, -1, 0, 1, 2}}), twice({0, 0, 0, 1, 0, 0})},
      {"clamp: a bound that is NaN", gradients(OF(clamp(x[0], nan, 1)), {{0, 2}}), twice({0, 0})},
      {"clamp: values for a lower bound that is NaN",
       ON(clamp(reals({0, 1, 2, nan}, float32, device), nan, 1)), reals({nan, nan, nan, nan}, float32)},
      {"clamp: values for an upper bound that is NaN",
       ON(clamp(reals({0, 1, 2, nan}, float64, device), 0, nan)), reals({nan, nan, nan, nan})},
      {"clamp_: values for a bound that is NaN", ON(reals({0, 2}, float32, device).clamp_(nan, 1)),
       reals({nan, nan}, float32)},
      {"norm: of zeros", gradients(OF(norm(x[0])), {{0, 0}}), twice({0, 0})},
      {"norm: below 1, with a zero", gradients(OF(norm(x[0], 0.5)), {{0, 4}}), twice({0, 1})},
      {"norm: negative, with a zero", gradients(OF(norm(x[0], -1)), {{0, 2}}), twice({0, 0})},
      {"pairwise_distance: of equal rows",
       gradients(OF(pairwise_distance(x[0], x[1], 2, 0)), {{1, 2}, {1, 2}}), twice({0, 0, 0, 0})},
      {"relu6", gradients(OF(relu6(x[0])), {{nan, -1, 0, 3, 6, 7}}), twice({0, 0, 0, 1, 0, 0})},
      {"hardtanh", gradients(OF(hardtanh(x[0])), {{nan, -2, -1, 0, 1, 2}}), twice({0, 0, 0, 1, 0, 0})},
      {"hardswish", gradients(OF(hardswish(x[0])), {{nan, -4, -3, 0, 3, 4}}), twice({nan, 0, 0, 0.5, 1, 1})},
      {"hardsigmoid", gradients(OF(hardsigmoid(x[0]) * 6), {{nan, -4, -3, 3, 4}}), twice({0, 0, 0, 0, 0})},
      {"binary_cross_entropy",
       gradients(OF(binary_cross_entropy(x[0], full_like(x[0], 1), {.reduction = Reduction::sum})),
                 {{0, 0.5, 1}}),
       twice({0, -2, 0})},
      {"smooth_l1_loss",
       gradients(OF(smooth_l1_loss(x[0], x[1], {.reduction = Reduction::sum, .beta = 2})),
                 {{inf, -inf, nan, 2, 1, 0, -3}, {0, 0, 0, 0, 0, 0, 0}}),
       twice({1, -1, nan, 1, 0.5, 0, -1, -1, 1, nan, -1, -0.5, 0, 1})},
      {"huber_loss",
       gradients(OF(huber_loss(x[0], x[1], {.reduction = Reduction::sum, .delta = 2})),
                 {{inf, -inf, nan, 2, 1, 0, -3}, {0, 0, 0, 0, 0, 0, 0}}),
       twice({2, -2, nan, 2, 1, 0, -2, -2, 2, nan, -2, -1, 0, 2})},
      {"scatter: of equal indices the last has the gradient",
       gradients(OF(scatter(x[0], 0, wholes({1, 1, 0}, int64, x[0].device()), x[1]) *
                    reals({2, 3, 5}, float64, x[0].device())),
                 {{0, 0, 0}, {7, 8, 9}}),
       twice({0, 0, 5, 0, 3, 2})},
      {"prod: one zero, two zeros", gradients(OF(prod(x[0].view({2, 3}), {1})), {{2, 0, 3, 0, 5, 0}}),
       twice({0, 6, 0, 0, 0, 0})},
      {"max: along a dimension the first of equal ones takes the gradient",
       gradients(OF(max(x[0], 0).values), {{1, 3, 3}}), twice({0, 1, 0})},
      {"logsumexp: of minus infinity", ON(logsumexp(reals({-inf, -inf}, float64, device), {})),
       reals({-inf}).squeeze(0)},
      {"xlogy: by 0", gradients(OF(xlogy(x[0], full_like(x[0], 0))), {{0}}), twice({0})},
      {"elu, selu: far above 0", gradients(OF(elu(x[0]) + selu(x[0])), {{1e4}}),
       twice({1 + 1.0507009873554805})},
      {"pow: by the exponent of 0",
       [](Device device) {
         const Tensor base = reals({0, 0, 0, 0}, float64, device);
         const Tensor exponent = reals({-1, 0, 1, nan}, float64, device).requires_grad_();
         return autograd::grad({sum(pow(base, exponent))}, {exponent})[0];
       },
       reals({-inf, 0, 0, nan})},
      {"pow: by the exponent of negative numbers, float32",
       [](Device device) {
         const Tensor exponent = reals({2}, float32, device).requires_grad_();
         return autograd::grad({sum(pow(reals({-3}, float32, device), exponent))}, {exponent})[0];
       },
       reals({nan}, float32)},
      {"dropout: all", gradients(OF(dropout(x[0], 1)), {{inf, 1}}), twice({0, 0})},
      {"cross_entropy: every row ignored",
       gradients(OF(cross_entropy(x[0].view({1, 3}), wholes({-100}, int64, x[0].device()))), {{0, 0, 0}}),
       twice({0, 0, 0})},
      {"cross_entropy: every row ignored, smoothed",
       gradients(OF(cross_entropy(x[0].view({1, 3}), wholes({-100}, int64, x[0].device()),
                                  {.label_smoothing = 0.1})),
                 {{0, 1, 2}}),
       twice({0, 0, 0})},
      {"nll_loss: every row ignored",
       gradients(OF(nll_loss(x[0].view({2, 2}), wholes({1, 1}, int64, x[0].device()), {.ignore_index = 1})),
                 {{0, 0, 0, 0}}),
       twice({0, 0, 0, 0})},
      {"mean: of nothing, twice", second_of_nothing([](const Tensor& x) { return mean(x); }),
       reals({0}).squeeze(0)},
      {"var: of nothing, twice", second_of_nothing([](const Tensor& x) { return var(x); }),
       reals({0}).squeeze(0)},
      {"var: biased, of nothing, twice", second_of_nothing([](const Tensor& x) { return var(x, {}, false); }),
       reals({0}).squeeze(0)},
      {"std: of nothing, twice", second_of_nothing([](const Tensor& x) { return x.std(); }),
       reals({0}).squeeze(0)},
      {"logsumexp: of nothing, twice", second_of_nothing([](const Tensor& x) { return logsumexp(x, {}); }),
       reals({0}).squeeze(0)},
      {"kl_div: of no rows, twice", second_of_nothing([](const Tensor& x) {
         return kl_div(x, x.detach(), {.batch_mean = true});
       }),
       reals({0}).squeeze(0)},
      {"mse_loss: of nothing, twice",
       second_of_nothing([](const Tensor& x) { return mse_loss(x, x.detach()); }), reals({0}).squeeze(0)},
      {"l1_loss: of nothing, twice",
       second_of_nothing([](const Tensor& x) { return l1_loss(x, x.detach()); }), reals({0}).squeeze(0)},
      {"bce_with_logits: of nothing, twice",
       second_of_nothing([](const Tensor& x) { return bce_with_logits(x, x.detach()); }),
       reals({0}).squeeze(0)},
      {"cross_entropy: of nothing, twice", second_of_nothing([](const Tensor& x) {
         return cross_entropy(x, zeros({0}, {.dtype = int64, .device = x.device()}));
       }),
       reals({0}).squeeze(0)},
      {"var: of one element", gradients(OF(var(x[0])), {{3}}), twice({nan})},
  };
  return rows;
}

#undef ON
#undef OF

bool same(const Tensor& got, const Tensor& expected) {
  if (got.dtype() != expected.dtype() || got.shape() != expected.shape()) return false;
  const Values a = got.to_vector<double>(), b = expected.to_vector<double>();
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

}  // namespace

const std::vector<ValueCase>& value_cases() {
  static const Rows all = [] {
    Rows rows;
    for (const Rows* part : {&intervals(), &numbers(), &gradients_of_edges()})
      rows.insert(rows.end(), part->begin(), part->end());
    return rows;
  }();
  return all;
}

void check_value_cases(Device device) {
  for (const ValueCase& row : value_cases()) {
    INFO("value case '", row.name, "'");
    try {
      manual_seed(5);
      const Tensor got = row.compute(device).detach().cpu();
      CHECK_MESSAGE(same(got, row.expected), got.to_string(), " for ", row.expected.to_string());
    } catch (const std::exception& error) {
      FAIL_CHECK("threw: ", std::string(error.what()));
    }
  }
}

}  // namespace miniparallel::testing
