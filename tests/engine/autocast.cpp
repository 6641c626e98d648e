
#include "engine/ops/autocast.h"

#include <miniparallel/miniparallel.h>

#include "engine/threads/thread_state.h"

#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace miniparallel::testing {
namespace {

/// The dtypes that an op gives for float32 and for bfloat16 arguments when autocast to bfloat16, as
/// its documentation of CUDA's ops lists them.
struct Listed {
  std::string op;
  std::function<Tensor(DType)> call;
  DType of_float32, of_bfloat16;
};

Tensor made(const Shape& shape, DType dtype) { return full(shape, 0.5, {.dtype = dtype}); }

#define CALL(...) [](DType t) -> Tensor { return __VA_ARGS__; }

const std::vector<Listed>& listed() {
#define M made({3, 3}, t)
#define V made({3}, t)
#define B made({2, 3, 3}, t)
#define I made({1, 2, 6, 6}, t)
  static const std::vector<Listed> all{
      {"addbmm", CALL(addbmm(M, B, B)), bfloat16, bfloat16},
      {"addmm", CALL(addmm(M, M, M)), bfloat16, bfloat16},
      {"addmv", CALL(addmv(V, M, V)), bfloat16, bfloat16},
      {"addr", CALL(addr(M, V, V)), bfloat16, bfloat16},
      {"baddbmm", CALL(baddbmm(B, B, B)), bfloat16, bfloat16},
      {"bmm", CALL(bmm(B, B)), bfloat16, bfloat16},
      {"mm", CALL(mm(M, M)), bfloat16, bfloat16},
      {"mv", CALL(mv(M, V)), bfloat16, bfloat16},
      {"conv1d", CALL(conv1d(made({1, 2, 6}, t), made({2, 2, 3}, t))), bfloat16, bfloat16},
      {"conv2d", CALL(conv2d(I, made({2, 2, 3, 3}, t))), bfloat16, bfloat16},
      {"conv3d", CALL(conv3d(made({1, 2, 4, 4, 4}, t), made({2, 2, 3, 3, 3}, t))), bfloat16, bfloat16},
      {"conv_transpose1d", CALL(conv_transpose1d(made({1, 2, 6}, t), made({2, 2, 3}, t))), bfloat16,
       bfloat16},
      {"conv_transpose2d", CALL(conv_transpose2d(I, made({2, 2, 3, 3}, t))), bfloat16, bfloat16},
      {"conv_transpose3d", CALL(conv_transpose3d(made({1, 2, 4, 4, 4}, t), made({2, 2, 3, 3, 3}, t))),
       bfloat16, bfloat16},
      {"einsum", CALL(einsum("ij,jk->ik", {M, M})), bfloat16, bfloat16},
      {"linear", CALL(linear(M, M, V)), bfloat16, bfloat16},
      {"matmul", CALL(matmul(M, M)), bfloat16, bfloat16},
      {"multi_dot", CALL(multi_dot({M, M, M})), bfloat16, bfloat16},
      {"prelu", CALL(prelu(M, made({1}, t))), bfloat16, bfloat16},
      {"scaled_dot_product_attention", CALL(scaled_dot_product_attention(B, B, B)), bfloat16, bfloat16},

      {"acos", CALL(acos(M)), float32, float32},
      {"add_layer_norm", CALL(add_layer_norm(M, M, {3}).y), float32, float32},
      {"asin", CALL(asin(M)), float32, float32},
      {"bce_with_logits", CALL(bce_with_logits(M, M)), float32, float32},
      {"binary_cross_entropy_with_logits", CALL(binary_cross_entropy_with_logits(M, M)), float32, float32},
      {"cdist", CALL(cdist(M, M)), float32, float32},
      {"cosh", CALL(cosh(M)), float32, float32},
      {"cosine_embedding_loss", CALL(cosine_embedding_loss(M, M, ones({3}))), float32, float32},
      {"cosine_similarity", CALL(cosine_similarity(M, M)), float32, float32},
      {"cross_entropy", CALL(cross_entropy(M, arange(3))), float32, float32},
      {"cumprod", CALL(cumprod(M, 0)), float32, float32},
      {"cumsum", CALL(cumsum(M, 0)), float32, float32},
      {"dist", CALL(dist(M, M)), float32, float32},
      {"erfinv", CALL(erfinv(M)), float32, float32},
      {"exp", CALL(exp(M)), float32, float32},
      {"expm1", CALL(expm1(M)), float32, float32},
      {"group_norm", CALL(group_norm(I, 1)), float32, float32},
      {"hinge_embedding_loss", CALL(hinge_embedding_loss(M, ones({3, 3}))), float32, float32},
      {"huber_loss", CALL(huber_loss(M, M)), float32, float32},
      {"interpolate", CALL(interpolate(I, {.size = Size2(3)})), float32, float32},
      {"kl_div", CALL(kl_div(M, M)), float32, float32},
      {"l1_loss", CALL(l1_loss(M, M)), float32, float32},
      {"layer_norm", CALL(layer_norm(M, {3})), float32, float32},
      {"log", CALL(log(M)), float32, float32},
      {"log10", CALL(log10(M)), float32, float32},
      {"log1p", CALL(log1p(M)), float32, float32},
      {"log2", CALL(log2(M)), float32, float32},
      {"log_softmax", CALL(log_softmax(M, 1)), float32, float32},
      {"logsumexp", CALL(logsumexp(M, {1})), float32, float32},
      {"margin_ranking_loss", CALL(margin_ranking_loss(V, V, ones({3}))), float32, float32},
      {"mse_loss", CALL(mse_loss(M, M)), float32, float32},
      {"multi_margin_loss", CALL(multi_margin_loss(M, arange(3))), float32, float32},
      {"nll_loss", CALL(nll_loss(M, arange(3))), float32, float32},
      {"norm", CALL(norm(M)), float32, float32},
      {"normalize", CALL(normalize(M)), float32, float32},
      {"pdist", CALL(pdist(M)), float32, float32},
      {"poisson_nll_loss", CALL(poisson_nll_loss(M, M)), float32, float32},
      {"pow", CALL(pow(M, 3)), float32, float32},
      {"prod", CALL(prod(M)), float32, float32},
      {"reciprocal", CALL(reciprocal(M)), float32, float32},
      {"rsqrt", CALL(rsqrt(M)), float32, float32},
      {"sinh", CALL(sinh(M)), float32, float32},
      {"smooth_l1_loss", CALL(smooth_l1_loss(M, M)), float32, float32},
      {"soft_margin_loss", CALL(soft_margin_loss(M, M)), float32, float32},
      {"softmax", CALL(softmax(M, 1)), float32, float32},
      {"softmin", CALL(softmin(M, 1)), float32, float32},
      {"softplus", CALL(softplus(M)), float32, float32},
      {"sum", CALL(sum(M)), float32, float32},
      {"tan", CALL(tan(M)), float32, float32},
      {"triplet_margin_loss", CALL(triplet_margin_loss(M, M, M)), float32, float32},

      {"addcdiv", CALL(addcdiv(ones({3}), V, V)), float32, float32},
      {"addcmul", CALL(addcmul(ones({3}), V, V)), float32, float32},
      {"atan2", CALL(atan2(ones({3}), V)), float32, float32},
      {"bilinear", CALL(bilinear(V, V, made({2, 3, 3}, t))), float32, bfloat16},
      {"cross", CALL(cross(ones({3}), V, 0)), float32, float32},
      {"dot", CALL(dot(V, V)), float32, bfloat16},
      {"grid_sample", CALL(grid_sample(I, zeros({1, 2, 2, 2}))), float32, float32},
      {"scatter_add", CALL(scatter_add(ones({3}), 0, arange(3), V)), float32, float32},
      {"tensordot", CALL(tensordot(M, M, 1)), float32, bfloat16},

      // Without a rule: their arguments' dtypes, promoted.
      {"add", CALL(ones({3}) + V), float32, float32},
      {"batch_norm", CALL(batch_norm(I, ones({2}), ones({2}), {}, {}, {.training = true})), float32,
       bfloat16},
      {"cat", CALL(cat({ones({3}), V})), float32, float32},
      {"max_pool2d", CALL(max_pool2d(I, 2)), float32, bfloat16},
      {"mean", CALL(mean(M)), float32, bfloat16},
      {"relu", CALL(relu(M)), float32, bfloat16},
      {"where", CALL(where(V > 0, ones({3}), V)), float32, float32},
  };
  return all;
}

TEST_CASE("autocast: each op gives the dtype that it has in PyTorch") {
  std::set<std::string> seen;
  for (const Listed& row : listed()) {
    INFO(row.op);
    seen.insert(row.op);
    const Autocast guard({.dtype = bfloat16});
    CHECK(row.call(float32).dtype() == row.of_float32);
    CHECK(row.call(bfloat16).dtype() == row.of_bfloat16);
  }
  for (const CastRule& rule : kCastRules) CHECK_MESSAGE(seen.contains(std::string(rule.op)), rule.op);
}

TEST_CASE("autocast: float64 and integers stay, and so does what is written in place") {
  const Autocast guard;
  const Tensor x = ones({2, 2}, {.dtype = float64});
  CHECK(matmul(x, x).dtype() == float64);
  CHECK(exp(x).dtype() == float64);
  CHECK(sum(arange(3)).dtype() == int64);
  Tensor half = ones({2}, {.dtype = bfloat16});
  half.exp_();
  CHECK(half.dtype() == bfloat16);
}

TEST_CASE("autocast: guards nest, and none is left behind") {
  const Tensor x = ones({2, 2});
  CHECK_FALSE(autocast_enabled());
  CHECK_THROWS_WITH_AS(autocast_dtype(),
                       "autocast_dtype: no Autocast guard is enabled in this thread; make one", Error);
  {
    const Autocast outer({.dtype = bfloat16});
    {
      const Autocast inner({.dtype = float16});
      CHECK(autocast_dtype() == float16);
      CHECK(matmul(x, x).dtype() == float16);
    }
    {
      const Autocast off({.enabled = false});
      CHECK_FALSE(autocast_enabled());
      CHECK(matmul(x, x).dtype() == float32);
    }
    CHECK(matmul(x, x).dtype() == bfloat16);
  }
  CHECK(matmul(x, x).dtype() == float32);
  CHECK_THROWS_WITH_AS(Autocast({.dtype = float32}), "Autocast: got float32; it must be float16 or bfloat16",
                       Error);
}

TEST_CASE("autocast: the mode is the thread's, and goes with its state") {
  const Autocast guard;
  const ThreadState state;
  bool alone = true, handed_on = false;
  std::thread([&] {
    alone = autocast_enabled();
    const ThreadStateScope scope(state);
    handed_on = autocast_enabled();
  }).join();
  CHECK_FALSE(alone);
  CHECK(handed_on);
}

TEST_CASE("autocast: a parameter is converted once, until it is written or a backward has run") {
  Tensor weight = ones({2, 2}).requires_grad_();
  const Tensor x = ones({1, 2});
  const Autocast guard;
  const auto cast = [&] { return autocast_to(bfloat16, *autocast_mode(), weight); };
  const Tensor first = cast();
  CHECK(cast().is_same(first));
  {
    const Autocast inner;
    CHECK(cast().is_same(first));
    const NoGradGuard no_grad;
    CHECK_FALSE(cast().requires_grad());
  }
  {
    const NoGradGuard no_grad;
    weight.mul_(2);
  }
  const Tensor second = cast();
  CHECK_FALSE(second.is_same(first));
  CHECK(equal(second.detach(), full({2, 2}, 2, {.dtype = bfloat16})));
  sum(linear(x, weight)).backward();
  sum(linear(x, weight)).backward();  // by a conversion of its own: the first walk has used the other up
  CHECK(equal(weight.grad(), full({2, 2}, 2.0f)));
  CHECK_FALSE(cast().is_same(second));
}

TEST_CASE(
    "autocast: gradients have the dtype of the leaf, inside the guard and outside, and so have theirs") {
  manual_seed(3);
  Tensor x = randn({4, 3}).requires_grad_(), weight = randn({2, 3}).requires_grad_();
  Tensor loss;
  {
    const Autocast guard;
    const Tensor y = linear(x, weight);
    CHECK(y.dtype() == bfloat16);
    loss = sum(square(softmax(y, 1)));
  }
  CHECK(loss.dtype() == float32);
  const std::vector<Tensor> g = autograd::grad({loss}, {x, weight}, {.create_graph = true});
  CHECK(g[0].dtype() == float32);
  CHECK(g[1].dtype() == float32);
  const std::vector<Tensor> second = autograd::grad({sum(square(g[1]))}, {x, weight});
  CHECK(second[0].dtype() == float32);
  const Tensor exact = sum(square(softmax(linear(x, weight), 1)));
  const std::vector<Tensor> expected = autograd::grad({exact}, {x, weight});
  CHECK(amax(abs(g[0].detach() - expected[0])).item() < 0.03);
}

TEST_CASE("autocast: a classifier learns in bfloat16 as in float32") {
  const auto accuracy_in = [](bool enabled) {
    manual_seed(7);
    const Tensor images = randn({256, 16}), wanted = argmax(images.narrow(1, 0, 4), 1);
    nn::Linear first(16, 32), second(32, 4);
    optim::Adam optimizer({first.weight, first.bias, second.weight, second.bias}, {.lr = 1e-2});
    Tensor logits;
    for (int step = 0; step < 60; ++step) {
      Tensor loss;
      {
        const Autocast guard({.enabled = enabled});
        logits = second(relu(first(images)));
        CHECK(logits.dtype() == (enabled ? bfloat16 : float32));
        loss = cross_entropy(logits, wanted);
      }
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    return accuracy(logits.detach(), wanted).item();
  };
  const double in_float32 = accuracy_in(false), in_bfloat16 = accuracy_in(true);
  CHECK(in_float32 > 0.9);
  CHECK(in_bfloat16 > in_float32 - 0.02);
}

TEST_CASE("autocast: replicas compute in the mode of the caller, and their gradients are float32") {
  manual_seed(5);
  DataParallel model{nn::Linear{3, 2}, {.devices = {Device::cpu(), Device::cpu()}}};
  const Tensor x = randn({4, 3});
  Tensor y;
  {
    const Autocast guard;
    y = model(x);
  }
  CHECK(y.dtype() == bfloat16);
  y.sum().backward();
  for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad().dtype() == float32);
}

TEST_CASE("half: a graph keeps 16-bit elements, not the float32 ones that ops compute in") {
  const Tensor x = randn({64, 1024}, {.dtype = bfloat16}).requires_grad_();
  const Tensor weight = randn({16, 1024}, {.dtype = bfloat16}).requires_grad_();
  const std::int64_t before = memory_stats().used;
  const Tensor y = linear(x, weight);
  CHECK(memory_stats().used - before < 64 * 1024 * 2);  // the result, and nothing of x
  const Tensor z = layer_norm(x, {1024});
  CHECK(memory_stats().used - before < 64 * 1024 * 2 + 16 * 1024);
  {
    const NoGradGuard no_grad;
    Tensor written = x;
    written.mul_(2);
  }
  CHECK_THROWS_AS(sum(z).backward(), Error);
}

}  // namespace
}  // namespace miniparallel::testing
