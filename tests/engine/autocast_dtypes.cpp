#include <miniparallel/miniparallel.h>

#include "engine/ops/autocast.h"

#include <doctest/doctest.h>

#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

// The dtype of every op's result within a guard, as in PyTorch.

namespace miniparallel::testing {
namespace {

/// An op of arguments in a dtype; make_autocast.py has the same calls.
using Call = std::function<Tensor(DType)>;

Tensor made(const Shape& shape, DType dtype) { return full(shape, 0.5, {.dtype = dtype}); }

#define CALL(...) [](DType t) -> Tensor { return __VA_ARGS__; }

const std::map<std::string, Call>& calls() {
#define M made({3, 3}, t)
#define V made({3}, t)
#define B made({2, 3, 3}, t)
#define I made({1, 2, 6, 6}, t)
  static const std::map<std::string, Call> all{
      {"addbmm", CALL(addbmm(M, B, B))},
      {"addmm", CALL(addmm(M, M, M))},
      {"addmv", CALL(addmv(V, M, V))},
      {"addr", CALL(addr(M, V, V))},
      {"baddbmm", CALL(baddbmm(B, B, B))},
      {"bmm", CALL(bmm(B, B))},
      {"mm", CALL(mm(M, M))},
      {"mv", CALL(mv(M, V))},
      {"conv1d", CALL(conv1d(made({1, 2, 6}, t), made({2, 2, 3}, t)))},
      {"conv2d", CALL(conv2d(I, made({2, 2, 3, 3}, t)))},
      {"conv3d", CALL(conv3d(made({1, 2, 4, 4, 4}, t), made({2, 2, 3, 3, 3}, t)))},
      {"conv_transpose1d", CALL(conv_transpose1d(made({1, 2, 6}, t), made({2, 2, 3}, t)))},
      {"conv_transpose2d", CALL(conv_transpose2d(I, made({2, 2, 3, 3}, t)))},
      {"conv_transpose3d", CALL(conv_transpose3d(made({1, 2, 4, 4, 4}, t), made({2, 2, 3, 3, 3}, t)))},
      {"einsum", CALL(einsum("ij,jk->ik", {M, M}))},
      {"linear", CALL(linear(M, M, V))},
      {"matmul", CALL(matmul(M, M))},
      {"multi_dot", CALL(multi_dot({M, M, M}))},
      {"prelu", CALL(prelu(M, made({1}, t)))},
      {"scaled_dot_product_attention", CALL(scaled_dot_product_attention(B, B, B))},

      {"acos", CALL(acos(M))},
      {"add_layer_norm", CALL(add_layer_norm(M, M, {3}).y)},
      {"asin", CALL(asin(M))},
      {"bce_with_logits", CALL(bce_with_logits(M, M))},
      {"binary_cross_entropy_with_logits", CALL(binary_cross_entropy_with_logits(M, M))},
      {"cdist", CALL(cdist(M, M))},
      {"cosh", CALL(cosh(M))},
      {"cosine_embedding_loss", CALL(cosine_embedding_loss(M, M, ones({3})))},
      {"cosine_similarity", CALL(cosine_similarity(M, M))},
      {"cross_entropy", CALL(cross_entropy(M, arange(3)))},
      {"cumprod", CALL(cumprod(M, 0))},
      {"cumsum", CALL(cumsum(M, 0))},
      {"dist", CALL(dist(M, M))},
      {"erfinv", CALL(erfinv(M))},
      {"exp", CALL(exp(M))},
      {"expm1", CALL(expm1(M))},
      {"group_norm", CALL(group_norm(I, 1))},
      {"hinge_embedding_loss", CALL(hinge_embedding_loss(M, ones({3, 3})))},
      {"huber_loss", CALL(huber_loss(M, M))},
      {"interpolate", CALL(interpolate(I, {.size = Size2(3)}))},
      {"kl_div", CALL(kl_div(M, M))},
      {"l1_loss", CALL(l1_loss(M, M))},
      {"layer_norm", CALL(layer_norm(M, {3}))},
      {"log", CALL(log(M))},
      {"log10", CALL(log10(M))},
      {"log1p", CALL(log1p(M))},
      {"log2", CALL(log2(M))},
      {"log_softmax", CALL(log_softmax(M, 1))},
      {"logsumexp", CALL(logsumexp(M, {1}))},
      {"margin_ranking_loss", CALL(margin_ranking_loss(V, V, ones({3})))},
      {"mse_loss", CALL(mse_loss(M, M))},
      {"multi_margin_loss", CALL(multi_margin_loss(M, arange(3)))},
      {"nll_loss", CALL(nll_loss(M, arange(3)))},
      {"norm", CALL(norm(M))},
      {"normalize", CALL(normalize(M))},
      {"pdist", CALL(pdist(M))},
      {"poisson_nll_loss", CALL(poisson_nll_loss(M, M))},
      {"pow", CALL(pow(M, 3))},
      {"prod", CALL(prod(M))},
      {"reciprocal", CALL(reciprocal(M))},
      {"rsqrt", CALL(rsqrt(M))},
      {"sinh", CALL(sinh(M))},
      {"smooth_l1_loss", CALL(smooth_l1_loss(M, M))},
      {"soft_margin_loss", CALL(soft_margin_loss(M, M))},
      {"softmax", CALL(softmax(M, 1))},
      {"softmin", CALL(softmin(M, 1))},
      {"softplus", CALL(softplus(M))},
      {"sum", CALL(sum(M))},
      {"tan", CALL(tan(M))},
      {"triplet_margin_loss", CALL(triplet_margin_loss(M, M, M))},

      {"addcdiv", CALL(addcdiv(ones({3}), V, V))},
      {"addcmul", CALL(addcmul(ones({3}), V, V))},
      {"atan2", CALL(atan2(ones({3}), V))},
      {"bilinear", CALL(bilinear(V, V, made({2, 3, 3}, t)))},
      {"cross", CALL(cross(ones({3}), V, 0))},
      {"dot", CALL(dot(V, V))},
      {"grid_sample", CALL(grid_sample(I, zeros({1, 2, 2, 2})))},
      {"scatter_add", CALL(scatter_add(ones({3}), 0, arange(3), V))},
      {"tensordot", CALL(tensordot(M, M, 1))},

      // Without a rule: their arguments' dtypes, promoted.
      {"add", CALL(ones({3}) + V)},
      {"batch_norm", CALL(batch_norm(I, ones({2}), ones({2}), {}, {}, {.training = true}))},
      {"cat", CALL(cat({ones({3}), V}))},
      {"max_pool2d", CALL(max_pool2d(I, 2))},
      {"mean", CALL(mean(M))},
      {"relu", CALL(relu(M))},
      {"where", CALL(where(V > 0, ones({3}), V))},
  };
  return all;
}

/// A line of autocast.txt.
struct Golden {
  std::string op;
  DType guard, arguments;
  std::string on_gpu, on_cpu;
};

std::vector<Golden> goldens() {
  const std::map<std::string, DType> named{
      {"float32", float32}, {"float16", float16}, {"bfloat16", bfloat16}};
  std::ifstream file(MINIPARALLEL_TEST_DATA "/autocast.txt");
  std::vector<Golden> lines;
  std::string op, guard, arguments, on_gpu, on_cpu;
  while (file >> op >> guard >> arguments >> on_gpu >> on_cpu)
    lines.push_back({op, named.at(guard), named.at(arguments), on_gpu, on_cpu});
  return lines;
}

std::string dtype_of_result(const Golden& line) {
  const Autocast guard({.dtype = line.guard});
  return name(calls().at(line.op)(line.arguments).dtype());
}

/// PyTorch has no such op; it follows layer_norm.
const std::set<std::string> kOnlyHere{"add_layer_norm"};

/// PyTorch's list for CPUs is shorter: it computes these in the dtypes of their arguments, or refuses.
const std::set<std::string> kNotOnTheirCpu{
    "acos",       "addmv",       "addr",       "asin",   "cosh",        "cosine_similarity",
    "cumprod",    "cumsum",      "dist",       "erfinv", "exp",         "expm1",
    "group_norm", "interpolate", "layer_norm", "log",    "log10",       "log1p",
    "log2",       "log_softmax", "logsumexp",  "mv",     "norm",        "normalize",
    "pdist",      "pow",         "reciprocal", "rsqrt",  "scatter_add", "sinh",
    "softmax",    "softmin",     "softplus",   "sum",    "tan",         "tensordot"};

TEST_CASE("autocast: each op gives the dtype that it has in PyTorch on a GPU") {
  std::set<std::string> seen = kOnlyHere, not_as_on_cpu;
  for (const Golden& line : goldens()) {
    INFO(line.op, " of ", std::string(name(line.arguments)), " in ", std::string(name(line.guard)));
    seen.insert(line.op);
    const std::string ours = dtype_of_result(line);
    CHECK(ours == line.on_gpu);
    if (ours != line.on_cpu) not_as_on_cpu.insert(line.op);
  }
  CHECK(not_as_on_cpu == kNotOnTheirCpu);
  for (const auto& entry : calls()) CHECK_MESSAGE(seen.contains(entry.first), entry.first);
  for (const CastRule& rule : kCastRules) CHECK_MESSAGE(seen.contains(std::string(rule.op)), rule.op);
  for (const DType half : {float16, bfloat16})
    for (const DType arguments : {float32, half})
      CHECK(dtype_of_result({"add_layer_norm", half, arguments, {}, {}}) == "float32");
}

}  // namespace
}  // namespace miniparallel::testing
