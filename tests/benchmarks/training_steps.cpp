#include <miniparallel/miniparallel.h>

#include "examples/cifar/model.h"
#include "tests/benchmarks/device_option.h"

#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

// Whole training steps (zero_grad, forward, loss, backward, step), one JSON object per workload:
//
//   training_steps [--device cuda] [--capture] [--replicas 8] [--seconds 1.5] [PREFIX]
//
// W1 is an MLP 784-512-256-10 with Adam, W2 the CNN of examples/mnist with SGD and momentum, W3 a language
// model like examples/char_gpt (4 blocks, 256 wide, 4 heads, 128 places) with AdamW, W4 the ResNet of
// examples/cifar, of 8 and of 20 layers, with SGD and momentum, W5 an LSTM 128-256 over 64 steps with Adam.
// Inputs are random and stay in memory; a figure is the median of a warmed-up loop. Compare only with a
// program timed in the same run: training_steps_torch.py does the same by PyTorch. With replicas, a
// DataParallel has so many on the device.

using namespace miniparallel;
using Clock = std::chrono::steady_clock;

namespace {

constexpr nn::LinearOptions kRelu{.activation = Activation::relu};

struct Mlp {
  nn::Linear fc1{784, 512, kRelu}, fc2{512, 256, kRelu}, fc3{256, 10};
  Tensor operator()(const Tensor& x) { return fc3(fc2(fc1(x))); }
};

struct Cnn {
  nn::Conv2d conv1{1, 32, 3}, conv2{32, 64, 3};
  nn::Dropout drop1{0.25}, drop2{0.5};
  nn::Linear fc1{9216, 128, kRelu}, fc2{128, 10};
  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(conv2(relu(conv1(x)))), 2);
    return fc2(drop2(fc1(drop1(x).flatten(1))));
  }
};

struct Block {
  nn::LayerNorm norm1{256};
  nn::MultiheadAttention attention{256, 4};
  nn::LayerNorm norm2{256};
  nn::Linear up{256, 1024, {.activation = Activation::gelu_tanh}}, down{1024, 256};
  Tensor operator()(Tensor x) {
    x = x + attention(norm1(x), {.causal = true});
    return x + down(up(norm2(x)));
  }
};

struct Gpt {
  static constexpr std::int64_t kVocabulary = 128, kPlaces = 128;
  nn::Embedding token{kVocabulary, 256}, position{kPlaces, 256};
  nn::Buffer places{arange(kPlaces)};
  std::array<Block, 4> blocks;
  nn::LayerNorm norm{256};
  nn::Linear head{256, kVocabulary};
  Tensor operator()(const Tensor& tokens) {
    Tensor x = token(tokens) + position(places);
    for (Block& block : blocks) x = block(x);
    return head(norm(x)).flatten(0, 1);
  }
};

struct Recurrent {
  nn::LSTM lstm{128, 256, {.batch_first = true}};
  nn::Linear head{256, 10};
  Tensor operator()(const Tensor& x) { return head(lstm(x).first.select(1, -1)); }
};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Of the process's memory, so far.
double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

struct Run {
  Device device;
  int replicas = 0;  // 0: the bare model
  bool capture = false;
  double seconds = 1.5;
};

template <class Model, class Optimizer>
void measure_steps(const char* workload, Model& model, Optimizer& optimizer, const Tensor& x, const Tensor& y,
                   const Run& run) {
  const auto plain = [&](const Tensor& inputs, const Tensor& classes) {
    optimizer.zero_grad();
    cross_entropy(model(inputs), classes).backward();
    optimizer.step();
  };
  auto captured = capture(plain);
  const auto step = [&] {
    run.capture ? captured(x, y) : plain(x, y);
    synchronize(run.device);
  };
  for (int i = 0; i < 5; ++i) step();
  std::vector<double> times;
  for (const auto start = Clock::now(); seconds_since(start) < run.seconds || times.size() < 5;) {
    const auto before = Clock::now();
    step();
    times.push_back(seconds_since(before));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  std::printf(
      "{\"workload\": \"%s\", \"batch\": %lld, \"device\": \"%s\", \"threads\": %d, \"replicas\": %d, "
      "\"nodes\": %lld, "
      "\"median_ms\": %.3f, \"steps_per_second\": %.1f, \"steps\": %zu, \"peak_mb\": %.0f}\n",
      workload, static_cast<long long>(x.size(0)), to_string(run.device).c_str(), num_threads(), run.replicas,
      static_cast<long long>(captured.counters().nodes), times[times.size() / 2] * 1e3,
      1 / times[times.size() / 2], times.size(), peak_megabytes());
  std::fflush(stdout);
}

template <class Model, class Optimizer>
void measure(const char* workload, Model& model, Optimizer& optimizer, const Tensor& x, const Tensor& y,
             const Run& run) {
  if (run.replicas == 0) return measure_steps(workload, model, optimizer, x, y, run);
  DataParallel wrapped{model, {.devices = {run.device}, .replicas = run.replicas}};
  measure_steps(workload, wrapped, optimizer, x, y, run);
}

}  // namespace

int main(int argc, char** argv) try {
  std::string only;
  Run run;
  CLI::App app("Whole training steps, one JSON object per workload");
  app.add_option("prefix", only, "which workloads");
  app.add_option("--seconds", run.seconds, "how long each is measured")->capture_default_str();
  app.add_option("--replicas", run.replicas, "of a DataParallel on the device; 0: the bare model")
      ->capture_default_str();
  app.add_flag("--capture", run.capture, "run a step as one CUDA graph, of \"nodes\"");
  benchmarks::add_device_option(app, run.device);
  CLI11_PARSE(app, argc, argv);
  const Device device = run.device;
  const auto wanted = [&](const char* name) { return std::string(name).starts_with(only); };
  const auto labels = [&](std::int64_t n) { return randint(0, 10, {n}, {.device = device}); };
  manual_seed(1);
  if (wanted("W1"))
    for (const std::int64_t n : {32, 128, 1024}) {
      Mlp model;
      to(model, device);
      optim::Adam optimizer(parameters(model), {.lr = 1e-3});
      measure("W1 mlp", model, optimizer, randn({n, 784}, {.device = device}), labels(n), run);
    }
  if (wanted("W2"))
    for (const std::int64_t n : {32, 64, 256, 1024}) {
      Cnn model;
      to(model, device);
      optim::SGD optimizer(parameters(model), {.lr = 0.01, .momentum = 0.9});
      measure("W2 cnn", model, optimizer, randn({n, 1, 28, 28}, {.device = device}), labels(n), run);
    }
  if (wanted("W3"))
    for (const std::int64_t n : {8, 32, 128}) {
      Gpt model;
      to(model, device);
      optim::AdamW optimizer(parameters(model), {.lr = 1e-3});
      const auto tokens = [&](Shape shape) {
        return randint(0, Gpt::kVocabulary, std::move(shape), {.device = device});
      };
      measure("W3 gpt", model, optimizer, tokens({n, Gpt::kPlaces}), tokens({n * Gpt::kPlaces}), run);
    }
  if (wanted("W4"))
    for (const int layers : {8, 20}) {
      cifar::ResNet model((layers - 2) / 6);
      to(model, device);
      optim::SGD optimizer(parameters(model), {.lr = 0.01, .momentum = 0.9});
      measure(layers == 8 ? "W4 resnet-8" : "W4 resnet-20", model, optimizer,
              randn({128, 3, 32, 32}, {.device = device}), labels(128), run);
    }
  if (wanted("W5")) {
    Recurrent model;
    to(model, device);
    optim::Adam optimizer(parameters(model), {.lr = 1e-3});
    measure("W5 lstm", model, optimizer, randn({64, 64, 128}, {.device = device}), labels(64), run);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "training_steps: %s\n", error.what());
  return 1;
}
