#include "../../cuda/simulated.h"
#include "../../support/watchdog.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
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
  return text == nullptr ? 120 : std::atoi(text) / 3;
}

/// A wrapped model, and one on the CPU that takes over its state before each step.
template <class Net>
class Soak {
 public:
  Soak(int gpus, std::uint64_t seed)
      : random_(seed), model_(double_net(), options(gpus)), alone_(double_net()) {}

  void step() {
    load_state_dict(alone_, model_.state_dict());
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
  void forget_gradients() { model_.zero_grad(); }

 private:
  static Net double_net() {
    Net net;
    to(net, float64);
    return net;
  }
  static DataParallelOptions options(int gpus) {
    // So that batch normalisation computes what the model alone does.
    return {.replicas = gpus + gpus / 3, .batch_norm = BatchNormPolicy::sync, .hints = false};
  }
  int at_most(int most) { return std::uniform_int_distribution<int>(0, most)(random_); }
  /// Some are empty, many small, a few large. One row is not enough for the statistics of every model.
  Tensor batch() {
    const int kind = at_most(9);
    return Net::batch(kind == 0 ? 0 : kind == 1 ? 2 + at_most(68) : 2 + at_most(14));
  }
  static bool close(const Tensor& got, const Tensor& expected) {
    return allclose(got.cpu(), expected, 1e-9, 1e-9);
  }

  void train() {
    Tensor x = batch();
    if (x.size(0) == 0 && std::is_same_v<Net, NormCnn>) x = Net::batch(3);  // no statistics without rows
    CAPTURE(x.size(0));
    zero_grad(alone_);
    std::vector<Tensor> before;
    for (const Tensor& parameter : model_.parameters())
      before.push_back(parameter.grad().defined() ? parameter.grad().cpu().clone() : Tensor());
    const auto seed = static_cast<std::uint64_t>(at_most(1000));
    manual_seed(seed);
    const Tensor y = model_(x);
    manual_seed(seed);
    const Tensor expected = alone_(x);
    CHECK(close(y, expected));
    if (expected.requires_grad()) {
      sum(square(y)).backward();
      sum(square(expected)).backward();
    }
    const std::vector<Tensor> parameters = model_.parameters(), twins = miniparallel::parameters(alone_);
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Tensor grad = parameters[i].grad(), twin = twins[i].grad();
      if (!twin.defined()) {
        CHECK(grad.defined() == before[i].defined());
        continue;
      }
      REQUIRE(grad.defined());
      CHECK(close(grad, before[i].defined() ? twin + before[i] : twin));
    }
    for (const auto& [name, buffer] : named_buffers(alone_))
      CHECK(close(model_.state_dict().at(name), buffer));
    if (at_most(3) == 0) return;  // gradients are added up
    optimizer_.step();
    model_.zero_grad();
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
    manual_seed(1);
    const Tensor y = model_(x);
    manual_seed(1);
    CHECK(close(y, alone_(x)));
    CHECK_FALSE(y.requires_grad());
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
  }

  std::mt19937_64 random_;
  DataParallel<Net> model_;
  Net alone_;
  optim::SGD optimizer_{model_.parameters(), {.lr = 1e-3, .momentum = 0.5}};
};

TEST_CASE_TEMPLATE("soak: each step is that of the model alone, and memory stays flat", Net, DropoutMlp,
                   NormCnn, Transformer) {
  const Watchdog watchdog(std::chrono::minutes(120));
  const int steps = steps_of_each_model(), parts = 6;
  for (int part = 0; part < parts; ++part) {
    const int gpus = std::vector{1, 2, 3, 4, 8, 2}[static_cast<std::size_t>(part)];
    simulator::Machine settings = simulator::machine_with(gpus);
    settings.streams = part % 2 == 0 ? simulator::Streams::lazy : simulator::Streams::threaded;
    settings.seed = static_cast<std::uint64_t>(part);
    const Simulated machine(settings);
    CAPTURE(gpus);
    manual_seed(static_cast<std::uint64_t>(part));
    Soak<Net> soak(gpus, static_cast<std::uint64_t>(part));
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
