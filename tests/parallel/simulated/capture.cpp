#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator.h>
#include <miniparallel/simulator_graphs.h>

#include "../../cuda/simulated.h"

#include <functional>
#include <string>
#include <vector>

// What a captured step of several GPUs asks of them and of the host, what it follows, and where it gives way.

namespace miniparallel {
namespace {

using testing::Simulated;

struct Net {
  nn::Linear first{6, 16};
  nn::BatchNorm1d norm{16};
  nn::Linear frozen{16, 16}, second{16, 3};
  Tensor scale = full({16}, 2.0);
  Net() { frozen.weight.requires_grad_(false); }
  Tensor operator()(const Tensor& x) { return second(frozen(relu(norm(first(x)))) * scale); }
  MINIPARALLEL_MEMBERS(first, norm, frozen, second, scale)
};

using Values = std::vector<std::vector<float>>;

/// A captured and a plain training of one net, from one start, on one machine.
struct Twins {
  explicit Twins(const DataParallelOptions& options = {}) : captured(first, options), plain(start, options) {}

  Tensor one_step(DataParallel<Net>& model, optim::Optimizer& of, const Tensor& x, const Tensor& y) {
    const Tensor loss = cross_entropy(model(x), y.to(model.device()));
    loss.backward();
    of.step();
    of.zero_grad();
    return loss;
  }
  void check_step(std::int64_t rows = 24) {
    const Tensor x = randn({rows, 6}), y = randint(0, 3, {rows});
    const Tensor loss = step(x, y);
    const Tensor expected = one_step(plain, plain_optimizer, x, y);
    CHECK(loss.item() == expected.item());
    CHECK(values_of(captured) == values_of(plain));
  }
  static Values values_of(DataParallel<Net>& model) {
    Values values;
    for (const auto& [name, tensor] : model.state_dict())
      values.push_back(tensor.to(float32).to_vector<float>());
    return values;
  }

  Net first, start = clone(first);
  DataParallel<Net> captured, plain;
  optim::Adam optimizer{captured.parameters(), {.lr = 1e-2}},
      plain_optimizer{plain.parameters(), {.lr = 1e-2}};
  CapturedStep<std::function<Tensor(const Tensor&, const Tensor&)>> step{
      [this](const Tensor& x, const Tensor& y) { return one_step(captured, optimizer, x, y); }};
};

}  // namespace

TEST_CASE("capture: a steady step of several GPUs is one launch by the caller") {
  struct Case {
    int gpus, replicas;
  };
  for (const auto& [gpus, replicas] : {Case{2, 0}, Case{4, 0}, Case{8, 0}, Case{1, 4}, Case{2, 8}}) {
    CAPTURE(gpus);
    CAPTURE(replicas);
    const Simulated machine(gpus);
    manual_seed(1);
    CudaMultiGPU model{Net{}, {.replicas = replicas}};
    optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
    auto step = capture([&](const Tensor& x, const Tensor& y) {
      const Tensor loss = cross_entropy(model(x), y.to(model.device()));
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      return loss;
    });
    const Tensor x = randn({48, 6}), y = randint(0, 3, {48});
    for (int i = 0; i < 8; ++i) {
      const simulator::Counters before = simulator::counters();
      const simulator::GraphCounters graphs = simulator::graph_counters();
      {
        const Tensor loss = step(x, y);
      }
      const simulator::Counters work = simulator::counters() - before;
      const simulator::GraphCounters launched = simulator::graph_counters() - graphs;
      for (const Device device : model.devices()) synchronize(device);
      if (i < 5) continue;
      CHECK(step.counters().reason == "");
      CHECK(launched.launches == 1);
      CHECK(launched.nodes == step.counters().nodes);
      CHECK(work.kernels == 0);
      CHECK(work.library_calls == 0);
      CHECK(work.host_synchronizations == 0);
      CHECK(work.allocations == 0);
      CHECK(work.pinned_allocations == 0);
      CHECK(work.frees == 0);
    }
  }
}

TEST_CASE("capture: what becomes of a model on several GPUs is followed") {
  const Simulated machine(3);
  manual_seed(2);
  Twins twins({.min_rows = 2});
  for (int i = 0; i < 5; ++i) twins.check_step();
  CHECK(twins.step.counters().replayed == 2);
  SUBCASE("a frozen parameter is written") {
    for (auto* model : {&twins.captured, &twins.plain}) model->model().frozen.weight.mul_(0.5);
  }
  SUBCASE("a trained parameter is written") {
    const NoGradGuard no_grad;
    for (auto* model : {&twins.captured, &twins.plain}) model->model().second.weight.mul_(0.5);
  }
  SUBCASE("a buffer is written") {
    for (auto* model : {&twins.captured, &twins.plain}) model->model().norm.running_mean.add_(3);
  }
  SUBCASE("a plain tensor is written") {
    for (auto* model : {&twins.captured, &twins.plain}) model->model().scale.mul_(0.5);
  }
  SUBCASE("another plain tensor") {
    for (auto* model : {&twins.captured, &twins.plain})
      model->model().scale = full({16}, 3.0, {.device = Device::cuda(0)});
  }
  SUBCASE("fewer rows than replicas") {
    for (int i = 0; i < 4; ++i) twins.check_step(4);
  }
  SUBCASE("evaluation between") {
    for (auto* model : {&twins.captured, &twins.plain}) {
      model->eval();
      (*model)(randn({9, 6}));
      model->train();
    }
  }
  SUBCASE("plain forwards between") {
    const Tensor x = randn({9, 6});
    for (auto* model : {&twins.captured, &twins.plain}) (*model)(x);
  }
  SUBCASE("plain steps between") {
    const Tensor x = randn({12, 6}), y = randint(0, 3, {12});
    twins.one_step(twins.captured, twins.optimizer, x, y);
    twins.one_step(twins.plain, twins.plain_optimizer, x, y);
  }
  SUBCASE("another parameter") {
    for (auto* model : {&twins.captured, &twins.plain}) {
      manual_seed(5);
      model->model().second = nn::Linear(16, 3);
      to(model->model(), Device::cuda(0));
    }
  }
  SUBCASE("loaded weights") {
    manual_seed(6);
    Net other;
    const StateDict weights = state_dict(other);
    for (auto* model : {&twins.captured, &twins.plain}) model->load_state_dict(weights);
  }
  for (int i = 0; i < 4; ++i) twins.check_step();
}

TEST_CASE("capture: what no graph of several GPUs can do runs as it is, and says why") {
  struct Case {
    DataParallelOptions options;
    std::string why;
    bool linked = true;
  };
  const std::vector<Case> cases{
      {{.batch_norm = BatchNormPolicy::sync}, "use BatchNormPolicy::merge"},
      {{.split = Split::by_speed}, "use Split::balanced or shares"},
      {{.shard_optimizer = true}, "leave that option out"},
      {{.reduction = GradientReduction::nccl}, "use GradientReduction::automatic"},
      {{.batch_norm = BatchNormPolicy::device0}, "use GPUs that reach each other", false},
  };
  for (const auto& [options, why, linked] : cases) {
    CAPTURE(why);
    simulator::Machine machine = simulator::machine_with(2);
    if (!linked) machine.peers = simulator::Peers::none;
    const Simulated simulated(machine);
    const LogHandler before = set_log_handler([](LogLevel, std::string_view) {});
    manual_seed(3);
    Twins twins(options);
    for (int i = 0; i < 5; ++i) {
      if (options.split.kind() != Split::Kind::by_speed)
        twins.check_step();
      else
        twins.step(randn({24, 6}), randint(0, 3, {24}));  // other rows than the twin's, so other rounding
    }
    CHECK(twins.step.counters().replayed == 0);
    CHECK(twins.step.counters().reason.find(why) != std::string::npos);
    set_log_handler(before);
  }
}

}  // namespace miniparallel
