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
/// Many short rows, along each dim.
void sum_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), false,
      [&](const Tensor& x) { return sum(x, state.range(1)); });
}
void amax_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), false,
      [&](const Tensor& x) { return amax(x, state.range(1)); });
}
void argmax_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), false,
      [&](const Tensor& x) { return argmax(x, static_cast<int>(state.range(1))); });
}
void var_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), false,
      [&](const Tensor& x) { return var(x, state.range(1)); });
}
void softmax_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), true,
      [&](const Tensor& x) { return softmax(x, static_cast<int>(state.range(1))); });
}
void softmax_inner(benchmark::State& state) {
  run(state, randn({1000, 64, state.range(0)}, here), true, [](const Tensor& x) { return softmax(x, 1); });
}
void layer_norm_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), true,
      [&](const Tensor& x) { return layer_norm(x, {state.range(0)}); });
}
void batch_norm_short(benchmark::State& state) {
  run(state, randn({1'000'000, state.range(0)}, here), true,
      [](const Tensor& x) { return batch_norm(x, {}, {}, {}, {}, {.training = true}); });
}
void index_select_inner(benchmark::State& state) {
  const Tensor index = randint(0, 1000, {1000}, here);
  run(state, randn({1000, 1000}, here), state.range(0) != 0,
      [&](const Tensor& x) { return index_select(x, 1, index); });
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
#define EACH_SHORT ArgsProduct({{2, 3, 4}, {1, 0}})->UseRealTime()
BENCHMARK(sum_short)->EACH_SHORT;
BENCHMARK(amax_short)->EACH_SHORT;
BENCHMARK(argmax_short)->EACH_SHORT;
BENCHMARK(var_short)->EACH_SHORT;
BENCHMARK(softmax_short)->EACH_SHORT;
BENCHMARK(softmax_inner)->Arg(16)->Arg(32)->UseRealTime();
BENCHMARK(layer_norm_short)->Arg(2)->Arg(3)->Arg(4)->Arg(8)->UseRealTime();
BENCHMARK(batch_norm_short)->Arg(2)->Arg(3)->Arg(4)->UseRealTime();
BENCHMARK(index_select_inner)->Arg(0)->Arg(1)->UseRealTime();
BENCHMARK(linear_step)->Arg(32)->Arg(128)->Arg(1024)->UseRealTime();
BENCHMARK(matmul_batch)->UseRealTime();
BENCHMARK(softmax_step)->Arg(10)->Arg(1000)->UseRealTime();
BENCHMARK(cross_entropy_step)->Arg(10)->Arg(1000)->UseRealTime();
BENCHMARK(attention_step)->UseRealTime();
BENCHMARK(embedding_step)->UseRealTime();

}  // namespace
