#include "tests/benchmarks/benchmark.h"

// Convolution, pooling, normalisation and random numbers at shapes that training meets; `forward` alone and
// the gradients alone (`backward`, from a graph that is kept).

using namespace miniparallel;
using benchmarks::here;

namespace {

template <class Function>
void forward(benchmark::State& state, const Tensor& x, const Function& function) {
  const NoGradGuard guard;
  benchmarks::measure(state, [&] { benchmark::DoNotOptimize(function(x)); });
}

TensorOptions learned() { return {.device = here.device, .requires_grad = true}; }

/// The gradients of `inputs`.
void backward(benchmark::State& state, const Tensor& y, const std::vector<Tensor>& inputs) {
  const std::vector<Tensor> gradients{randn(y.shape(), here)};
  benchmarks::measure(state, [&] {
    benchmark::DoNotOptimize(autograd::grad({y}, inputs, {.gradients = gradients, .retain_graph = true}));
  });
}

// --- convolution: {n, in, size, out, kernel, stride, padding, groups}

struct Convolution {
  Tensor x, weight, bias;
  Conv2dOptions options;

  explicit Convolution(const benchmark::State& state)
      : x(randn({state.range(0), state.range(1), state.range(2), state.range(2)}, here)),
        weight(
            randn({state.range(3), state.range(1) / state.range(7), state.range(4), state.range(4)}, here)),
        bias(randn({state.range(3)}, here)),
        options{.stride = state.range(5), .padding = state.range(6), .groups = state.range(7)} {
    for (Tensor* tensor : {&x, &weight, &bias}) tensor->requires_grad_();
  }
  Tensor operator()(const Tensor& input) const { return conv2d(input, weight, bias, options); }
  /// GFLOP of the forward, which each of the two gradients costs again.
  double gflop(const Tensor& y) const {
    return 2e-9 * static_cast<double>(y.numel() * weight.numel() / weight.size(0));
  }
};

void report(benchmark::State& state, double gflop) {
  state.counters["GFLOP/s"] = benchmark::Counter(gflop, benchmark::Counter::kIsIterationInvariantRate);
}

void conv2d_forward(benchmark::State& state) {
  const Convolution convolution(state);
  forward(state, convolution.x, convolution);
  report(state, convolution.gflop(convolution(convolution.x)));
}
void conv2d_data_gradient(benchmark::State& state) {
  const Convolution convolution(state);
  const Tensor y = convolution(convolution.x);
  backward(state, y, {convolution.x});
  report(state, convolution.gflop(y));
}
void conv2d_weight_gradient(benchmark::State& state) {
  const Convolution convolution(state);
  const Tensor y = convolution(convolution.x);
  backward(state, y, {convolution.weight, convolution.bias});
  report(state, convolution.gflop(y));
}
void convolutions(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMillisecond)->UseRealTime();
  b->Args({64, 1, 28, 32, 3, 1, 0, 1});    // examples/mnist
  b->Args({64, 32, 26, 64, 3, 1, 0, 1});   // examples/mnist
  b->Args({8, 64, 56, 64, 3, 1, 1, 1});    // a residual block
  b->Args({16, 64, 28, 128, 3, 2, 1, 1});  // a block that halves the image
  b->Args({16, 256, 14, 64, 1, 1, 0, 1});  // pointwise
  b->Args({8, 64, 56, 64, 3, 1, 1, 64});   // depthwise
}
BENCHMARK(conv2d_forward)->Apply(convolutions);
BENCHMARK(conv2d_data_gradient)->Apply(convolutions);
BENCHMARK(conv2d_weight_gradient)->Apply(convolutions);

// --- pooling and normalisation of images, and random numbers

void max_pool_forward(benchmark::State& state) {
  forward(state, randn({64, 64, 24, 24}, here), [](const Tensor& x) { return max_pool2d(x, 2); });
}
void max_pool_backward(benchmark::State& state) {
  const Tensor x = randn({64, 64, 24, 24}, learned());
  backward(state, max_pool2d(x, 2), {x});
}
void avg_pool_forward(benchmark::State& state) {
  forward(state, randn({64, 64, 24, 24}, here), [](const Tensor& x) { return avg_pool2d(x, 2); });
}
void global_pool_forward(benchmark::State& state) {
  forward(state, randn({64, 64, 56, 56}, here), [](const Tensor& x) { return adaptive_avg_pool2d(x, 1); });
}

struct BatchNormalisation {
  Tensor x = randn({64, 64, 56, 56}, learned());
  Tensor weight = ones({64}, learned()), bias = zeros({64}, learned());

  Tensor operator()(const Tensor& input) const {
    return batch_norm(input, weight, bias, {}, {}, {.training = true});
  }
};
void batch_norm_forward(benchmark::State& state) {
  const BatchNormalisation norm;
  forward(state, norm.x, norm);
}
void batch_norm_backward(benchmark::State& state) {
  const BatchNormalisation norm;
  backward(state, norm(norm.x), {norm.x, norm.weight, norm.bias});
}

struct LayerNormalisation {
  Tensor x = randn({16384, 1024}, learned());
  Tensor weight = ones({1024}, learned()), bias = zeros({1024}, learned());

  Tensor operator()(const Tensor& input) const { return layer_norm(input, {1024}, weight, bias); }
};
void layer_norm_forward(benchmark::State& state) {
  const LayerNormalisation norm;
  forward(state, norm.x, norm);
}
void layer_norm_backward(benchmark::State& state) {
  const LayerNormalisation norm;
  backward(state, norm(norm.x), {norm.x, norm.weight, norm.bias});
}

constexpr std::int64_t kMany = 16 << 20;

void dropout_forward(benchmark::State& state) {
  forward(state, ones({kMany}, here), [](const Tensor& x) { return dropout(x, 0.5); });
}
void dropout_backward(benchmark::State& state) {
  const Tensor x = ones({kMany}, learned());
  backward(state, dropout(x, 0.5), {x});
}
void draw_uniform(benchmark::State& state) {
  forward(state, empty({kMany}, here), [](Tensor x) { return rand(x.shape(), here); });
}
void draw_normal(benchmark::State& state) {
  forward(state, empty({kMany}, here), [](Tensor x) { return randn(x.shape(), here); });
}

void in_milliseconds(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMillisecond)->UseRealTime(); }
BENCHMARK(max_pool_forward)->Apply(in_milliseconds);
BENCHMARK(max_pool_backward)->Apply(in_milliseconds);
BENCHMARK(avg_pool_forward)->Apply(in_milliseconds);
BENCHMARK(global_pool_forward)->Apply(in_milliseconds);
BENCHMARK(batch_norm_forward)->Apply(in_milliseconds);
BENCHMARK(batch_norm_backward)->Apply(in_milliseconds);
BENCHMARK(layer_norm_forward)->Apply(in_milliseconds);
BENCHMARK(layer_norm_backward)->Apply(in_milliseconds);
BENCHMARK(dropout_forward)->Apply(in_milliseconds);
BENCHMARK(dropout_backward)->Apply(in_milliseconds);
BENCHMARK(draw_uniform)->Apply(in_milliseconds);
BENCHMARK(draw_normal)->Apply(in_milliseconds);

}  // namespace
