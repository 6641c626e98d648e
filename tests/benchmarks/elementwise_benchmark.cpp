#include "tests/benchmarks/benchmark.h"

// What only moves numbers: elementwise ops, copies and an optimizer's step, over tensors that no cache holds.

using namespace miniparallel;
using benchmarks::here;

namespace {

/// Times `function()`, which returns a tensor. `arrays` arrays of `kMany` floats are read or written by it.
template <class Function>
void run(benchmark::State& state, double arrays, Function function) {
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(function()); });
  const double gigabytes = 1e-9 * arrays * sizeof(float) * (std::int64_t{64} << 20);
  state.counters["GB/s"] = benchmark::Counter(gigabytes, benchmark::Counter::kIsIterationInvariantRate);
}

Tensor many() { return randn({65536, 1024}, here); }

void add(benchmark::State& state) {
  const Tensor x = many(), y = many();
  run(state, 3, [&] { return x + y; });
}
void add_row(benchmark::State& state) {
  const Tensor x = many(), y = randn({1024}, here);
  run(state, 2, [&] { return x + y; });
}
void add_column(benchmark::State& state) {
  const Tensor x = many(), y = randn({65536, 1}, here);
  run(state, 2, [&] { return x + y; });
}
/// Many short rows.
Tensor rows_of(std::int64_t width) { return randn({1'000'000, width}, here); }

void add_row_short(benchmark::State& state) {
  const Tensor x = rows_of(state.range(0)), y = randn({state.range(0)}, here);
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(x + y); });
}
void add_column_short(benchmark::State& state) {
  const Tensor x = rows_of(state.range(0)), y = randn({1'000'000, 1}, here);
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(x + y); });
}
void copy_short(benchmark::State& state) {
  const Tensor x = randn({state.range(0), 1'000'000}, here).t();
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(x.contiguous()); });
}
void join_many(benchmark::State& state) {
  std::vector<Tensor> tensors;
  for (int i = 0; i < 2000; ++i) tensors.push_back(randn({10, 10}, here));
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(cat(tensors)); });
}
void stack_many(benchmark::State& state) {
  std::vector<Tensor> tensors;
  for (int i = 0; i < 2000; ++i) tensors.push_back(randn({10, 10}, here));
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(stack(tensors)); });
}
/// x to the power of an exponent in halves.
void pow_halves(benchmark::State& state) {
  const Tensor x = rand({1'000'000}, here) + 0.5;
  const double exponent = static_cast<double>(state.range(0)) / 2;
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(pow(x, exponent)); });
}
void exp_float64(benchmark::State& state) {
  const Tensor x = randn({1'000'000}, {.dtype = float64, .device = here.device});
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(exp(x)); });
}
void to_float16(benchmark::State& state) {
  const Tensor x = randn({1'000'000}, here);
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(x.to(float16)); });
}
void from_float16(benchmark::State& state) {
  const Tensor x = randn({1'000'000}, here).to(float16);
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(x.to(float32)); });
}
void scale_in_place(benchmark::State& state) {
  Tensor x = many();
  run(state, 2, [&] { return x *= 1.0001; });
}
void gelu_forward(benchmark::State& state) {
  const Tensor x = many();
  run(state, 2, [&] { return gelu(x); });
}
void gelu_backward(benchmark::State& state) {
  Tensor x = many();
  x.requires_grad_();
  const Tensor y = gelu(x);
  const std::vector<Tensor> gradients{many()};
  run(state, 3,
      [&] { return autograd::grad({y}, {x}, {.gradients = gradients, .retain_graph = true}).front(); });
}
void copy_transposed(benchmark::State& state) {
  const Tensor x = many();
  run(state, 2, [&] { return x.transpose(0, 1).contiguous(); });
}
void copy_heads(benchmark::State& state) {
  const Tensor x = many().view({512, 128, 16, 64});
  run(state, 2, [&] { return x.transpose(1, 2).contiguous(); });
}
void join(benchmark::State& state) {
  const Tensor x = many().narrow(1, 0, 512).contiguous(), y = randn({65536, 512}, here);
  run(state, 2, [&] { return cat({x, y}, 1); });
}
void adam(benchmark::State& state) {
  std::vector<Tensor> weights;
  for (int i = 0; i < 64; ++i) {
    weights.push_back(randn({1024, 1024}, {.device = here.device, .requires_grad = true}));
    weights.back().set_grad(randn({1024, 1024}, here));
  }
  optim::Adam optimizer(weights, {.lr = 1e-3});
  run(state, 7, [&] {
    optimizer.step();
    return weights.front();
  });
}

BENCHMARK(add)->UseRealTime();
BENCHMARK(add_row)->UseRealTime();
BENCHMARK(add_column)->UseRealTime();
BENCHMARK(add_row_short)->Arg(2)->Arg(3)->Arg(4)->UseRealTime();
BENCHMARK(add_column_short)->Arg(2)->Arg(3)->Arg(4)->UseRealTime();
BENCHMARK(copy_short)->Arg(2)->Arg(3)->Arg(4)->UseRealTime();
BENCHMARK(join_many)->UseRealTime();
BENCHMARK(stack_many)->UseRealTime();
BENCHMARK(pow_halves)->Arg(6)->Arg(8)->Arg(-2)->Arg(-4)->Arg(-1)->Arg(3)->Arg(5)->Arg(20)->UseRealTime();
BENCHMARK(exp_float64)->UseRealTime();
BENCHMARK(to_float16)->UseRealTime();
BENCHMARK(from_float16)->UseRealTime();
BENCHMARK(scale_in_place)->UseRealTime();
BENCHMARK(gelu_forward)->UseRealTime();
BENCHMARK(gelu_backward)->UseRealTime();
BENCHMARK(copy_transposed)->UseRealTime();
BENCHMARK(copy_heads)->UseRealTime();
BENCHMARK(join)->UseRealTime();
BENCHMARK(adam)->UseRealTime();

}  // namespace
