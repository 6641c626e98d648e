#include <miniparallel/miniparallel.h>

#include "examples/models/gpt2.h"
#include "examples/models/resnet.h"
#include "examples/option_checks.h"
#include "examples/precision.h"
#include "tests/benchmarks/device_option.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

// Training steps of models of a usual size, one JSON object per model and batch:
//
//   big_models [--device cuda] [--precision bf16] [--capture] [--batch 8] [--steps 20] [--tiny] [MODEL ...]
//
// ResNet-18 and ResNet-50 for 1000 classes of images of 224 x 224 with SGD, momentum and weight decay, and
// GPT-2 with 124 million parameters on texts of 1024 tokens with AdamW. Inputs are random and stay in the
// device's memory. median_ms is that of a whole step to its end, peak_gib the most that tensors held of the
// device's memory. With --tiny, images of 32 x 32 and a small GPT-2 show that it runs.

using namespace miniparallel;

namespace {

struct Options {
  std::vector<std::string> models = {"resnet18", "resnet50", "gpt2"};
  std::vector<std::int64_t> batches;  // empty: as many as suit the model
  int steps = 20;
  std::string precision = "float32";
  bool capture = false, tiny = false;
  Device device;
};

double median_ms(std::vector<double> seconds) {
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return 1e3 * *middle;
}

/// A line of the output. The model's logits are brought to (rows, classes).
template <class Model, class Optimizer>
void measure(const std::string& name, Model& model, Optimizer& optimizer, const Tensor& x, const Tensor& y,
             const Options& options) {
  Precision precision(options.precision);
  const auto plain = [&](const Tensor& inputs, const Tensor& classes) {
    Tensor loss;
    {
      const Autocast guard(precision.autocast);
      loss = cross_entropy(model(inputs).flatten(0, -2), classes);
    }
    precision.scaler.scale(loss).backward();
    precision.scaler.step(optimizer);
    precision.scaler.update();
    optimizer.zero_grad();
  };
  auto captured = capture(plain);
  const auto step = [&] {
    options.capture ? captured(x, y) : plain(x, y);
    synchronize(options.device);
  };
  reset_peak_memory(options.device);
  for (int i = 0; i < 4; ++i) step();
  std::vector<double> seconds;
  for (int i = 0; i < options.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step();
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::printf(
      "{\"workload\": \"%s\", \"batch\": %lld, \"device\": \"%s\", \"precision\": \"%s\", \"capture\": %s, "
      "\"median_ms\": %.3f, \"steps\": %d, \"peak_gib\": %.3f}\n",
      name.c_str(), static_cast<long long>(x.size(0)), to_string(options.device).c_str(),
      options.precision.c_str(), options.capture ? "true" : "false", median_ms(std::move(seconds)),
      options.steps, static_cast<double>(memory_stats(options.device).peak) / (1 << 30));
  std::fflush(stdout);
}

template <class Model>
void measure_resnet(const std::string& name, Model (*make)(), const Options& options) {
  const std::vector<std::int64_t> usual =
      options.tiny ? std::vector<std::int64_t>{2} : std::vector<std::int64_t>{32, 128};
  for (const std::int64_t n : options.batches.empty() ? usual : options.batches) {
    Model model = make();
    to(model, options.device);
    optim::SGD optimizer(parameters(model), {.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4});
    const std::int64_t side = options.tiny ? 32 : 224;
    measure(name, model, optimizer, randn({n, 3, side, side}, {.device = options.device}),
            randint(0, 1000, {n}, {.device = options.device}), options);
  }
}

void measure_gpt2(const Options& options) {
  // Its vocabulary, 50257, as a multiple of 64: a product with another number of columns is slower.
  const huggingface::Gpt2Sizes sizes =
      options.tiny
          ? huggingface::Gpt2Sizes{.vocabulary = 64, .places = 16, .width = 32, .layers = 2, .heads = 2}
          : huggingface::Gpt2Sizes{.vocabulary = 50304};
  const std::vector<std::int64_t> usual =
      options.tiny ? std::vector<std::int64_t>{1} : std::vector<std::int64_t>{1, 4, 8};
  for (const std::int64_t n : options.batches.empty() ? usual : options.batches) {
    huggingface::Gpt2 model(sizes);
    to(model, options.device);
    optim::AdamW optimizer(parameters(model), {.lr = 1e-4});
    const auto tokens = [&](const Shape& shape) {
      return randint(0, sizes.vocabulary, shape, {.device = options.device});
    };
    measure("gpt2", model, optimizer, tokens({n, sizes.places}), tokens({n * sizes.places}), options);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app("Training steps of models of a usual size, one JSON object per model and batch");
  app.add_option("models", options.models, "resnet18, resnet50, gpt2 [all]")
      ->check(CLI::IsMember({"resnet18", "resnet50", "gpt2"}));
  app.add_option("--batch", options.batches, "images or texts per step [ResNets 32,128; GPT-2 1,4,8]")
      ->delimiter(',')
      ->check(above_zero());
  app.add_option("--steps", options.steps, "of which the median is told")
      ->capture_default_str()
      ->check(above_zero());
  app.add_option("--precision", options.precision, "float32, tf32, bf16 or fp16")
      ->capture_default_str()
      ->check(a_precision());
  app.add_flag("--capture", options.capture, "run a step as one CUDA graph");
  app.add_flag("--tiny", options.tiny, "small sizes, to see that it runs");
  benchmarks::add_device_option(app, options.device);
  CLI11_PARSE(app, argc, argv);
  manual_seed(1);
  for (const std::string& model : options.models) {
    if (model == "resnet18") measure_resnet(model, torchvision::resnet18, options);
    if (model == "resnet50") measure_resnet(model, torchvision::resnet50, options);
    if (model == "gpt2") measure_gpt2(options);
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "big_models: %s\n", error.what());
  return 1;
}
