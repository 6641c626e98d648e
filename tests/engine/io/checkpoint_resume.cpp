// Stopping and going on from a checkpoint gives bit for bit what would have come without stopping.

#include <miniparallel/miniparallel.h>

#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <memory>

namespace miniparallel {
namespace {

using testing::identical;

struct Net {
  nn::Conv2d conv{1, 4, 3};
  nn::BatchNorm2d norm{4};
  nn::Dropout drop{0.4};
  nn::Linear out{4 * 4 * 4, 3};

  Tensor operator()(const Tensor& x) { return out(drop(relu(norm(conv(x))).flatten(1))); }
};

struct Image {
  Tensor pixels, label;
};

/// Images of 6 by 6 pixels, each crop and mirror image of which differs.
struct Images {
  std::int64_t size() const { return 22; }
  Image get(std::int64_t index) const {
    const double first = static_cast<double>(index);
    return {(arange(36, {.dtype = float32}) / 36 - first / 22).tanh().view({1, 6, 6}),
            scalar_tensor(index % 3)};
  }
};

struct Augment {
  Image operator()(Image image, data::RandomStream& random) const {
    image.pixels = data::Compose(data::RandomCrop{.size = 6, .padding = 2}, data::RandomHorizontalFlip{})(
        image.pixels, random);
    return image;
  }
};
using Dataset = data::Transformed<Images, Augment>;

struct Setup {
  std::string optimizer, schedule;
  int workers = 0;
};

std::unique_ptr<optim::Optimizer> make_optimizer(const std::string& name, const Net& net) {
  using namespace optim;
  if (name == "adam") return std::make_unique<Adam>(parameters(net), AdamOptions{.lr = 0.01});
  if (name == "adamw") return std::make_unique<AdamW>(parameters(net), AdamWOptions{.lr = 0.01});
  return std::make_unique<SGD>(parameters(net),
                               SGDOptions{.lr = 0.05, .momentum = 0.9, .weight_decay = 1e-3});
}

std::vector<std::unique_ptr<optim::LRScheduler>> make_schedulers(const std::string& name,
                                                                 optim::Optimizer& optimizer) {
  using namespace optim;
  std::vector<std::unique_ptr<LRScheduler>> list;
  if (name == "linear" || name == "linear_then_step")
    list.push_back(
        std::make_unique<LinearLR>(optimizer, LinearLROptions{.start_factor = 0.2, .total_iters = 7}));
  if (name == "step" || name == "linear_then_step")
    list.push_back(std::make_unique<StepLR>(optimizer, StepLROptions{.step_size = 4, .gamma = 0.7}));
  if (name == "cosine")
    list.push_back(std::make_unique<CosineAnnealingLR>(optimizer, CosineAnnealingLROptions{.t_max = 9}));
  if (name == "rule")
    list.push_back(std::make_unique<LRScheduler>(
        optimizer, [](double, double base, std::int64_t count) { return base / (1.0 + count); }));
  return list;
}

/// A training run of three epochs, six batches each.
class Run {
 public:
  /// `seed`: a run that will be resumed starts with other weights and numbers.
  Run(const Setup& setup, std::uint64_t seed)
      : net_((manual_seed(seed), Net{})),
        optimizer_(make_optimizer(setup.optimizer, net_)),
        schedulers_(make_schedulers(setup.schedule, *optimizer_)),
        batches_(Dataset(Images{}, Augment{}),
                 {.batch_size = 4, .shuffle = true, .num_workers = setup.workers}) {
    std::vector<CheckpointPart> parts{
        {"model", net_}, {"optimizer", *optimizer_}, {"batches", batches_}, {"losses", losses_}};
    for (std::size_t i = 0; i < schedulers_.size(); ++i)
      parts.emplace_back("scheduler" + std::to_string(i), *schedulers_[i]);
    checkpoint_ = std::make_unique<Checkpoint>(std::move(parts));
  }

  static constexpr int kEpochs = 3, kBatches = 6, kSteps = kEpochs * kBatches;

  /// Trains to the end, or stops with a checkpoint after `steps` steps: before the epoch is over where
  /// `in_epoch` is set, else after what an epoch ends with.
  void train(int stop_after = kSteps, const std::string& file = {}, bool in_epoch = true) {
    while (batches_.position().epoch < kEpochs) {
      for (auto& [pixels, labels] : batches_) {
        step(pixels, labels);
        if (in_epoch && std::ssize(losses_) == stop_after && !file.empty())
          return save_checkpoint(file, *checkpoint_);
      }
      static_cast<void>(rand({5}));  // numbers are drawn between the epochs, too
      if (!in_epoch && std::ssize(losses_) == stop_after) return save_checkpoint(file, *checkpoint_);
    }
  }
  void resume(const std::string& file) { load_checkpoint(file, *checkpoint_); }

  StateDict everything() {
    StateDict all = state_dict(net_);
    for (auto& [name, tensor] : optimizer_->state_dict()) all["optimizer." + name] = tensor;
    all["losses"] = tensor(losses_, {std::ssize(losses_)}, {.dtype = float64});
    all["random"] = scalar_tensor(static_cast<std::int64_t>(random_state().ordinal));
    all["seed"] = scalar_tensor(static_cast<std::int64_t>(random_state().seed));
    return all;
  }

 private:
  void step(const Tensor& pixels, const Tensor& labels) {
    const Tensor loss = cross_entropy(net_(pixels), labels);
    loss.backward();
    optimizer_->step();
    optimizer_->zero_grad();
    for (const auto& scheduler : schedulers_) scheduler->step();
    losses_.push_back(loss.item());
  }

  Net net_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::vector<std::unique_ptr<optim::LRScheduler>> schedulers_;
  data::DataLoader<Dataset> batches_;
  std::vector<double> losses_;
  std::unique_ptr<Checkpoint> checkpoint_;
};

void check_identical(const StateDict& got, const StateDict& expected) {
  REQUIRE(got.size() == expected.size());
  for (const auto& entry : expected) {
    CAPTURE(entry.first);
    CHECK(identical(got.at(entry.first), entry.second));
  }
}

/// The state after a run that was stopped at `stop` and resumed in a run with `workers` workers.
void check_resumed(const Setup& setup, const StateDict& straight, int stop, bool in_epoch, int workers) {
  CAPTURE(stop);
  CAPTURE(in_epoch);
  const testing::TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  Run first(setup, 1);
  first.train(stop, file, in_epoch);
  Run second({setup.optimizer, setup.schedule, workers}, 99);
  second.resume(file);
  second.train();
  check_identical(second.everything(), straight);
}

TEST_CASE("resume: bit-identical after any step, also in the middle and at the last batch of an epoch") {
  const Setup setup{"adam", "cosine"};
  Run run(setup, 1);
  run.train();
  const StateDict straight = run.everything();
  for (int stop = 1; stop <= Run::kSteps; ++stop) check_resumed(setup, straight, stop, true, 0);
  for (int stop = Run::kBatches; stop <= Run::kSteps; stop += Run::kBatches)
    check_resumed(setup, straight, stop, false, 0);
}

TEST_CASE("resume: bit-identical for every optimizer, scheduler and number of workers") {
  for (const std::string optimizer : {"adam", "adamw", "sgd"}) {
    for (const std::string schedule : {"none", "step", "cosine", "linear", "linear_then_step", "rule"}) {
      CAPTURE(optimizer);
      CAPTURE(schedule);
      Run run({optimizer, schedule}, 1);
      run.train();
      const StateDict straight = run.everything();
      check_resumed({optimizer, schedule, 1}, straight, 8, true, 3);
      check_resumed({optimizer, schedule, 3}, straight, 6, false, 0);
      check_resumed({optimizer, schedule, 3}, straight, 15, true, 1);
    }
  }
}

TEST_CASE("resume: the test sees what is not restored") {
  Run one({"adam", "none"}, 1), other({"adam", "none"}, 2);
  one.train();
  const StateDict first = one.everything();
  other.train();
  CHECK_FALSE(identical(first.at("losses"), other.everything().at("losses")));
}

}  // namespace
}  // namespace miniparallel
