#include "tests/benchmarks/benchmark.h"

// Reductions, products, softmax, losses, attention and indexing at shapes that training meets; forward, and
// forward with backward.

using namespace miniparallel;
using benchmarks::here;

namespace {

/// Times `function(x)`, which returns a tensor; `backward` adds its gradient to the work.
template <class Function>
void run(benchmark::State& state, Tensor x, bool backward, Function function) {
  if (backward) x.requires_grad_();
  benchmarks::measure(state, [&] {
    Tensor y = function(x);
    if (backward) {
      y.backward(ones_like(y));
      x.set_grad({});
    }
    benchmark::DoNotOptimize(y);
  });
}

void sum_all(benchmark::State& state) {
  run(state, randn({10'000'000}, here), false, [](const Tensor& x) { return sum(x); });
}
void sum_rows(benchmark::State& state) {
  run(state, randn({4096, 1024}, here), false, [](const Tensor& x) { return sum(x, {1}); });
}
void sum_columns(benchmark::State& state) {
  run(state, randn({4096, 1024}, here), false, [](const Tensor& x) { return sum(x, {0}); });
}
void linear_step(benchmark::State& state) {
  Tensor w = randn({512, 784}, here), bias = randn({512}, here);
  w.requires_grad_();
  bias.requires_grad_();
  run(state, randn({state.range(0), 784}, here), true, [&](const Tensor& x) {
    w.set_grad({});
    bias.set_grad({});
    return linear(x, w, bias);
  });
}
void matmul_batch(benchmark::State& state) {
  const Tensor b = randn({32, 64, 128}, here);
  run(state, randn({32, 128, 64}, here), false, [&](const Tensor& x) { return matmul(x, b); });
}
void softmax_step(benchmark::State& state) {
  run(state, randn({4096, state.range(0)}, here), true, [](const Tensor& x) { return softmax(x, 1); });
}
void cross_entropy_step(benchmark::State& state) {
  const Tensor target = randint(0, state.range(0), {1024}, here);
  run(state, randn({1024, state.range(0)}, here), true,
      [&](const Tensor& x) { return cross_entropy(x, target); });
}
void attention_step(benchmark::State& state) {
  run(state, randn({8, 4, 128, 64}, here), true,
      [](const Tensor& x) { return scaled_dot_product_attention(x, x, x, {}, {.causal = true}); });
}
void embedding_step(benchmark::State& state) {
  const Tensor index = randint(0, 1000, {32, 128}, here);
  run(state, randn({1000, 256}, here), true, [&](const Tensor& x) { return embedding(x, index); });
}

BENCHMARK(sum_all)->UseRealTime();
BENCHMARK(sum_rows)->UseRealTime();
BENCHMARK(sum_columns)->UseRealTime();
BENCHMARK(linear_step)->Arg(32)->Arg(128)->Arg(1024)->UseRealTime();
BENCHMARK(matmul_batch)->UseRealTime();
BENCHMARK(softmax_step)->Arg(10)->Arg(1000)->UseRealTime();
BENCHMARK(cross_entropy_step)->Arg(10)->Arg(1000)->UseRealTime();
BENCHMARK(attention_step)->UseRealTime();
BENCHMARK(embedding_step)->UseRealTime();

}  // namespace
