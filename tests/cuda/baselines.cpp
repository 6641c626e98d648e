#include "examples/scaling/baselines.h"

#include <miniparallel/simulator_history.h>

#include "engine/threads/workers.h"
#include "nets.h"
#include "simulated.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <sstream>
#include <string>

// Our schedule next to PyTorch's and libtorch's, by what they ask of the GPUs.

namespace miniparallel {
namespace {

using baselines::LibtorchDataParallel;
using baselines::TorchDataParallel;
using testing::Simulated;

/// Checks that docs/data-parallel.md has `text` between the lines "<!-- made: NAME -->" and "<!-- end -->".
/// With MINIPARALLEL_UPDATE_PAGES=1 it is written there instead.
void check_page_block(const std::string& name, const std::string& text) {
  const std::string path = MINIPARALLEL_DATA_PARALLEL_PAGE, mark = "<!-- made: " + name + " -->\n";
  std::ifstream file(path);
  std::string page(std::istreambuf_iterator<char>(file), {});
  const std::size_t found = page.find(mark), begin = found + mark.size(),
                    end = page.find("<!-- end -->", found);
  REQUIRE(found != std::string::npos);
  REQUIRE(end != std::string::npos);
  if (std::getenv("MINIPARALLEL_UPDATE_PAGES") != nullptr) {
    std::ofstream(path) << page.replace(begin, end - begin, text);
    return;
  }
  CHECK_MESSAGE(page.substr(begin, end - begin) == text, path,
                " is out of date; this test with MINIPARALLEL_UPDATE_PAGES=1 writes:\n", text);
}

/// Whose counts and peaks are the same in every run.
simulator::Machine machine_with(int count) {
  simulator::Machine machine = simulator::machine_with(count);
  machine.streams = simulator::Streams::lazy;
  machine.seed = 0;
  return machine;
}

std::vector<Device> gpus(int count) {
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) devices.push_back(Device::cuda(i));
  return devices;
}

/// At least a row for each of eight replicas.
template <class Net>
std::pair<Tensor, Tensor> batch() {
  const Tensor x = Net::inputs(), y = Net::targets();
  if (x.size(0) >= 8) return {x, y};
  return {cat(std::vector<Tensor>(8, x)), cat(std::vector<Tensor>(8, y))};
}

template <class Net>
void check_gradients() {
  for (const int count : {1, 3}) {
    CAPTURE(count);
    const Simulated machine(count);
    manual_seed(7);
    Net alone;
    eval(alone);  // masks of dropout would differ
    Net torch = clone(alone), libtorch = clone(alone);
    TorchDataParallel<Net> by_torch(torch, gpus(count));
    LibtorchDataParallel<Net> by_libtorch(libtorch, gpus(count));
    const auto [x, y] = batch<Net>();
    cross_entropy(alone(x), y).backward();
    for (int step = 0; step < 2; ++step) {
      cross_entropy(by_torch(x), y.to(Device::cuda(0))).backward();
      cross_entropy(by_libtorch(x), y.to(Device::cuda(0))).backward();
      const std::vector<Tensor> expected = parameters(alone);
      for (Net* const net : {&torch, &libtorch}) {
        const std::vector<Tensor> found = parameters(*net);
        for (std::size_t i = 0; i < found.size(); ++i)
          CHECK(allclose(found[i].grad().cpu(), expected[i].grad(), 1e-4, 1e-5));
        zero_grad(*net);
      }
    }
  }
}

TEST_CASE("baselines: the gradients are those of one device") {
  check_gradients<testing::Mlp>();
  check_gradients<testing::Cnn>();
  check_gradients<testing::Transformer>();
}

/// Calls f() on a worker, where one thread does all that several would do.
template <class F>
void in_one_thread(F&& f) {
  std::promise<void> done;
  post(accelerator(Device::cuda(0)), 0, [&] {
    try {
      f();
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.get_future().get();
}

/// What a step asks of the GPUs.
struct Work {
  std::int64_t launches = 0, copies = 0, between = 0, first_peak = 0, other_peak = 0, chain = 0;
};

/// A steady step of `model`, whose parameters are `parameters`. Peaks and the chain are those of a step by
/// one thread: where gradients are added as they arrive they depend on timing, and are seldom lower.
template <class Net, class Model>
Work work_of(Model& model, const std::vector<Tensor>& parameters, int count) {
  typename Net::Optimizer optimizer(parameters, {.lr = 1e-2});
  const auto [x, y] = batch<Net>();
  const auto step = [&, &inputs = x, &targets = y] {
    const Tensor loss = cross_entropy(model(inputs), targets.to(Device::cuda(0)));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
  };
  const auto begin = [&] {
    for (const Device device : gpus(count)) synchronize(device), reset_peak_memory(device);
  };
  for (int i = 0; i < 3; ++i) begin(), step();

  begin();
  const simulator::Counters before = simulator::counters();
  step();
  const simulator::Counters counted = simulator::counters() - before;
  Work work{.launches = counted.kernels + counted.library_calls,
            .copies = counted.copies,
            .between = counted.bytes_between_devices};

  begin();
  simulator::start_history();
  in_one_thread(step);
  for (const simulator::Step& done : simulator::take_history()) work.chain = std::max(work.chain, done.depth);
  work.first_peak = memory_stats(Device::cuda(0)).peak;
  for (int i = 1; i < count; ++i)
    work.other_peak = std::max(work.other_peak, memory_stats(Device::cuda(i)).peak);
  return work;
}

template <class Net>
std::vector<Work> schemes(int count) {
  std::vector<Work> all;
  const auto with_machine = [&](const auto& run) {
    const Simulated machine(machine_with(count));
    manual_seed(1);
    all.push_back(run());
  };
  with_machine([&] {
    DataParallel model{Net{}, {.hints = false}};
    return work_of<Net>(model, model.parameters(), count);
  });
  with_machine([&] {
    Net net;
    TorchDataParallel<Net> model(net, gpus(count));
    return work_of<Net>(model, parameters(net), count);
  });
  with_machine([&] {
    Net net;
    LibtorchDataParallel<Net> model(net, gpus(count));
    return work_of<Net>(model, parameters(net), count);
  });
  return all;
}

std::string cell(const std::vector<Work>& works, std::int64_t Work::* number) {
  std::string text;
  for (const Work& work : works) text += (text.empty() ? "" : " / ") + std::to_string(work.*number);
  return text;
}

template <class Net>
void add_rows(std::ostringstream& table, const char* name) {
  for (const int count : {1, 2, 4, 8}) {
    const std::vector<Work> works = schemes<Net>(count);
    table << "| " << name << " | " << count << " | " << cell(works, &Work::launches) << " | "
          << cell(works, &Work::copies) << " | " << cell(works, &Work::between) << " | "
          << cell(works, &Work::first_peak) << " | " << cell(works, &Work::other_peak) << " | "
          << cell(works, &Work::chain) << " |\n";
  }
}

TEST_CASE("baselines: the table of docs/data-parallel.md") {
  if (simulator::machine_with(1).checking) return;  // watched arrays take operations more
  std::ostringstream table;
  table << "| | GPUs | launches | copies | bytes between GPUs | peak bytes, first GPU | peak bytes, others | "
           "longest chain |\n|---|---|---|---|---|---|---|---|\n";
  add_rows<testing::Mlp>(table, "MLP");
  add_rows<testing::Cnn>(table, "CNN");
  add_rows<testing::Transformer>(table, "transformer");
  check_page_block("schedules", table.str());
}

/// Of whose memory parameters, gradients and states are nearly all.
struct Wide {
  nn::Linear first{16, 256}, second{256, 256}, third{256, 8};
  Tensor operator()(const Tensor& x) { return third(relu(second(relu(first(x))))); }
  static Tensor inputs() { return randn({8, 16}); }
  static Tensor targets() { return randint(0, 8, {8}); }
  using Optimizer = optim::Adam;
};

TEST_CASE("baselines: the memory of a sharded optimizer, in docs/data-parallel.md") {
  if (simulator::machine_with(1).checking) return;
  std::ostringstream table;
  table << "| GPUs | the first one steps, first GPU | others | sharded, first GPU | others "
           "|\n|---|---|---|---|---|\n";
  for (const int count : {1, 2, 4, 8}) {
    table << "| " << count;
    for (const bool sharded : {false, true}) {
      const Simulated machine(machine_with(count));
      manual_seed(1);
      DataParallel model{Wide{}, {.shard_optimizer = sharded, .hints = false}};
      const Work work = work_of<Wide>(model, model.parameters(), count);
      for (const std::int64_t peak : {work.first_peak, work.other_peak})
        table << " | " << (peak == 0 ? "" : std::to_string(peak));
    }
    table << " |\n";
  }
  check_page_block("memory", table.str());
}

/// A letter for each operation of a step, in the column of its place in the longest chain, on a line for each
/// stream that has some.
class Timeline {
 public:
  void add(char phase) {
    for (const simulator::Step& step : simulator::take_history()) {
      std::string& line = lines_[{step.device, step.stream}];
      const auto column = static_cast<std::size_t>(step.depth - 1);
      if (line.size() <= column) line.resize(column + 1, ' ');
      line[column] = step.kind == simulator::StepKind::copy ? '>' : phase;
    }
  }
  std::string text() const {
    std::ostringstream text;
    std::map<int, int> streams;
    for (const auto& [stream, line] : lines_) {
      const int number = streams[stream.first]++;
      text << "cuda:" << stream.first << (number == 0 ? "    " : " ...") << "  " << line << '\n';
    }
    return text.str();
  }

 private:
  std::map<std::pair<int, int>, std::string> lines_;
};

TEST_CASE("timeline: the one of docs/data-parallel.md") {
  if (simulator::machine_with(1).checking) return;
  const Simulated machine(machine_with(2));
  manual_seed(1);
  DataParallel model{testing::Mlp{}, {.hints = false}};
  optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
  const auto [x, y] = batch<testing::Mlp>();
  std::string text;
  for (int step = 0; step < 4; ++step) {
    for (const Device device : model.devices()) synchronize(device);
    simulator::start_history();
    Timeline timeline;
    const Tensor outputs = model(x);
    timeline.add('f');
    const Tensor loss = cross_entropy(outputs, y.to(model.device()));
    timeline.add('l');
    loss.backward();
    timeline.add('b');
    optimizer.step();
    optimizer.zero_grad();
    timeline.add('o');
    text = timeline.text();
  }
  check_page_block("timeline", "```\n" + text + "```\n");
}

}  // namespace
}  // namespace miniparallel
