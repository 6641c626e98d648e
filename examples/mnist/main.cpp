// Trains a classifier of handwritten digits, or of clothes: a whole training program on one page.
//
//   mnist --epochs 3 --save digits.safetensors         train, test after each epoch, save
//   mnist --load digits.safetensors --epochs 0         test only
//   mnist --resume run.safetensors                     stop with Ctrl-C; the same command continues
//
// The files next to this one hold everything but the training: options, progress bar, report, checkpoint,
// finding the data.

#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "../gpus_option.h"
#include "../precision.h"
#include "event_log.h"
#include "find_data.h"
#include "options.h"
#include "plot.h"
#include "progress.h"
#include "report.h"
#include "resume.h"

#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using namespace miniparallel;

// A model is a plain struct of layers with a call operator.

struct Cnn {
  nn::Conv2d conv1{1, 32, 3}, conv2{32, 64, 3};
  nn::Dropout drop1{0.25}, drop2{0.5};
  nn::Linear fc1{9216, 128}, fc2{128, 10};

  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(conv2(relu(conv1(x)))), 2);
    return fc2(drop2(relu(fc1(drop1(x).flatten(1)))));
  }
};

struct Mlp {
  nn::Linear fc1{784, 512}, fc2{512, 256}, fc3{256, 10};

  Tensor operator()(Tensor x) { return fc3(relu(fc2(relu(fc1(x.flatten(1)))))); }
};

template <class Model>
std::unique_ptr<optim::Optimizer> make_optimizer(const Model& model, const Options& options) {
  if (options.optimizer == "sgd") {
    return std::make_unique<optim::SGD>(parameters(model),
                                        optim::SGDOptions{.lr = options.lr, .momentum = 0.9});
  }
  if (options.optimizer == "adamw") {
    return std::make_unique<optim::AdamW>(parameters(model), optim::AdamWOptions{.lr = options.lr});
  }
  return std::make_unique<optim::Adam>(parameters(model), optim::AdamOptions{.lr = options.lr});
}

struct Trained {
  Tensor loss, logits, targets;
};
using TrainingStep = std::function<Trained(const Tensor& images, const Tensor& labels)>;

// A training step: predict, measure the error, find its gradient, step. On GPUs all of it is one CUDA graph.
template <class Model>
TrainingStep make_step(Model& model, optim::Optimizer& optimizer, Precision& precision, bool captures) {
  const auto step = [&](const Tensor& images, const Tensor& labels) {
    Trained batch;
    {
      const Autocast guard(precision.autocast);
      batch.logits = model(images);  // each GPU gets its part of the images
      batch.targets = labels.to(model.device());
      batch.loss = cross_entropy(batch.logits, batch.targets);
    }
    precision.scaler.scale(batch.loss).backward();
    precision.scaler.step(optimizer);
    precision.scaler.update();
    optimizer.zero_grad();
    return batch;
  };
  if (!captures) return step;
  return [captured = std::make_shared<CapturedStep<decltype(step)>>(step)](
             const Tensor& images, const Tensor& labels) { return (*captured)(images, labels); };
}

// One pass over the training set, or what is left of it.
template <class Model>
void train_epoch(Model& model, data::DataLoader<data::Mnist>& batches, const TrainingStep& step,
                 optim::Optimizer& optimizer, optim::LRScheduler& scheduler, Scores& scores,
                 Progress& progress, Resume& resume, EventLog& log) {
  train(model);  // dropout is on
  for (auto& [images, labels] : batches) {
    const auto [loss, logits, targets] = step(images, labels);
    scheduler.step();
    scores.add(loss, logits, targets);
    progress.show(scores);
    log.add_batch(scores, optimizer.lr(), batches.position());
    resume.stop_if_interrupted();
  }
}

// One pass over the test set, which the model has never been trained on.
template <class Model>
Scores test(Model& model, data::DataLoader<data::Mnist>& batches, const Precision& precision) {
  const NoGradGuard no_gradients;
  const Autocast guard(precision.autocast);
  eval(model);  // dropout is off
  Scores scores;
  for (auto& [images, labels] : batches) {
    const Tensor logits = model(images), targets = labels.to(model.device());
    scores.add(cross_entropy(logits, targets), logits, targets);
    scores.add_mistakes(logits, targets);
  }
  return scores;
}

// The weights of --load; those of another model are an error.
template <class Model>
void load_weights(Model& model, const Options& options) {
  const LoadReport names = load(model, options.load, {.strict = false});
  std::string differences;
  for (const std::string& name : names.missing) differences += "\n  it lacks " + name;
  for (const std::string& name : names.unexpected) differences += "\n  it has " + name;
  if (!differences.empty())
    throw Error("--load: " + options.load + " is not of --model " + options.model + ":" + differences);
}

template <class Net>
void run(Net net, const Options& options) {
  CudaMultiGPU model{std::move(net), {.devices = devices_of(options.gpus), .replicas = options.replicas}};
  if (!options.load.empty()) load_weights(model, options);

  const DataSource source = find_data(options.data);
  data::DataLoader train_batches(data::Mnist(source.folder, data::Split::train),
                                 {.batch_size = options.batch_size,
                                  .shuffle = true,
                                  .num_workers = options.workers,
                                  .seed = options.seed,
                                  .pin_memory = true});
  data::DataLoader test_batches(data::Mnist(source.folder, data::Split::test),
                                {.batch_size = 500, .num_workers = options.workers, .pin_memory = true});
  const auto optimizer = make_optimizer(model, options);
  // Long steps to get near, ever shorter ones to settle: the learning rate falls to 0 with the last batch.
  optim::CosineAnnealingLR scheduler(
      *optimizer, {.t_max = std::max<std::int64_t>(options.epochs * train_batches.size(), 1)});

  Precision precision(options.precision);
  const TrainingStep step = make_step(model, *optimizer, precision, options.capture);

  Report report(options, source, model.devices(), num_parameters(model));
  Plot plot(options, source, test_batches.dataset());
  EventLog log(options, train_batches.size());
  Scores trained, tested;
  Resume resume(options, {{"model", model},
                          {"optimizer", *optimizer},
                          {"scheduler", scheduler},
                          {"scaler", precision.scaler},
                          {"batches", train_batches},
                          {"scores", trained},
                          {"report", report},
                          {"plot", plot}});
  while (train_batches.position().epoch < options.epochs) {
    Progress progress(train_batches.position().epoch + 1, options, train_batches.dataset().size());
    train_epoch(model, train_batches, step, *optimizer, scheduler, trained, progress, resume, log);
    tested = test(model, test_batches, precision);
    report.add_epoch(trained, tested);
    plot.add_epoch(trained, tested);
    log.add_epoch(trained, tested, state_dict(model), test_batches.dataset());
    trained = {};
    if (!options.save.empty()) save(model, options.save);
    resume.save();
  }
  if (tested.images() == 0) tested = test(model, test_batches, precision);
  report.finish(tested);
  plot.write(tested);
}

int main(int argc, char** argv) try {
  const Options options = parse_options(argc, argv);
  manual_seed(options.seed);  // before the model is made: its first weights are random
  if (options.model == "mlp") {
    run(Mlp{}, options);
  } else {
    run(Cnn{}, options);
  }
} catch (const Interrupted& stop) {
  std::cerr << "mnist: " << stop.what() << '\n';
  return 130;  // as the shell has it for SIGINT
} catch (const std::exception& error) {
  std::cerr << "mnist: " << error.what() << '\n';
  return 1;
}
