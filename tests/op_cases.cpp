#include "tests/op_cases.h"

#include <miniparallel/random.h>

#include <cmath>

namespace miniparallel::testing {
namespace {

#define OP(...) [](const std::vector<Tensor>& x) -> Tensor { return __VA_ARGS__; }
/// An in-place method, on a copy.
#define IN_PLACE(...)                          \
  [](const std::vector<Tensor>& x) -> Tensor { \
    Tensor y = x[0].clone();                   \
    y.__VA_ARGS__;                             \
    return y;                                  \
  }

Input real(Shape shape, double low = -2, double high = 2) { return {shape, low, high, Input::Kind::real}; }
Input constant(Shape shape, double low = -2, double high = 2) {
  return {shape, low, high, Input::Kind::constant};
}
Input whole(Shape shape, std::int64_t below, std::int64_t from = 0) {
  return {shape, static_cast<double>(from), static_cast<double>(below), Input::Kind::whole};
}
Input flag(Shape shape) { return {shape, 0, 1, Input::Kind::flag}; }

const Input m34 = real({3, 4}), m34p = real({3, 4}, 0.2, 3), image = real({2, 4, 7, 6});

using Rows = std::vector<OpCase>;

const Rows arithmetic{
    {"add", OP(add(x[0], x[1])), {m34, m34}, elementwise},
    {"add: a row to a column", OP(add(x[0], x[1])), {real({3, 1}), real({4})}},
    {"add: no dimensions", OP(add(x[0], x[1])), {m34, real({})}},
    {"add: empty by one", OP(add(x[0], x[1])), {real({0, 4}), real({1, 4})}},
    {"add: scalar", OP(add(x[0], 2)), {m34}, elementwise},
    {"sub", OP(sub(x[0], x[1])), {m34, m34}, elementwise},
    {"sub: over three dimensions", OP(sub(x[0], x[1])), {real({2, 1, 3}), real({5, 1})}},
    {"sub: scalar", OP(sub(x[0], 2)), {m34}, elementwise},
    {"mul", OP(mul(x[0], x[1])), {m34, m34}, elementwise},
    {"mul: a row to a column", OP(mul(x[0], x[1])), {real({4}), real({3, 1})}},
    {"mul: with itself", OP(mul(x[0], x[0])), {m34}, elementwise},
    {"mul: scalar", OP(mul(x[0], 3)), {m34}, elementwise},
    {"div", OP(div(x[0], x[1])), {m34, m34p}, elementwise},
    {"div: a row to a column", OP(div(x[0], x[1])), {real({3, 1}), real({4}, 0.5, 2)}},
    {"div: scalar", OP(div(x[0], 4)), {m34}, elementwise},
    {"pow", OP(pow(x[0], x[1])), {m34p, m34}, elementwise},
    {"pow: a row to a column", OP(pow(x[0], x[1])), {real({3, 1}, 0.2, 2), real({4})}},
    {"pow: scalar", OP(pow(x[0], 1.5)), {m34p}, elementwise},
    {"pow: square", OP(pow(x[0], 2.0)), {m34}, elementwise},
    {"pow: exponent 0", OP(pow(x[0], 0.0)), {m34}, elementwise},
    {"pow: negative exponent", OP(pow(x[0], -2.0)), {m34p}, elementwise},
    {"maximum", OP(maximum(x[0], x[1])), {m34, m34}, elementwise},
    {"maximum: a row to a column", OP(maximum(x[0], x[1])), {real({3, 1}), real({4})}},
    {"minimum", OP(minimum(x[0], x[1])), {m34, m34}, elementwise},
    {"operator+", OP(x[0] + x[1]), {m34, m34}, elementwise},
    {"operator+: tensor and scalar", OP(x[0] + 1.5), {m34}, elementwise},
    {"operator+: scalar and tensor", OP(1.5 + x[0]), {m34}, elementwise},
    {"operator-", OP(x[0] - x[1]), {m34, m34}, elementwise},
    {"operator-: tensor and scalar", OP(x[0] - 1.5), {m34}, elementwise},
    {"operator-: scalar and tensor", OP(1.5 - x[0]), {m34}, elementwise},
    {"operator-: sign", OP(-x[0]), {m34}, elementwise},
    {"operator*", OP(x[0] * x[1]), {m34, m34}, elementwise},
    {"operator*: tensor and scalar", OP(x[0] * 1.5), {m34}, elementwise},
    {"operator*: scalar and tensor", OP(1.5 * x[0]), {m34}, elementwise},
    {"operator/", OP(x[0] / x[1]), {m34, m34p}, elementwise},
    {"operator/: tensor and scalar", OP(x[0] / 1.5), {m34}, elementwise},
    {"operator/: scalar and tensor", OP(1.5 / x[0]), {m34p}, elementwise},
};

const Rows comparison{
    {"operator==", OP(x[0] == x[1]), {whole({3, 4}, 3), whole({4}, 3)}, no_gradient},
    {"operator!=", OP(x[0] != x[1]), {whole({3, 4}, 3), whole({4}, 3)}, no_gradient},
    {"operator<", OP(x[0] < x[1]), {m34, real({4})}, no_gradient},
    {"operator<=", OP(x[0] <= x[1]), {m34, real({4})}, no_gradient},
    {"operator>", OP(x[0] > x[1]), {m34, real({4})}, no_gradient},
    {"operator>=", OP(x[0] >= x[1]), {m34, real({4})}, no_gradient},
    {"operator==: scalar", OP(x[0] == 1), {whole({3, 4}, 3)}, no_gradient | elementwise},
    {"operator!=: scalar", OP(x[0] != 1), {whole({3, 4}, 3)}, no_gradient | elementwise},
    {"operator<: scalar", OP(x[0] < 1.0), {m34}, no_gradient | elementwise},
    {"operator<=: scalar", OP(x[0] <= 1.0), {m34}, no_gradient | elementwise},
    {"operator>: scalar", OP(x[0] > 1.0), {m34}, no_gradient | elementwise},
    {"operator>=: scalar", OP(x[0] >= 1.0), {m34}, no_gradient | elementwise},
    {"logical_and", OP(logical_and(x[0], x[1])), {flag({3, 4}), flag({3, 4})}, no_gradient | elementwise},
    {"logical_or", OP(logical_or(x[0], x[1])), {flag({3, 4}), flag({3, 4})}, no_gradient | elementwise},
    {"logical_not", OP(logical_not(x[0])), {flag({3, 4})}, no_gradient | elementwise},
    {"allclose", OP(full({}, allclose(x[0], x[0] + 1e-9))), {m34}, no_gradient | no_integers},
    {"equal", OP(full({}, equal(x[0], x[0] + 1e-3))), {m34}, no_gradient | no_integers},
};

const Rows functions{
    {"neg", OP(neg(x[0])), {m34}, elementwise},
    {"exp", OP(exp(x[0])), {m34}, elementwise},
    {"log", OP(log(x[0])), {m34p}, elementwise},
    {"sqrt", OP(sqrt(x[0])), {m34p}, elementwise},
    {"abs", OP(abs(x[0])), {m34}, elementwise},
    {"tanh", OP(tanh(x[0])), {m34}, elementwise},
    {"sigmoid", OP(sigmoid(x[0])), {m34}, elementwise},
    {"square", OP(square(x[0])), {m34}, elementwise | no_integers},
    {"relu", OP(relu(x[0])), {m34}, elementwise},
    {"gelu", OP(gelu(x[0])), {m34}, elementwise},
    {"gelu: tanh", OP(gelu(x[0], Gelu::tanh)), {m34}, elementwise},
    {"silu", OP(silu(x[0])), {m34}, elementwise},
    {"erf", OP(erf(x[0])), {m34}, elementwise},
    {"sin", OP(sin(x[0])), {m34}, elementwise},
    {"cos", OP(cos(x[0])), {m34}, elementwise},
    {"clamp", OP(clamp(x[0], -1, 1)), {m34}, elementwise},
    {"where", OP(where(x[0], x[1], x[2])), {flag({3, 4}), m34, m34}, elementwise},
    {"where: broadcast", OP(where(x[0], x[1], x[2])), {flag({4}), real({3, 1}), real({})}},
    {"masked_fill", OP(masked_fill(x[0], x[1], 7)), {m34, flag({3, 4})}, elementwise},
    {"masked_fill: a row of the mask for all", OP(masked_fill(x[0], x[1], 7)), {m34, flag({4})}},
};

const Input cube = real({3, 4, 5});

const Rows reductions{
    {"sum", OP(sum(x[0])), {cube}},
    {"sum: first", OP(sum(x[0], {0})), {cube}},
    {"sum: middle", OP(sum(x[0], {1}, true)), {cube}},
    {"sum: last", OP(sum(x[0], {-1})), {cube}},
    {"sum: outer two", OP(sum(x[0], {0, 2}, true)), {cube}},
    {"sum: no dimensions", OP(sum(x[0])), {real({})}},
    {"sum: empty", OP(sum(x[0], {1})), {real({3, 0})}},
    {"sum: of empty dimensions", OP(sum(x[0], {1})), {real({0, 3})}},
    {"sum: odd", OP(sum(x[0])), {real({1031})}},
    {"sum: large", OP(sum(x[0], {1})), {real({3, 100'003})}, no_golden},
    {"sum: large columns", OP(sum(x[0], {0})), {real({10'007, 13})}, no_golden},
    {"mean", OP(mean(x[0])), {cube}, no_integers},
    {"mean: last two", OP(mean(x[0], {1, 2})), {cube}, no_integers},
    {"mean: middle", OP(mean(x[0], {-2}, true)), {cube}, no_integers},
    {"mean: large", OP(mean(x[0])), {real({7, 30'011})}, no_golden},
    {"var", OP(var(x[0])), {cube}, no_integers},
    {"var: biased over the last", OP(var(x[0], {-1}, false)), {cube}, no_integers},
    {"var: first two, dimensions kept", OP(var(x[0], {0, 1}, true, true)), {cube}, no_integers},
    {"amax", OP(amax(x[0])), {cube}},
    {"amax: middle", OP(amax(x[0], {1})), {cube}},
    {"amax: outer two", OP(amax(x[0], {0, 2}, true)), {cube}},
    {"amax: equal maxima", OP(amax(clamp(x[0], -1, 1), {0})), {real({9, 3})}},
    {"amax: large", OP(amax(x[0], {1})), {real({3, 50'021})}, no_golden},
    {"amin", OP(amin(x[0])), {cube}},
    {"amin: last", OP(amin(x[0], {-1})), {cube}},
    {"argmax", OP(argmax(x[0])), {cube}, no_gradient},
    {"argmax: middle", OP(argmax(x[0], 1)), {cube}, no_gradient},
    {"argmax: last, dimension kept", OP(argmax(x[0], -1, true)), {cube}, no_gradient},
};

const Rows joining{
    {"cat", OP(cat({x[0], x[1]})), {m34, real({2, 4})}, any_dtype},
    {"cat: last", OP(cat({x[0], x[1], x[0]}, -1)), {m34, real({3, 1})}, any_dtype},
    {"cat: an empty part", OP(cat({x[0], x[1]}, 1)), {m34, real({3, 0})}, any_dtype},
    {"cat: large", OP(cat({x[0], x[1]}, 1)), {real({31, 2003}), real({31, 1999})}, no_golden},
    {"stack", OP(stack({x[0], x[1]})), {m34, m34}, any_dtype},
    {"stack: last", OP(stack({x[0], x[1], x[0]}, -1)), {m34, m34}, any_dtype},
    {"stack: no dimensions", OP(stack({x[0], x[1]})), {real({}), real({})}, any_dtype},
    {"index_select", OP(index_select(x[0], 0, x[1])), {m34, whole({5}, 3)}, any_dtype},
    {"index_select: last", OP(index_select(x[0], -1, x[1])), {cube, whole({7}, 5)}, any_dtype},
    {"index_select: none", OP(index_select(x[0], 1, x[1])), {m34, whole({0}, 3)}, any_dtype},
    {"index_select: large",
     OP(index_select(x[0], 0, x[1])),
     {real({509, 33}), whole({4001}, 509)},
     no_golden},
    {"embedding", OP(embedding(x[0], x[1])), {real({6, 3}), whole({4}, 6)}, any_dtype | no_integers},
    {"embedding: padding",
     OP(embedding(x[0], x[1], 2)),
     {real({6, 3}), whole({3, 5}, 6)},
     any_dtype | no_integers | no_differences},
    {"embedding: large", OP(embedding(x[0], x[1])), {real({301, 17}), whole({8, 801}, 301)}, no_golden},
};

const Rows linear_algebra{
    {"matmul", OP(matmul(x[0], x[1])), {m34, real({4, 5})}, no_integers},
    {"matmul: one by one", OP(matmul(x[0], x[1])), {real({1, 1}), real({1, 1})}, no_integers},
    {"matmul: nothing to sum", OP(matmul(x[0], x[1])), {real({2, 0}), real({0, 3})}, no_integers},
    {"matmul: no rows", OP(matmul(x[0], x[1])), {real({0, 3}), real({3, 2})}, no_integers},
    {"matmul: vectors", OP(matmul(x[0], x[1])), {real({5}), real({5})}, no_integers},
    {"matmul: vector, matrix", OP(matmul(x[0], x[1])), {real({4}), real({4, 3})}, no_integers},
    {"matmul: matrix, vector", OP(matmul(x[0], x[1])), {m34, real({4})}, no_integers},
    {"matmul: batch", OP(matmul(x[0], x[1])), {real({2, 3, 4}), real({2, 4, 5})}, no_integers},
    {"matmul: broadcast batch", OP(matmul(x[0], x[1])), {real({2, 1, 3, 4}), real({3, 4, 2})}, no_integers},
    {"matmul: batch, matrix", OP(matmul(x[0], x[1])), {real({2, 3, 4}), real({4, 5})}, no_integers},
    {"matmul: batch, vector", OP(matmul(x[0], x[1])), {real({2, 3, 4}), real({4})}, no_integers},
    {"matmul: vector, batch", OP(matmul(x[0], x[1])), {real({3}), real({2, 3, 4})}, no_integers},
    {"matmul: transposed", OP(matmul(x[0].t(), x[1].t())), {real({4, 3}), real({5, 4})}, no_integers},
    {"matmul: large", OP(matmul(x[0], x[1])), {real({331, 257}), real({257, 129})}, no_golden | blas},
    {"linear", OP(linear(x[0], x[1], x[2])), {m34, real({5, 4}), real({5})}, no_integers},
    {"linear: no bias", OP(linear(x[0], x[1])), {m34, real({5, 4})}, no_integers},
    {"linear: one row without a batch",
     OP(linear(x[0], x[1], x[2])),
     {real({4}), real({5, 4}), real({5})},
     no_integers},
    {"linear: batch", OP(linear(x[0], x[1], x[2])), {real({2, 3, 4}), real({5, 4}), real({5})}, no_integers},
    {"linear: relu",
     OP(linear(x[0], x[1], x[2], Activation::relu)),
     {real({2, 3, 4}), real({5, 4}), real({5})},
     no_integers},
    {"linear: relu, no bias", OP(linear(x[0], x[1], {}, Activation::relu)), {m34, real({5, 4})}, no_integers},
    {"linear: gelu",
     OP(linear(x[0], x[1], x[2], Activation::gelu_tanh)),
     {real({2, 3, 4}), real({8, 4}), real({8})},
     no_integers},
    {"linear: gelu, odd",
     OP(linear(x[0], x[1], x[2], Activation::gelu_tanh)),
     {m34, real({5, 4}), real({5})},
     no_integers},
    {"linear: gelu, no bias",
     OP(linear(x[0], x[1], {}, Activation::gelu_tanh)),
     {m34, real({8, 4})},
     no_integers},
    {"linear: gelu, nothing to sum",
     OP(linear(x[0], x[1], x[2], Activation::gelu_tanh)),
     {real({3, 0}), real({8, 0}), real({8})},
     no_integers},
    {"linear: large",
     OP(linear(x[0], x[1], x[2])),
     {real({257, 300}), real({131, 300}), real({131})},
     no_golden | blas},
};

const Input logits = real({5, 4});

const Rows losses{
    {"softmax", OP(softmax(x[0], -1)), {cube}, no_integers},
    {"softmax: first", OP(softmax(x[0], 0)), {cube}, no_integers},
    {"softmax: one", OP(softmax(x[0], 0)), {real({1})}, no_integers},
    {"softmax: large numbers", OP(softmax(x[0] * 1000, 1)), {m34}, no_integers},
    {"softmax: large", OP(softmax(x[0], 1)), {real({101, 1009})}, no_golden},
    {"log_softmax", OP(log_softmax(x[0], -1)), {cube}, no_integers},
    {"log_softmax: middle", OP(log_softmax(x[0], 1)), {cube}, no_integers},
    {"log_softmax: large", OP(log_softmax(x[0], 1)), {real({101, 1009})}, no_golden},
    {"cross_entropy", OP(cross_entropy(x[0], x[1])), {logits, whole({5}, 4)}, no_integers},
    {"cross_entropy: sum",
     OP(cross_entropy(x[0], x[1], {.reduction = Reduction::sum})),
     {logits, whole({5}, 4)},
     no_integers},
    {"cross_entropy: none",
     OP(cross_entropy(x[0], x[1], {.reduction = Reduction::none})),
     {logits, whole({5}, 4)},
     no_integers},
    {"cross_entropy: ignored class",
     OP(cross_entropy(x[0], x[1], {.ignore_index = 1})),
     {logits, whole({5}, 4)},
     no_integers},
    {"cross_entropy: smoothed",
     OP(cross_entropy(x[0], x[1], {.label_smoothing = 0.1})),
     {logits, whole({5}, 4)},
     no_integers},
    {"cross_entropy: smoothed, ignored class",
     OP(cross_entropy(x[0], x[1], {.ignore_index = 2, .label_smoothing = 0.2})),
     {logits, whole({5}, 4)},
     no_integers},
    {"cross_entropy: pixels",
     OP(cross_entropy(x[0], x[1])),
     {real({2, 3, 4, 5}), whole({2, 4, 5}, 3)},
     no_integers},
    {"cross_entropy: large",
     OP(cross_entropy(x[0], x[1])),
     {real({1003, 101}), whole({1003}, 101)},
     no_golden},
    {"nll_loss", OP(nll_loss(x[0], x[1])), {logits, whole({5}, 4)}, no_integers},
    {"nll_loss: none, ignored class",
     OP(nll_loss(x[0], x[1], {.reduction = Reduction::none, .ignore_index = 0})),
     {logits, whole({5}, 4)},
     no_integers},
    {"nll_loss: sum over pixels",
     OP(nll_loss(x[0], x[1], {.reduction = Reduction::sum})),
     {real({2, 3, 4}), whole({2, 4}, 3)},
     no_integers},
    {"mse_loss", OP(mse_loss(x[0], x[1])), {m34, m34}, no_integers},
    {"mse_loss: sum", OP(mse_loss(x[0], x[1], Reduction::sum)), {m34, m34}, no_integers},
    {"mse_loss: none", OP(mse_loss(x[0], x[1], Reduction::none)), {m34, m34}, no_integers},
    {"l1_loss", OP(l1_loss(x[0], x[1])), {m34, m34}, no_integers},
    {"l1_loss: sum", OP(l1_loss(x[0], x[1], Reduction::sum)), {m34, m34}, no_integers},
    {"l1_loss: none", OP(l1_loss(x[0], x[1], Reduction::none)), {m34, m34}, no_integers},
    {"bce_with_logits", OP(bce_with_logits(x[0], x[1])), {m34, constant({3, 4}, 0, 1)}, no_integers},
    {"bce_with_logits: none",
     OP(bce_with_logits(x[0], x[1], Reduction::none)),
     {real({3, 4}, -40, 40), constant({3, 4}, 0, 1)},
     no_integers},
    {"bce_with_logits: sum",
     OP(bce_with_logits(x[0], x[1], Reduction::sum)),
     {m34, constant({3, 4}, 0, 1)},
     no_integers},
};

const Rows images{
    {"conv2d", OP(conv2d(x[0], x[1], x[2])), {image, real({3, 4, 3, 2}), real({3})}, no_integers},
    {"conv2d: no bias", OP(conv2d(x[0], x[1])), {image, real({3, 4, 3, 3})}, no_integers},
    {"conv2d: stride, padding",
     OP(conv2d(x[0], x[1], x[2], {.stride = 2, .padding = {1, 2}})),
     {image, real({3, 4, 3, 3}), real({3})},
     no_integers},
    {"conv2d: dilation",
     OP(conv2d(x[0], x[1], x[2], {.padding = 1, .dilation = {2, 1}})),
     {image, real({2, 4, 3, 3}), real({2})},
     no_integers},
    {"conv2d: groups",
     OP(conv2d(x[0], x[1], x[2], {.stride = {1, 2}, .groups = 2})),
     {image, real({6, 2, 2, 3}), real({6})},
     no_integers},
    {"conv2d: by channel",
     OP(conv2d(x[0], x[1], x[2], {.padding = 1, .groups = 4})),
     {image, real({4, 1, 3, 3}), real({4})},
     no_integers},
    {"conv2d: 1 x 1", OP(conv2d(x[0], x[1], x[2])), {image, real({3, 4, 1, 1}), real({3})}, no_integers},
    {"conv2d: no images",
     OP(conv2d(x[0], x[1], x[2])),
     {real({0, 2, 5, 5}), real({3, 2, 3, 3}), real({3})},
     no_integers},
    {"conv2d: large",
     OP(conv2d(x[0], x[1], x[2], {.padding = 1})),
     {real({5, 7, 31, 29}), real({11, 7, 3, 3}), real({11})},
     no_golden | blas},
    {"max_pool2d", OP(max_pool2d(x[0], 2)), {image}, no_integers},
    {"max_pool2d: stride, padding",
     OP(max_pool2d(x[0], {3, 2}, {.stride = Size2{2, 1}, .padding = {1, 0}})),
     {image},
     no_integers},
    {"max_pool2d: overlapping", OP(max_pool2d(x[0], 3, {.stride = 1})), {image}, no_integers},
    {"max_pool2d: large", OP(max_pool2d(x[0], 2)), {real({5, 11, 33, 31})}, no_golden},
    {"avg_pool2d", OP(avg_pool2d(x[0], 2)), {image}, no_integers},
    {"avg_pool2d: stride, padding",
     OP(avg_pool2d(x[0], {3, 2}, {.stride = Size2{2, 1}, .padding = {1, 1}})),
     {image},
     no_integers},
    {"adaptive_avg_pool2d", OP(adaptive_avg_pool2d(x[0], {3, 2})), {image}, no_integers},
    {"adaptive_avg_pool2d: one", OP(adaptive_avg_pool2d(x[0], 1)), {image}, no_integers},
    {"adaptive_avg_pool2d: wider than the image",
     OP(adaptive_avg_pool2d(x[0], {8, 9})),
     {image},
     no_integers},
};

const Input channel = real({4}, 0.5, 1.5), running = constant({4}, 0.5, 1.5);

const Rows normalisation{
    {"batch_norm",
     OP(batch_norm(x[0], x[1], x[2], x[3].clone(), x[4].clone(), {.training = true})),
     {image, channel, channel, running, running},
     no_integers},
    {"batch_norm: rows",
     OP(batch_norm(x[0], x[1], x[2], {}, {}, {.training = true, .eps = 1e-3})),
     {real({6, 4}), channel, channel},
     no_integers},
    {"batch_norm: plain", OP(batch_norm(x[0], {}, {}, {}, {}, {.training = true})), {image}, no_integers},
    {"batch_norm: evaluation",
     OP(batch_norm(x[0], x[1], x[2], x[3], x[4])),
     {image, channel, channel, running, running},
     no_integers},
    {"batch_norm: running mean",
     [](const std::vector<Tensor>& x) {
       const Tensor mean = x[1].clone(), variance = x[2].clone();
       batch_norm(x[0], {}, {}, mean, variance, {.training = true, .momentum = 0.3});
       return cat({mean, variance});
     },
     {constant({2, 4, 7, 6}), running, running},
     no_gradient | no_integers},
    {"layer_norm", OP(layer_norm(x[0], {5}, x[1], x[2])), {cube, real({5}), real({5})}, no_integers},
    {"layer_norm: plain", OP(layer_norm(x[0], {4, 5})), {cube}, no_integers},
    {"layer_norm: two dimensions",
     OP(layer_norm(x[0], {4, 5}, x[1], x[2], 1e-2)),
     {cube, real({4, 5}), real({4, 5})},
     no_integers},
    {"layer_norm: large",
     OP(layer_norm(x[0], {513}, x[1], x[2])),
     {real({211, 513}), real({513}), real({513})},
     no_golden},
};

const Input query = real({2, 3, 4}), key = real({2, 5, 4}), value = real({2, 5, 6});

const Rows attention{
    {"dropout",
     [](const std::vector<Tensor>& x) { return manual_seed(3), dropout(x[0], 0.4); },
     {m34},
     no_golden},
    {"dropout: evaluation", OP(dropout(x[0], 0.4, false)), {m34}, may_alias | no_integers},
    {"dropout: none", OP(dropout(x[0], 0)), {m34}, no_integers},
    {"dropout: all", OP(dropout(x[0], 1)), {m34}, no_integers},
    {"scaled_dot_product_attention",
     OP(scaled_dot_product_attention(x[0], x[1], x[2])),
     {query, key, value},
     no_integers},
    {"scaled_dot_product_attention: heads",
     OP(scaled_dot_product_attention(x[0], x[1], x[2])),
     {real({2, 2, 3, 4}), real({2, 2, 5, 4}), real({2, 2, 5, 3})},
     no_integers},
    {"scaled_dot_product_attention: causal",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], {}, {.causal = true})),
     {real({2, 5, 4}), key, value},
     no_integers},
    {"scaled_dot_product_attention: scale",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], {}, {.scale = 0.3})),
     {query, key, value},
     no_integers},
    {"scaled_dot_product_attention: added mask",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], x[3])),
     {query, key, value, constant({3, 5})},
     no_integers},
    {"scaled_dot_product_attention: bool mask",
     OP(scaled_dot_product_attention(x[0], x[1], x[2], x[3] < 1.0)),
     {query, key, value, constant({2, 3, 5})},
     no_integers},
};

const unsigned view_traits = any_dtype | may_alias;

const Rows views{
    {"view", OP(x[0].view({2, -1})), {m34}, view_traits | contiguous_only},
    {"reshape", OP(x[0].reshape({6, 2})), {m34}, view_traits},
    {"reshape: of a transpose", OP(x[0].t().reshape({2, 6})), {m34}, view_traits},
    {"flatten", OP(x[0].flatten(1)), {cube}, view_traits},
    {"transpose", OP(x[0].transpose(0, -1)), {cube}, view_traits},
    {"t", OP(x[0].t()), {m34}, view_traits},
    {"permute", OP(x[0].permute({2, 0, 1})), {cube}, view_traits},
    {"slice", OP(x[0].slice(1, 0, 4, 3)), {m34}, view_traits},
    {"slice: from the end", OP(x[0].slice(-1, -3, 100)), {m34}, view_traits},
    {"slice: empty", OP(x[0].slice(0, 2, 1)), {m34}, view_traits},
    {"narrow", OP(x[0].narrow(0, 1, 2)), {m34}, view_traits},
    {"select", OP(x[0].select(1, -1)), {cube}, view_traits},
    {"operator[]", OP(x[0][1]), {cube}, view_traits},
    {"expand", OP(x[0].expand({2, -1, 5})), {real({3, 1})}, view_traits},
    {"squeeze", OP(x[0].squeeze()), {real({1, 3, 1})}, view_traits},
    {"squeeze: one", OP(x[0].squeeze(0)), {real({1, 3, 1})}, view_traits},
    {"unsqueeze", OP(x[0].unsqueeze(-1)), {m34}, view_traits},
    {"chunk", OP(x[0].chunk(3, 1)[2]), {real({2, 8})}, view_traits},
    {"split", OP(x[0].split(3, 1)[2]), {real({2, 8})}, view_traits},
    {"split: sizes", OP(x[0].split(Shape{1, 4, 3}, 1)[1]), {real({2, 8})}, view_traits},
    {"contiguous", OP(x[0].t().contiguous()), {m34}, view_traits},
    {"clone", OP(x[0].clone()), {m34}, any_dtype | elementwise},
    {"to", OP(x[0].to(float32).to(float64)), {m34}, any_dtype | no_differences},
    {"to: device", OP(x[0].to(x[0].device())), {m34}, view_traits},
    {"to: device and dtype", OP(x[0].to(x[0].device(), float64)), {m34}, view_traits},
    {"cpu", OP(x[0].cpu()), {m34}, view_traits},
};

const Rows in_place{
    {"copy_", IN_PLACE(copy_(x[1])), {m34, real({4})}, any_dtype},
    {"fill_", IN_PLACE(fill_(3)), {m34}, elementwise | any_dtype},
    {"zero_", IN_PLACE(zero_()), {m34}, elementwise | any_dtype},
    {"add_", IN_PLACE(add_(x[1])), {m34, real({4})}},
    {"add_: alpha", IN_PLACE(add_(x[1], 2)), {m34, m34}, elementwise | no_integers},
    {"add_: scalar", IN_PLACE(add_(2)), {m34}, elementwise},
    {"sub_", IN_PLACE(sub_(x[1])), {m34, real({4})}},
    {"mul_", IN_PLACE(mul_(x[1])), {m34, real({4})}},
    {"mul_: scalar", IN_PLACE(mul_(3)), {m34}, elementwise},
    {"div_", IN_PLACE(div_(x[1])), {m34, real({4}, 0.5, 2)}},
    {"div_: scalar", IN_PLACE(div_(4)), {m34}, elementwise},
    {"clamp_", IN_PLACE(clamp_(-1, 1)), {m34}, elementwise},
    {"masked_fill_", IN_PLACE(masked_fill_(x[1], 7)), {m34, flag({4})}},
    {"uniform_",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().uniform_(2, 3); },
     {m34},
     no_golden | no_gradient | no_integers | random},
    {"normal_",
     [](const std::vector<Tensor>& x) { return manual_seed(5), x[0].clone().normal_(1, 2); },
     {m34},
     no_golden | no_gradient | no_integers | random},
    {"operator+=", IN_PLACE(operator+=(x[1])), {m34, m34}, elementwise},
    {"operator+=: scalar", IN_PLACE(operator+=(2)), {m34}, elementwise},
    {"operator-=", IN_PLACE(operator-=(x[1])), {m34, m34}, elementwise},
    {"operator*=", IN_PLACE(operator*=(x[1])), {m34, m34}, elementwise},
    {"operator*=: scalar", IN_PLACE(operator*=(3)), {m34}, elementwise},
    {"operator/=", IN_PLACE(operator/=(x[1])), {m34, m34p}, elementwise},
    {"operator/=: scalar", IN_PLACE(operator/=(4)), {m34}, elementwise},
    {"add_: to a view",
     [](const std::vector<Tensor>& x) {
       const Tensor y = x[0] * 2;
       y.select(0, 1).add_(x[1]);
       return y;
     },
     {m34, real({4})}},
    {"mul_: to columns, twice",
     [](const std::vector<Tensor>& x) {
       const Tensor y = x[0] * 2;
       y.slice(1, 0, 4, 2).mul_(x[1]);
       y.slice(1, 1, 4, 2).t().mul_(x[2]);
       return y * y;
     },
     {m34, real({3, 1}), real({3})}},
    {"copy_: to columns",
     [](const std::vector<Tensor>& x) {
       const Tensor y = x[0] * 2;
       y.slice(1, 0, 4, 2).copy_(x[1]);
       return y * y;
     },
     {m34, real({3, 1})},
     no_integers},
};

#undef OP
#undef IN_PLACE

/// A permutation of 0 .. n-1 in which neighbours are far apart.
std::int64_t scrambled(std::int64_t i, std::int64_t n) {
  std::int64_t stride = std::max<std::int64_t>(1, static_cast<std::int64_t>(static_cast<double>(n) * 0.618));
  const auto common = [](std::int64_t a, std::int64_t b) {
    while (b != 0) a = std::exchange(b, a % b);
    return a;
  };
  while (common(stride, n) != 1) ++stride;
  return (i + 1) * stride % n;
}

}  // namespace

const std::vector<OpCase>& op_cases() {
  static const std::vector<OpCase> all = [] {
    std::vector<OpCase> rows;
    for (const Rows* family : {&arithmetic, &comparison, &functions, &reductions, &joining, &linear_algebra,
                               &losses, &images, &normalisation, &attention, &views, &in_place})
      rows.insert(rows.end(), family->begin(), family->end());
    return rows;
  }();
  return all;
}

Tensor make_input(const Input& input, int position, DType dtype, Device device) {
  const std::int64_t n = input.shape.numel();
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const double place = static_cast<double>(scrambled(i, n)) + 0.37 + 0.24 * (position % 3);
    const double spread = input.low + (input.high - input.low) * place / static_cast<double>(n);
    values.push_back(input.kind == Input::Kind::whole  ? std::floor(spread)
                     : input.kind == Input::Kind::flag ? spread > 0.5
                                                       : spread);
  }
  const DType stored = input.kind == Input::Kind::whole  ? int64
                       : input.kind == Input::Kind::flag ? boolean
                                                         : dtype;
  return tensor(values, input.shape, {.dtype = stored, .device = device});
}

std::vector<Tensor> make_inputs(const OpCase& row, DType dtype, Device device) {
  std::vector<Tensor> inputs;
  for (std::size_t i = 0; i < row.inputs.size(); ++i)
    inputs.push_back(make_input(row.inputs[i], static_cast<int>(i), dtype, device));
  return inputs;
}

}  // namespace miniparallel::testing
