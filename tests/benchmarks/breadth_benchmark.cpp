#include "tests/benchmarks/benchmark.h"

#include <string>

// A step, forward and backward, of ops that nets use here and there.

using namespace miniparallel;
using benchmarks::here;

namespace {

using Tensors = std::vector<Tensor>;

struct Row {
  const char* name;
  std::vector<Shape> shapes;  ///< of the arguments, which are random in [0.1, 1) and learned
  Tensor (*function)(const Tensors& x);
};

Tensor indices(const Shape& shape) {
  static std::vector<std::pair<Shape, Tensor>> made;
  for (const auto& [of, index] : made)
    if (of == shape) return index;
  return made.emplace_back(shape, randint(0, 1024, shape).to(here.device)).second;
}

#define OP(...) [](const Tensors& x) { return __VA_ARGS__; }
const Shape square{1024, 1024}, images{32, 64, 28, 28};
const std::vector<Row> rows{
    {"sin", {square}, OP(sin(x[0]))},
    {"cos", {square}, OP(cos(x[0]))},
    {"tan", {square}, OP(tan(x[0]))},
    {"asin", {square}, OP(asin(x[0]))},
    {"atan", {square}, OP(atan(x[0]))},
    {"atan2", {square, square}, OP(atan2(x[0], x[1]))},
    {"hypot", {square, square}, OP(hypot(x[0], x[1]))},
    {"fmod", {square, square}, OP(fmod(x[0], x[1]))},
    {"pow_of_tensors", {square, square}, OP(pow(x[0], x[1]))},
    {"tanh", {square}, OP(tanh(x[0]))},
    {"where", {square, square}, OP(where(x[0] > x[1], x[0], x[1]))},
    {"mul_column", {square, {1024, 1}}, OP(x[0] * x[1])},
    {"mul_channels", {images, {1, 64, 1, 1}}, OP(x[0] * x[1])},
    {"mul_both_ways", {{64, 1, 64, 4}, {64, 1, 4}}, OP(x[0] * x[1])},
    {"outer", {{1024}, {1024}}, OP(outer(x[0], x[1]))},
    {"bmm_small", {{256, 32, 32}, {256, 32, 32}}, OP(bmm(x[0], x[1]))},
    {"sum_outer_dims", {{64, 64, 256}}, OP(sum(x[0], {0, 2}))},
    {"mean_of_channels", {images}, OP(mean(x[0], {0, 2, 3}))},
    {"prod_rows", {square}, OP(prod(x[0], {1}))},
    {"prod_all", {square}, OP(prod(x[0]))},
    {"max_rows", {square}, OP(max(x[0], 1).values)},
    {"max_middle", {{64, 64, 256}}, OP(max(x[0], 1).values)},
    {"logsumexp", {square}, OP(logsumexp(x[0], {1}))},
    {"cumsum", {square}, OP(cumsum(x[0], 1))},
    {"cumprod", {square}, OP(cumprod(x[0], 1))},
    {"sort", {square}, OP(sort(x[0]).values)},
    {"topk", {square}, OP(topk(x[0], 10).values)},
    {"median", {square}, OP(median(x[0], 1).values)},
    {"quantile", {square}, OP(quantile(x[0], 0.3, 1))},
    {"gather", {square}, OP(gather(x[0], 1, indices(square)))},
    {"scatter_add", {square, square}, OP(scatter_add(x[0], 1, indices(square), x[1]))},
    {"index_select", {square}, OP(index_select(x[0], 0, indices({4096})))},
    {"index_add", {{1024, 256}, {4096, 256}}, OP(index_add(x[0], 0, indices({4096}), x[1]))},
    {"embedding_bag", {{1024, 64}}, OP(embedding_bag(x[0], indices({1024, 64})))},
    {"tril", {square}, OP(tril(x[0]))},
    {"diag_embed", {{64, 128}}, OP(diag_embed(x[0]))},
    {"flip", {{32, 3, 224, 224}}, OP(flip(x[0], {3}))},
    {"roll", {{8, 56, 56, 96}}, OP(roll(x[0], {3, 3}, {1, 2}))},
    {"pad_reflect", {{32, 16, 56, 56}}, OP(pad(x[0], {1, 1, 1, 1}, PadMode::reflect))},
    {"repeat_interleave", {{1024, 256}}, OP(repeat_interleave(x[0], 4, 1))},
    {"upsample", {{16, 16, 64, 64}}, OP(upsample(x[0], 2))},
    {"grid_sample", {{8, 32, 64, 64}, {8, 64, 64, 2}}, OP(grid_sample(x[0], x[1]))},
    {"adaptive_max_pool", {images}, OP(adaptive_max_pool2d(x[0], 7))},
    {"group_norm", {images, {64}, {64}}, OP(group_norm(x[0], 8, x[1], x[2]))},
    {"conv2d_of_3_channels",
     {{8, 3, 224, 224}, {64, 3, 7, 7}},
     OP(conv2d(x[0], x[1], {}, {.stride = 2, .padding = 3}))},
    {"conv_transpose_to_3_channels",
     {{8, 64, 32, 32}, {64, 3, 4, 4}},
     OP(conv_transpose2d(x[0], x[1], {}, {.stride = 2, .padding = 1}))},
};

void step(benchmark::State& state, const Row& row) {
  Tensors x;
  for (const Shape& shape : row.shapes)
    x.push_back((rand(shape, here) * 0.9 + 0.1).detach().requires_grad_());
  const Tensor g = ones_like(row.function(x).detach());
  benchmarks::measure(state, [&] {
    for (const Tensor& leaf : x) leaf.set_grad({});
    row.function(x).backward(g);
  });
}

[[maybe_unused]] const bool registered = [] {
  for (const Row& row : rows)
    benchmark::RegisterBenchmark(("step/" + std::string(row.name)).c_str(), step, row)->UseRealTime();
  return true;
}();

}  // namespace
