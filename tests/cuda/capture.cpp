#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator_graphs.h>

#include "../support/error_of.h"
#include "engine/device/accelerator.h"
#include "nets.h"
#include "simulated.h"

#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

// Captured steps do what plain ones do, bit for bit, by one launch of a graph.

namespace miniparallel {
namespace {

using testing::error_of;
using testing::Simulated;

const Device gpu = Device::cuda(0);

/// Batch normalisation, dropout, and numbers of the host that change at every step.
struct Net {
  nn::Linear first{6, 16};
  nn::BatchNorm1d norm{16};
  nn::Dropout drop{0.3};
  nn::Linear second{16, 3};

  Tensor operator()(const Tensor& x) { return second(drop(relu(norm(first(x))))); }
};

struct Batch {
  Tensor x, y;
};

std::vector<Batch> make_batches(std::size_t count, std::int64_t rows = 12) {
  std::vector<Batch> batches;
  for (std::size_t i = 0; i < count; ++i) batches.push_back({randn({rows, 6}), randint(0, 3, {rows})});
  return batches;
}

/// All that training has changed, on the host.
std::vector<std::vector<float>> state_of(Net& net, optim::Optimizer& optimizer) {
  std::vector<std::vector<float>> values;
  for (const auto& [name, tensor] : state_dict(net)) values.push_back(tensor.to(float32).to_vector<float>());
  for (const auto& [name, tensor] : optimizer.state_dict())
    values.push_back(tensor.to(float32).to_vector<float>());
  return values;
}

/// What a test's log has said.
class Log {
 public:
  Log() {
    set_log_handler([this](LogLevel, std::string_view text) { lines.emplace_back(text); });
  }
  ~Log() { set_log_handler({}); }
  std::vector<std::string> lines;
};

}  // namespace

TEST_CASE("capture: 200 steps give the same bits as plain ones") {
  struct Result {
    std::vector<float> losses;
    std::vector<std::vector<float>> state;
    RandomState random;
  };
  const auto train = [](bool captures, bool on_host) {
    const Simulated machine;
    manual_seed(7);
    Net net;
    to(net, gpu);
    optim::AdamW optimizer(parameters(net), {.lr = 1e-2, .weight_decay = 0.1});
    optim::CosineAnnealingLR schedule(optimizer, {.t_max = 200});
    std::vector<Batch> batches = make_batches(10);
    if (!on_host)
      for (Batch& batch : batches) batch = {batch.x.to(gpu), batch.y.to(gpu)};
    const auto plain = [&](const Batch& first, const Batch& second) {
      Tensor total;
      for (const Batch* batch : {&first, &second}) {  // gradients of two add up
        const Tensor loss = cross_entropy(net(batch->x.to(gpu)), batch->y.to(gpu)) / 2;
        loss.backward();
        total = total.defined() ? total + loss.detach() : loss.detach();
      }
      const Tensor norm = nn::utils::clip_grad_norm_(parameters(net), 0.5);
      optimizer.step();
      optimizer.zero_grad();
      return std::pair(total, norm);
    };
    auto step = capture(plain);
    Result result;
    for (std::size_t i = 0; i < 200; ++i) {
      const Batch &first = batches[i % 10], &second = batches[(i + 3) % 10];
      const auto [loss, norm] = captures ? step(first, second) : plain(first, second);
      result.losses.push_back(static_cast<float>(loss.item()));
      result.losses.push_back(static_cast<float>(norm.item()));
      schedule.step();
    }
    if (captures) {
      CHECK(step.counters().reason == "");
      CHECK(step.counters().plain == 2);
      CHECK(step.counters().captured == 1);
      CHECK(step.counters().replayed == 197);
    }
    result.state = state_of(net, optimizer);
    result.random = random_state();
    return result;
  };
  const Result expected = train(false, false);
  for (const bool on_host : {false, true}) {
    const Result got = train(true, on_host);
    CHECK(got.losses == expected.losses);
    CHECK(got.state == expected.state);
    CHECK(got.random == expected.random);
  }
}

namespace {

/// A net in training by a captured step, and the same one by plain steps, from the same start.
struct Twins {
  explicit Twins(const CaptureOptions& options = {}) : step(train(captured), options) {
    to(captured, gpu);
    plain = clone(captured);
    optimizer = std::make_unique<optim::Adam>(parameters(captured), optim::AdamOptions{.lr = 1e-2});
    plain_optimizer = std::make_unique<optim::Adam>(parameters(plain), optim::AdamOptions{.lr = 1e-2});
  }

  /// Both do a step; their losses must be equal, and so must all that they have changed.
  void check_step(const Batch& batch) {
    const RandomState random = random_state();
    const Tensor loss = step(batch.x, batch.y);
    set_random_state(random);
    const Tensor expected = one_step(plain, *plain_optimizer, batch.x, batch.y);
    CHECK(loss.item() == expected.item());
    CHECK(state_of(captured, *optimizer) == state_of(plain, *plain_optimizer));
  }

  static Tensor one_step(Net& net, optim::Optimizer& of, const Tensor& x, const Tensor& y) {
    Tensor loss = cross_entropy(net(x.to(gpu)), y.to(gpu));
    loss.backward();
    of.step();
    of.zero_grad();
    return loss;
  }
  std::function<Tensor(const Tensor&, const Tensor&)> train(Net& net) {
    return [this, &net](const Tensor& x, const Tensor& y) { return one_step(net, *optimizer, x, y); };
  }

  Net captured, plain;
  std::unique_ptr<optim::Adam> optimizer, plain_optimizer;
  CapturedStep<std::function<Tensor(const Tensor&, const Tensor&)>> step;
};

}  // namespace

TEST_CASE("capture: a steady step is one launch, and asks for nothing") {
  const Simulated machine;
  manual_seed(1);
  Twins twins;
  std::vector<Batch> batches = make_batches(4);
  for (Batch& batch : batches) batch = {batch.x.to(gpu), batch.y.to(gpu)};
  for (int i = 0; i < 8; ++i) {
    const simulator::Counters before = simulator::counters();
    const simulator::GraphCounters graphs = simulator::graph_counters();
    const std::int64_t tensors = memory_stats(gpu).allocations;
    {
      const Tensor loss =
          twins.step(batches[static_cast<std::size_t>(i) % 4].x, batches[static_cast<std::size_t>(i) % 4].y);
    }
    const simulator::Counters work = simulator::counters() - before;
    const simulator::GraphCounters launched = simulator::graph_counters() - graphs;
    synchronize(gpu);
    if (i < 4) continue;
    CHECK(launched.launches == 1);
    CHECK(launched.nodes == twins.step.counters().nodes);
    CHECK(work.kernels == 0);
    CHECK(work.library_calls == 0);
    CHECK(work.copies == 3);  // two arguments, and the numbers of the step
    CHECK(work.host_synchronizations == 0);
    CHECK(work.allocations == 0);
    CHECK(work.frees == 0);
    CHECK(work.pinned_allocations == 0);
    CHECK(memory_stats(gpu).allocations == tensors);
  }
}

TEST_CASE("capture: what the model, its optimizer and their state become is followed") {
  const Simulated machine;
  manual_seed(2);
  Twins twins;
  const std::vector<Batch> batches = make_batches(30), small = make_batches(5, 7);
  std::size_t next = 0;
  const auto train = [&](int steps) {
    for (int i = 0; i < steps; ++i) twins.check_step(batches[next++ % batches.size()]);
  };
  const auto expect = [&](std::int64_t captured) { CHECK(twins.step.counters().captured == captured); };
  train(5);
  expect(1);
  SUBCASE("another batch size, and back") {
    for (const Batch& batch : small) twins.check_step(batch);
    expect(2);
    train(2);
    expect(2);
  }
  SUBCASE("a learning rate") {
    for (auto* of : {twins.optimizer.get(), twins.plain_optimizer.get()}) of->set_lr(0.2);
    train(2);
    expect(1);
  }
  SUBCASE("a seed") {
    manual_seed(99);
    train(2);
    expect(1);
  }
  SUBCASE("values that are written") {
    for (Net* net : {&twins.captured, &twins.plain}) {
      const NoGradGuard no_grad;
      net->first.weight.mul_(0.5);
      net->norm.running_mean.add_(1);
    }
    train(2);
    expect(1);
  }
  SUBCASE("a loaded state") {
    const StateDict weights = [&] {
      Net other;
      StateDict copied;
      for (const auto& [name, tensor] : state_dict(other)) copied[name] = tensor.clone();
      return copied;
    }();
    for (Net* net : {&twins.captured, &twins.plain}) load_state_dict(*net, weights);
    optim::Adam trained(parameters(twins.plain), {.lr = 0.3});
    for (auto* of : {twins.optimizer.get(), twins.plain_optimizer.get()})
      of->load_state_dict(trained.state_dict());
    train(4);
  }
  SUBCASE("a frozen parameter, and back") {
    for (const bool on : {false, true, false}) {
      for (Net* net : {&twins.captured, &twins.plain}) net->first.weight.requires_grad_(on);
      CAPTURE(on);
      for (int i = 0; i < 3; ++i) {
        const auto& c = twins.step.counters();
        CAPTURE(i);
        CAPTURE(c.captured);
        CAPTURE(c.replayed);
        train(1);
      }
    }
    expect(3);
  }
  SUBCASE("evaluation, and back") {
    for (const bool on : {false, true})
      for (int i = 0; i < 3; ++i) {
        for (Net* net : {&twins.captured, &twins.plain}) on ? miniparallel::train(*net) : eval(*net);
        train(1);
      }
    expect(3);
  }
  SUBCASE("another parameter") {
    for (Net* net : {&twins.captured, &twins.plain}) {
      manual_seed(5);
      net->second = nn::Linear(16, 3);
      to(*net, gpu);
    }
    train(2);
  }
  SUBCASE("another parameter of the optimizer too") {
    for (Net* net : {&twins.captured, &twins.plain}) {
      manual_seed(5);
      net->second = nn::Linear(16, 3);
      to(*net, gpu);
    }
    twins.optimizer =
        std::make_unique<optim::Adam>(parameters(twins.captured), optim::AdamOptions{.lr = 0.1});
    twins.plain_optimizer =
        std::make_unique<optim::Adam>(parameters(twins.plain), optim::AdamOptions{.lr = 0.1});
    train(5);
    CHECK(twins.step.counters().replayed >= 4);
  }
  SUBCASE("another buffer") {
    for (Net* net : {&twins.captured, &twins.plain})
      net->norm.running_mean = nn::Buffer(full({16}, 3.f, {.device = gpu}));
    train(3);
  }
  SUBCASE("gradients of a plain backward are added to") {
    for (auto& [net, of] : {std::pair(&twins.captured, 0), std::pair(&twins.plain, 1)}) {
      const RandomState random = random_state();
      cross_entropy((*net)(batches[0].x.to(gpu)), batches[0].y.to(gpu)).backward();
      set_random_state(random);
    }
    train(3);
  }
  SUBCASE("plain steps between") {
    for (int i = 0; i < 3; ++i) {
      const RandomState random = random_state();
      const Batch& batch = batches[next++ % batches.size()];
      Twins::one_step(twins.captured, *twins.optimizer, batch.x, batch.y);
      set_random_state(random);
      Twins::one_step(twins.plain, *twins.plain_optimizer, batch.x, batch.y);
    }
    train(2);
    expect(1);
  }
}

TEST_CASE("capture: a result that is held keeps its elements") {
  const Simulated machine;
  manual_seed(3);
  Twins twins;
  std::vector<Tensor> losses;
  std::vector<double> values;
  for (const Batch& batch : make_batches(10)) {
    losses.push_back(twins.step(batch.x, batch.y));
    values.push_back(losses.back().item());
  }
  for (std::size_t i = 0; i < losses.size(); ++i) CHECK(losses[i].item() == values[i]);
}

TEST_CASE("capture: arguments and results of every sort, views and what is returned as it came") {
  const Simulated machine;
  const Tensor weight = full({3}, 2.f, {.device = gpu});
  auto step = capture([&](const Tensor& x, std::vector<Tensor> more, double factor) {
    const Tensor y = x.to(gpu) * weight * factor + more[0].to(gpu);
    return std::tuple(std::map<std::string, Tensor>{{"y", y}, {"row", y[0]}}, x, more[0].to(gpu), 7);
  });
  std::vector<std::pair<Tensor, std::vector<float>>> kept;
  for (int i = 0; i < 12; ++i) {
    const float value = static_cast<float>(i);
    Tensor x = full({2, 3}, value, {.device = i % 2 == 0 ? gpu : Device::cpu()});
    const auto [map, same, moved, seven] =
        step(x, std::vector<Tensor>{full({3}, 0.5f)}, i % 4 < 2 ? 1.0 : 3.0);
    const float factor = i % 4 < 2 ? 2.f : 6.f;
    kept.push_back({map.at("y"), std::vector<float>(6, value * factor + 0.5f)});
    kept.push_back({map.at("row"), std::vector<float>(3, value * factor + 0.5f)});
    kept.push_back({same, std::vector<float>(6, value)});
    kept.push_back({moved, std::vector<float>(3, 0.5f)});
    CHECK(seven == 7);
  }
  for (const auto& [tensor, expected] : kept) CHECK(tensor.to_vector<float>() == expected);
  CHECK(step.counters().reason == "");
}

TEST_CASE("capture: what no graph can do runs as it is, and says why once") {
  const Simulated machine;
  Log log;
  const Tensor weight = ones({3}, {.device = gpu});
  const auto check_reason = [&](auto f, const std::string& why) {
    log.lines.clear();
    auto step = capture(f);
    for (int i = 0; i < 6; ++i) {
      const Tensor y = step(full({3}, static_cast<float>(i), {.device = gpu}));
      CHECK(y.to_vector<float>() == std::vector<float>(3, static_cast<float>(2 * i)));
    }
    CHECK(step.counters().replayed == 0);
    CHECK(step.counters().reason.find(why) != std::string::npos);
    REQUIRE(log.lines.size() == 1);
    CHECK(log.lines[0].find(why) != std::string::npos);
  };
  check_reason(
      [&](const Tensor& x) {
        const Tensor y = x * weight;
        return y.sum().item() >= 0 ? y * 2 : y;
      },
      "reads a tensor on the host, by item");
  check_reason([&](const Tensor& x) { return x * weight * tensor({2.f, 2.f, 2.f}, {.device = gpu}); },
               "copies a tensor from the host");
  check_reason(
      [&](const Tensor& x) {
        const Tensor y = x * 2;
        synchronize(gpu);
        return y;
      },
      "waits for a device");
  std::vector<Tensor> outside;
  check_reason(
      [&](const Tensor& x) {
        outside.push_back(x * 2);
        return outside.back() * weight;
      },
      "kept outside");
  for (std::size_t i = 0; i < outside.size(); ++i)
    CHECK(outside[i].to_vector<float>() == std::vector<float>(3, static_cast<float>(2 * i)));
}

TEST_CASE("capture: gradients that are left, and that are added to, are those of plain steps") {
  enum class Order { first, never, zeros };
  for (const Order order : {Order::first, Order::never, Order::zeros}) {
    CAPTURE(static_cast<int>(order));
    const Simulated machine;
    manual_seed(5);
    Net captured;
    to(captured, gpu);
    Net plain = clone(captured);
    const auto step_of = [&](Net& net) {
      return [&net, order](const Tensor& x, const Tensor& y) {
        if (order == Order::first) zero_grad(net);
        const Tensor loss = cross_entropy(net(x), y);
        loss.backward();
        return loss;
      };
    };
    auto step = capture(step_of(captured));
    auto expected = step_of(plain);
    if (order == Order::zeros)
      for (Net* net : {&captured, &plain})
        for (const Tensor& parameter : parameters(*net)) parameter.set_grad(zeros_like(parameter));
    std::vector<Tensor> held;
    std::vector<std::vector<float>> values;
    for (const Batch& batch : make_batches(9)) {
      const Tensor x = batch.x.to(gpu), y = batch.y.to(gpu);
      const RandomState random = random_state();
      step(x, y);
      set_random_state(random);
      expected(x, y);
      for (std::size_t i = 0; i < parameters(captured).size(); ++i) {
        const Tensor gradient = parameters(captured)[i].grad();
        CHECK(gradient.to_vector<float>() == parameters(plain)[i].grad().to_vector<float>());
        if (order != Order::first) continue;
        held.push_back(gradient);
        values.push_back(gradient.to_vector<float>());
      }
    }
    CHECK(step.counters().replayed >= 5);
    for (std::size_t i = 0; i < held.size(); ++i) CHECK(held[i].to_vector<float>() == values[i]);
  }
}

TEST_CASE("capture: an exception of the step leaves what a plain step would leave") {
  const Simulated machine;
  Log log;
  const Tensor sum = zeros({2}, {.device = gpu});
  int calls = 0;
  auto step = capture([&](const Tensor& x) {
    Tensor(sum).add_(x);
    if (++calls == 3) throw std::runtime_error("not this time");
    Tensor(sum).mul_(2);
  });
  const Tensor one = ones({2}, {.device = gpu});
  for (int i = 0; i < 2; ++i) step(one);
  CHECK(sum.to_vector<float>() == std::vector<float>(2, 6));
  CHECK_THROWS_WITH_AS(step(one), "not this time", std::runtime_error);
  CHECK(sum.to_vector<float>() == std::vector<float>(2, 7));
  for (int i = 0; i < 3; ++i) step(one);
  CHECK(sum.to_vector<float>() == std::vector<float>(2, 70));
  CHECK(step.counters().replayed == 2);
  CHECK(step.counters().captured == 2);
}

TEST_CASE("capture: out of memory while it captures runs plainly, and gives all of it back") {
  for (const int nth : {2, 3}) {  // one alone is tried again
    CAPTURE(nth);
    const Simulated machine;
    manual_seed(6);
    Log log;
    {
      Twins twins;
      const std::vector<Batch> batches = make_batches(8);
      for (std::size_t i = 0; i < batches.size(); ++i) {
        if (i == 2) {
          empty_cache(gpu);
          simulator::fail_allocation(0, nth);
        }
        twins.check_step(batches[i]);
      }
      CHECK(twins.step.counters().reason.find("more memory") != std::string::npos);
      CHECK(twins.step.counters().replayed == 0);
      twins.step.reset();
      for (int i = 0; i < 5; ++i) twins.check_step(batches[static_cast<std::size_t>(i)]);
      CHECK(twins.step.counters().replayed == 2);
      const std::int64_t with_graph = memory_stats(gpu).used;
      twins.step.reset();
      CHECK(memory_stats(gpu).used < with_graph);
    }
    CHECK(memory_stats(gpu).used == 0);
  }
}

TEST_CASE("capture: a GPU that nobody has used before the step is recorded") {
  const Simulated machine(2);
  const Device other = Device::cuda(1);
  int calls = 0;
  auto step = capture([&](const Tensor& x) { return ++calls < 3 ? x * 2 : (x.to(other) * 2).to(gpu); });
  for (int i = 0; i < 6; ++i)
    CHECK(step(full({3}, i, {.device = gpu})).to_vector<float>() ==
          std::vector<float>(3, static_cast<float>(2 * i)));
  CHECK(step.counters().replayed == 3);
}

TEST_CASE("capture: a label out of range is found in a replay, and training goes on") {
  const Simulated machine;
  manual_seed(8);
  Twins twins;
  const std::vector<Batch> batches = make_batches(8);
  for (int i = 0; i < 5; ++i) twins.check_step(batches[static_cast<std::size_t>(i)]);
  Tensor bad = batches[0].y.clone();
  bad.data<std::int64_t>()[3] = 17;
  const std::int64_t replayed = twins.step.counters().replayed;
  const std::string error = error_of([&] {
    twins.step(batches[0].x, bad);
    synchronize(gpu);
  });
  CHECK(error.find("cross_entropy: index 17 is out of range") != std::string::npos);
  CHECK(twins.step.counters().replayed == replayed + 1);
  twins.step(batches[1].x, batches[1].y);
  synchronize(gpu);
}

TEST_CASE("capture: a launch that fails changes nothing on the host, and the next call works") {
  const Simulated machine;
  manual_seed(9);
  Twins twins;
  const std::vector<Batch> batches = make_batches(8);
  for (int i = 0; i < 5; ++i) twins.check_step(batches[static_cast<std::size_t>(i)]);
  const auto before = state_of(twins.captured, *twins.optimizer);
  const RandomState random = random_state();
  simulator::fail_call("cudaGraphLaunch", 1);
  CHECK(error_of([&] { twins.step(batches[5].x, batches[5].y); }).find("cudaGraphLaunch") !=
        std::string::npos);
  CHECK(state_of(twins.captured, *twins.optimizer) == before);
  CHECK(random_state() == random);
  twins.check_step(batches[6]);
}

TEST_CASE("capture: a sticky error in a replay is every later call's") {
  Simulated machine;
  machine.expect_failure();
  manual_seed(10);
  Twins twins;
  const std::vector<Batch> batches = make_batches(8);
  for (int i = 0; i < 5; ++i) twins.check_step(batches[static_cast<std::size_t>(i)]);
  simulator::fail_graph_node(0, 4);
  const auto failing = [&] {
    twins.step(batches[5].x, batches[5].y);
    synchronize(gpu);
  };
  CHECK(error_of(failing).find("cudaErrorLaunchFailure") != std::string::npos);
  CHECK(error_of(failing).find("cudaErrorLaunchFailure") != std::string::npos);
}

TEST_CASE("capture: other threads use the GPU while a step is captured") {
  const Simulated machine;
  manual_seed(11);
  const auto train = [](bool captures, std::uint64_t seed) {
    const Tensor weight = full({64, 64}, 0.01f, {.device = gpu}),
                 x = full({8, 64}, static_cast<float>(seed), {.device = gpu});
    const auto plain = [&](const Tensor& input) {
      Tensor(weight).add_(matmul(input.t(), matmul(input, weight)), 1e-6);
      return weight.sum();
    };
    std::vector<double> sums;
    for (int round = 0; round < 4; ++round) {  // each captures anew
      auto step = capture(plain, {.warmup = 1});
      for (int i = 0; i < 5; ++i) sums.push_back((captures ? step(x) : plain(x)).item());
    }
    return sums;
  };
  std::vector<std::vector<double>> expected, got(4);
  for (std::uint64_t i = 0; i < 4; ++i) expected.push_back(train(false, i));
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { got[i] = train(i % 2 == 0, i); });
  }
  CHECK(got == expected);
}

TEST_CASE("capture: events of a step and of other work are met on either side") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    simulator::Machine simulated = simulator::machine_with(1);
    simulated.seed = seed;
    const Simulated machine(simulated);
    Event before(gpu), within(gpu);
    Tensor source = zeros({1000}, {.device = gpu});
    synchronize(gpu);  // the copy stream writes it, too
    auto step = capture([&](const Tensor& x) {
      before.wait(gpu);
      Tensor y = x + source;
      within.record();
      return y;
    });
    for (int i = 0; i < 6; ++i) {
      const Tensor x = full({1000}, i, {.device = gpu});
      {
        const StreamScope copies(gpu, StreamKind::copy);
        source.fill_(10 * i);
        before.record();
      }
      const Tensor y = step(x);
      {
        const StreamScope copies(gpu, StreamKind::copy);
        within.wait(gpu);
        CHECK((y + 1).to_vector<float>() == std::vector<float>(1000, static_cast<float>(11 * i + 1)));
      }
      if (i % 2 == 0) within.synchronize();
      CHECK(within.is_done());
    }
    CHECK(step.counters().replayed == 3);
  }
}

TEST_CASE("capture: many kinds of calls keep few graphs, and say what to do") {
  const Simulated machine;
  Log log;
  auto step = capture([](const Tensor& x) { return x * 2; }, {.warmup = 1, .max_graphs = 2});
  const auto call = [&](std::int64_t n) {
    CHECK(step(full({n}, 1.5f, {.device = gpu})).to_vector<float>() ==
          std::vector<float>(static_cast<std::size_t>(n), 3.f));
  };
  for (int round = 0; round < 4; ++round)
    for (std::int64_t n = 1; n <= 3; ++n) call(n);
  CHECK(step.counters().captured == 9);  // the third one's graph takes the place of the first one's
  for (std::int64_t n = 1; n <= 4; ++n)
    for (int i = 0; i < 3; ++i) call(1);
  CHECK(log.lines.empty());
  for (std::int64_t n = 10; n < 400; ++n) call(n);
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0].find("pad them to a few shapes") != std::string::npos);
}

TEST_CASE("capture: arguments that cannot be compared, or are to be differentiated, run plainly") {
  const Simulated machine;
  Log log;
  auto step = capture([](const Tensor& x) { return (x * x).sum(); });
  Tensor x = full({3}, 2.f, {.device = gpu}).requires_grad_();
  for (int i = 0; i < 5; ++i) {
    step(x).backward();
    CHECK(x.grad().to_vector<float>() == std::vector<float>(3, 4.f));
    x.set_grad({});
  }
  CHECK(step.counters().replayed == 0);
  REQUIRE(log.lines.size() == 1);
  CHECK(log.lines[0].find("requires grad") != std::string::npos);
}

TEST_CASE("capture: a profile shows each replayed step") {
  const Simulated machine;
  manual_seed(12);
  Twins twins;
  const std::vector<Batch> batches = make_batches(6);
  Profiler profile("", {.table_rows = 0});
  for (const Batch& batch : batches) twins.step(batch.x, batch.y);
  profile.stop();
  std::int64_t calls = 0;
  for (const OpStats& op : profile.key_averages())
    if (op.name == "captured_step") calls = op.calls;
  CHECK(calls == 3);
}

TEST_CASE("capture: options out of range are refused") {
  const auto step = [] {};
  CHECK(error_of([&] { capture(step, {.warmup = 0}); }) ==
        "capture: warmup is 0; it must be at least 1, the call that makes the optimizer's state");
  CHECK(error_of([&] { capture(step, {.max_graphs = 0}); }) ==
        "capture: max_graphs is 0; it must be at least 1");
}

}  // namespace miniparallel
