// Trains a ResNet-20 on CIFAR-10, or on a set in its form.
//
//   cifar cifar-10-batches-bin --epochs 100 --precision bf16
//
// The folder holds the files of https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz;
// cifar_shapes makes a small set that looks like it.

#include <miniparallel/miniparallel.h>

#include "../gpus_option.h"
#include "../option_checks.h"
#include "../precision.h"
#include "model.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>

using namespace miniparallel;

struct Options {
  std::string folder, precision = "float32", save;
  int epochs = 100, workers = recommended_num_workers();
  std::int64_t batch_size = 128;
  double lr = 0.1;
  std::optional<int> gpus;
  std::uint64_t seed = 1;
};

void add_options(CLI::App& app, Options& options) {
  const auto add = [&app](const char* name, auto& value, const char* help) {
    return app.add_option(name, value, help)->capture_default_str();
  };
  app.add_option("folder", options.folder, "data_batch_1.bin to data_batch_5.bin, and test_batch.bin")
      ->required();
  add("--epochs", options.epochs, "passes over the training images")->check(from_zero_on());
  add("--batch-size", options.batch_size, "images per step")->check(above_zero());
  add("--lr", options.lr, "learning rate at the start; it falls to 0 along a cosine")->check(above_zero());
  add("--precision", options.precision, "float32, tf32, bf16 or fp16")->check(a_precision());
  add("--workers", options.workers, "threads that prepare batches; 0: none")->check(from_zero_on());
  add("--seed", options.seed, "the same seed, the same run");
  app.add_option("--gpus", options.gpus, "the first N GPUs; 0: the CPU [all GPUs, or the CPU]")
      ->check(from_zero_on());
  app.add_option("--save", options.save, "the file that gets the weights (safetensors)");
}

// Each epoch sees other versions of the images: shifted by up to 4 pixels, and every other one mirrored.
auto training_batches(const Options& options) {
  const data::Compose augment(data::RandomCrop{32, 4}, data::RandomHorizontalFlip{});
  return data::DataLoader(data::Transformed(data::Cifar10(options.folder, data::Split::train),
                                            [augment](auto example, data::RandomStream& random) {
                                              example.image = augment(example.image, random);
                                              return example;
                                            }),
                          {.batch_size = options.batch_size,
                           .shuffle = true,
                           .num_workers = options.workers,
                           .seed = options.seed,
                           .pin_memory = true});
}

template <class Model>
double percent_right(Model& model, data::DataLoader<data::Cifar10>& batches, const Precision& precision) {
  const NoGradGuard no_gradients;
  const Autocast guard(precision.autocast);
  eval(model);
  metrics::Accuracy right;
  for (auto& [images, labels] : batches) right.update(model(images), labels.to(model.device()));
  train(model);
  return 100 * right.compute();
}

void run(const Options& options) {
  CudaMultiGPU model{cifar::ResNet(3), {.devices = devices_of(options.gpus)}};
  const Device device = model.device();
  auto batches = training_batches(options);
  data::DataLoader unseen(data::Cifar10(options.folder, data::Split::test),
                          {.batch_size = 500, .num_workers = options.workers, .pin_memory = true});

  optim::SGD optimizer(parameters(model), {.lr = options.lr, .momentum = 0.9, .weight_decay = 1e-4});
  optim::CosineAnnealingLR scheduler(optimizer,
                                     {.t_max = std::max<std::int64_t>(options.epochs * batches.size(), 1)});
  Precision precision(options.precision);
  auto step = capture([&](const Tensor& images, const Tensor& labels) {
    Tensor loss;
    {
      const Autocast guard(precision.autocast);
      loss = cross_entropy(model(images), labels.to(device));
    }
    precision.scaler.scale(loss).backward();
    precision.scaler.step(optimizer);
    precision.scaler.update();
    optimizer.zero_grad();
    return loss.detach();
  });

  std::printf("ResNet-20 with %lld parameters in %s\n", static_cast<long long>(num_parameters(model)),
              options.precision.c_str());
  for (int epoch = 1; epoch <= options.epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    Tensor sum = zeros({}, {.device = device});
    for (auto& [images, labels] : batches) {
      sum += step(images, labels);
      scheduler.step();
    }
    const double loss = sum.item() / static_cast<double>(batches.size());  // waits for the GPUs
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("epoch %d: loss %.4f, %.2f %% of unseen images right, %.1f s\n", epoch, loss,
                percent_right(model, unseen, precision), seconds.count());
    std::fflush(stdout);
  }
  if (!options.save.empty()) save(model, options.save);
}

int main(int argc, char** argv) try {
  Options options;
  CLI::App app("Trains a ResNet-20 on CIFAR-10");
  add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  manual_seed(options.seed);  // before the model is made: its first weights are random
  run(options);
} catch (const std::exception& error) {
  std::fprintf(stderr, "cifar: %s\n", error.what());
  return 1;
}
