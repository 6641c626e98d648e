#include "../../cuda/simulated.h"
#include "../../support/watchdog.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>

// Long trainings in which everything changes that may change between two steps. Each step is compared with
// that of the model alone, from the same state. MINIPARALLEL_SOAK_STEPS has more than the everyday run.

namespace miniparallel {
namespace {

using testing::DropoutMlp;
using testing::NormCnn;
using testing::Simulated;
using testing::Transformer;
using testing::Watchdog;

int steps_of_each_model() {
  const char* const text = std::getenv("MINIPARALLEL_SOAK_STEPS");
  return text == nullptr ? 84 : std::atoi(text) / 3;
}

std::unique_ptr<optim::Optimizer> make_optimizer(bool adam, const std::vector<Tensor>& parameters) {
  // Gradients that are zero up to rounding, as those of a bias before batch normalisation, are far below eps.
  if (adam) return std::make_unique<optim::Adam>(parameters, optim::AdamOptions{.lr = 1e-3, .eps = 1e-4});
  return std::make_unique<optim::SGD>(parameters, optim::SGDOptions{.lr = 1e-3, .momentum = 0.5});
}

/// A wrapped model, and one on the CPU that takes over its state before each step.
template <class Net>
class Soak {
 public:
  Soak(int gpus, std::uint64_t seed)
      : random_(seed),
        model_(double_net(), random_options(gpus)),
        alone_(double_net()),
        counting_(double_net()),
        adam_(one_of(2)),
        optimizer_(make_optimizer(adam_, model_.parameters())),
        optimizer_alone_(make_optimizer(adam_, miniparallel::parameters(alone_))) {}

  void step() {
    load_state_dict(alone_, model_.state_dict());
    load_state_dict(counting_, model_.state_dict());
    const int choice = at_most(19);
    if (choice == 0)
      model_.zero_grad();
    else if (choice == 1)
      freeze();
    else if (choice == 2)
      save_and_load();
    else if (choice == 3)
      evaluate();
    else if (choice == 4)
      forward_without_grad();
    else
      train();
  }

  std::int64_t bytes_on(Device device) const {
    synchronize(device);
    return memory_stats(device).used;
  }
  const std::vector<Device>& devices() const { return model_.devices(); }
  const DataParallelOptions& options() const { return model_.options(); }
  void forget_gradients() { model_.zero_grad(); }

 private:
  static Net double_net() {
    Net net;
    to(net, float64);
    return net;
  }
  DataParallelOptions random_options(int gpus) {
    DataParallelOptions options{.replicas = gpus + gpus / 3, .hints = false};
    options.batch_norm = static_cast<BatchNormPolicy>(at_most(2));
    options.shard_optimizer = one_of(2);
    if (one_of(2)) options.bucket_bytes = 512;  // a few parameters
    return options;
  }
  int at_most(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }
  /// True once in so many times.
  bool one_of(int times) { return at_most(times - 1) == 0; }
  /// Some are empty, many small, a few large. One row is not enough for the statistics of every model.
  Tensor batch() {
    const int kind = at_most(9);
    const int rows = kind == 0 ? 0 : kind == 1 ? 2 + at_most(68) : 2 + at_most(14);
    return Net::batch(rows == 0 && kHasNorm ? 3 : rows);  // no statistics without rows
  }
  static bool close(const Tensor& got, const Tensor& expected) {
    return allclose(got.cpu(), expected, 1e-9, 1e-9);
  }

  /// Whether replicas normalise their rows by their own statistics.
  bool norms_differ() const {
    return kHasNorm && options().batch_norm != BatchNormPolicy::sync && devices().size() > 1;
  }
  /// The outputs that the wrapper must have in training.
  Tensor expected(const Tensor& x) {
    manual_seed(seed_);
    if (!norms_differ()) return alone_(x);
    std::vector<Tensor> parts;
    std::int64_t begin = 0;
    for (const std::int64_t rows : chunk_sizes(x.size(0), static_cast<int>(devices().size()))) {
      parts.push_back(alone_(x.narrow(0, begin, rows)));
      begin += rows;
    }
    Tensor outputs = cat(parts);
    const NoGradGuard no_grad;
    counting_(options().batch_norm == BatchNormPolicy::merge ? x : x.narrow(0, 0, parts[0].size(0)));
    return outputs;
  }
  void check_statistics() {
    for (const auto& [name, buffer] : named_buffers(norms_differ() ? counting_ : alone_))
      CHECK(close(model_.state_dict().at(name), buffer));
  }

  /// A forward and a backward of both.
  void accumulate() {
    const Tensor x = batch();
    CAPTURE(x.size(0));
    seed_ = static_cast<std::uint64_t>(at_most(1000));
    manual_seed(seed_);
    const Tensor y = model_(x);
    const Tensor right = expected(x);
    CHECK(close(y, right));
    if (!right.requires_grad()) return;
    sum(square(y)).backward();
    sum(square(right)).backward();
  }

  void train() {
    zero_grad(alone_);
    const std::vector<Tensor> parameters = model_.parameters(), twins = miniparallel::parameters(alone_);
    for (std::size_t i = 0; i < parameters.size(); ++i)
      if (const Tensor grad = parameters[i].grad(); grad.defined()) twins[i].set_grad(grad.cpu().clone());
    for (int held = one_of(4) ? 1 + at_most(1) : 0; held >= 0; --held) {
      CAPTURE(held);
      std::optional<parallel::NoSync> guard;
      if (held > 0) guard.emplace(model_.no_sync());
      accumulate();
    }
    check_statistics();
    if (one_of(2)) check_gradients();  // which of a sharded optimizer are brought together by looking
    if (one_of(4)) return;             // they are added up
    if (one_of(2))
      check_update();
    else
      optimizer_->step();
    model_.zero_grad();
  }

  void check_gradients() {
    const std::vector<Tensor> parameters = model_.parameters(), twins = miniparallel::parameters(alone_);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Tensor grad = parameters[i].grad(), twin = twins[i].grad();
      REQUIRE(grad.defined() == twin.defined());
      if (twin.defined()) CHECK(close(grad, twin));
    }
  }

  void check_update() {
    StateDict state;
    for (const auto& [name, tensor] : optimizer_->state_dict()) state.emplace(name, tensor.cpu().clone());
    optimizer_alone_ = make_optimizer(adam_, miniparallel::parameters(alone_));
    optimizer_alone_->load_state_dict(state);
    optimizer_->step();
    optimizer_alone_->step();
    for (const auto& [name, tensor] : named_parameters(alone_)) {
      CAPTURE(name);
      CHECK(close(model_.state_dict().at(name), tensor));
    }
    const StateDict updated = optimizer_->state_dict(), right = optimizer_alone_->state_dict();
    CHECK(updated.size() == right.size());
    for (const auto& [name, tensor] : right) {
      CAPTURE(name);
      REQUIRE(updated.contains(name));
      CHECK(close(updated.at(name), tensor));
    }
  }

  void evaluate() {
    model_.eval();
    eval(alone_);
    const Tensor x = batch();
    CHECK(close(model_(x), alone_(x)));
    model_.train();
    miniparallel::train(alone_);
  }

  void forward_without_grad() {
    const NoGradGuard no_grad;
    const Tensor x = Net::batch(2 + at_most(9));
    seed_ = 1;
    manual_seed(seed_);
    const Tensor y = model_(x);
    CHECK(close(y, expected(x)));
    CHECK_FALSE(y.requires_grad());
    check_statistics();
  }

  void freeze() {
    std::vector<Tensor> parameters = model_.parameters(), twins = miniparallel::parameters(alone_);
    const auto i = static_cast<std::size_t>(at_most(static_cast<int>(parameters.size()) - 1));
    const bool trained = !parameters[i].requires_grad();
    parameters[i].requires_grad_(trained);
    twins[i].requires_grad_(trained);
  }

  void save_and_load() {
    const auto path = std::filesystem::temp_directory_path() / "miniparallel_soak.safetensors";
    save(model_, path);
    const NoGradGuard no_grad;
    for (Tensor& parameter : model_.parameters()) parameter.fill_(0.5);
    load(model_, path);
    std::filesystem::remove(path);
    for (const auto& [name, tensor] : state_dict(alone_))
      CHECK(equal(model_.state_dict().at(name).cpu(), tensor));
    optimizer_->load_state_dict(optimizer_->state_dict());
  }

  static constexpr bool kHasNorm = std::is_same_v<Net, NormCnn>;
  std::mt19937_64 random_;
  DataParallel<Net> model_;
  Net alone_;
  Net counting_;            // keeps the running statistics where `norms_differ`
  std::uint64_t seed_ = 0;  // of the last forward
  bool adam_;
  std::unique_ptr<optim::Optimizer> optimizer_, optimizer_alone_;
};

TEST_CASE_TEMPLATE("soak: each step is that of the model alone, and memory stays flat", Net, DropoutMlp,
                   NormCnn, Transformer) {
  const Watchdog watchdog(std::chrono::minutes(120));
  constexpr int kGpus[] = {1, 2, 3, 4, 8, 2};
  const int steps = steps_of_each_model(), parts = std::max(6, steps / 100);
  for (int part = 0; part < parts; ++part) {
    const int gpus = kGpus[part % 6];
    simulator::Machine settings = simulator::machine_with(gpus);
    settings.streams = (part + part / 6) % 2 == 0 ? simulator::Streams::lazy : simulator::Streams::threaded;
    settings.seed = static_cast<std::uint64_t>(part);
    const Simulated machine(settings);
    CAPTURE(gpus);
    manual_seed(static_cast<std::uint64_t>(part));
    Soak<Net> soak(gpus, static_cast<std::uint64_t>(part));
    CAPTURE(part);
    CAPTURE(static_cast<int>(soak.options().batch_norm));
    CAPTURE(soak.options().shard_optimizer);
    CAPTURE(soak.options().bucket_bytes);
    std::vector<std::int64_t> used;
    for (int step = 0; step < steps / parts; ++step) {
      CAPTURE(step);
      soak.step();
      if (step != steps / parts / 2) continue;
      soak.forget_gradients();
      for (const Device device : soak.devices()) used.push_back(soak.bytes_on(device));
    }
    soak.forget_gradients();
    for (std::size_t i = 0; i < used.size(); ++i) CHECK(soak.bytes_on(soak.devices()[i]) <= used[i] + 65536);
  }
}

}  // namespace
}  // namespace miniparallel
