// What the second GPU would bring: modelled training steps of three models, next to the schemes of PyTorch's
// nn.DataParallel and of libtorch's data_parallel.
//
//   scaling --machine h100

#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator_clock.h>
#include <miniparallel/simulator_costs.h>

#include "baselines.h"
#include "hidden.h"
#include "models.h"
#include "options.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

namespace scaling {
namespace {

namespace sim = miniparallel::simulator;
using baselines::LibtorchDataParallel;
using baselines::TorchDataParallel;

struct Timing {
  double seconds;  ///< of a step
  std::vector<sim::Step> timeline;
};

std::vector<Device> gpus(int count) {
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) devices.push_back(Device::cuda(i));
  return devices;
}

void synchronize_all(const std::vector<Device>& devices) {
  for (const Device device : devices) synchronize(device);
}

/// Steady steps of a model, which follow one another without waiting.
template <class Net, class Model>
Timing time_steps(Model& model, const std::vector<Tensor>& parameters, const std::vector<Device>& devices,
                  std::int64_t rows, int steps, bool captures = false) {
  auto optimizer = Net::optimizer(parameters);
  const auto [x, y] = Net::batch(rows);
  const auto plain = [&](const Tensor& inputs, const Tensor& targets) {
    const Tensor outputs = model(inputs);
    Net::loss(outputs, targets.defined() ? targets.to(devices[0]) : targets).backward();
    optimizer.step();
    optimizer.zero_grad();
  };
  auto captured = capture(plain);
  const auto step = [&, &inputs = x, &targets = y] {
    captures ? captured(inputs, targets) : plain(inputs, targets);
  };
  for (int i = 0; i < 5; ++i) step();
  synchronize_all(devices);
  const double start = sim::host_time();
  sim::start_history();
  for (int i = 0; i < steps; ++i) step();
  synchronize_all(devices);
  return {(sim::host_time() - start) / steps, sim::take_history()};
}

template <class Net>
Timing time_ours(const Net& net, int count, std::int64_t rows, const Options& options) {
  DataParallel<Net> model{
      clone(net), {.devices = gpus(count), .shard_optimizer = options.shard_optimizer, .hints = false}};
  return time_steps<Net>(model, model.parameters(), gpus(count), rows, options.steps, options.capture);
}

template <template <class> class Scheme, class Net>
Timing time_baseline(const Net& net, int count, std::int64_t rows, int steps) {
  Net master = clone(net);
  Scheme<Net> model(master, gpus(count));
  return time_steps<Net>(model, parameters(master), gpus(count), rows, steps);
}

/// The shortest of some runs of f(), nothing where memory is short. Which thread reaches a stream first
/// depends on the machine that this runs on, and some orders have streams wait in vain.
template <class F>
std::optional<Timing> best_of(int runs, F&& f) {
  std::optional<Timing> best;
  for (int run = 0; run < runs; ++run) {
    try {
      for (int i = 0; i < cuda_device_count(); ++i) empty_cache(Device::cuda(i));
      Timing timing = f();
      if (!best || timing.seconds < best->seconds) best = std::move(timing);
    } catch (const OutOfMemoryError&) {
      return {};
    }
  }
  return best;
}

/// "12.345" ms, and the efficiency where there is a step of one GPU to compare with.
std::string cell(const std::optional<Timing>& timing, const std::optional<Timing>& one = {}) {
  if (!timing) return "-";
  char text[64];
  if (one)
    std::snprintf(text, sizeof text, "%.3f (%.1f %%)", 1e3 * timing->seconds,
                  100 * one->seconds / timing->seconds);
  else
    std::snprintf(text, sizeof text, "%.3f", 1e3 * timing->seconds);
  return text;
}

void print_row(const char* model, const std::string& rows, const std::string& gpus, const std::string& alone,
               const std::string& ours, const std::string& hidden, const std::string& torch,
               const std::string& libtorch) {
  std::printf("%-9s %5s %5s %10s %20s %8s %20s %20s\n", model, rows.c_str(), gpus.c_str(), alone.c_str(),
              ours.c_str(), hidden.c_str(), torch.c_str(), libtorch.c_str());
  std::fflush(stdout);
}

/// A line for each number of GPUs. Returns the timeline of the last one.
template <class Net>
std::vector<sim::Step> print_rows(const Options& options, int available) {
  std::vector<sim::Step> timeline;
  if (std::ranges::find(options.models, Net::name) == options.models.end()) return timeline;
  Net net = Net::make();
  to(net, Device::cuda(0));
  const std::int64_t rows = options.rows > 0 ? options.rows : Net::rows;
  const auto ours = [&](int count, std::int64_t all) {
    return best_of(options.runs, [&] { return time_ours(net, count, all, options); });
  };
  const std::optional<Timing> one = ours(1, rows);
  for (const int count : options.gpus) {
    if (count > available) continue;
    const std::int64_t all = rows * count;
    const std::optional<Timing> timing = ours(count, all);
    if (timing) timeline = timing->timeline;
    char hidden[16] = "-";
    if (timing && count > 1) std::snprintf(hidden, sizeof hidden, "%.1f %%", 100 * hidden_share(timeline));
    const auto torch = best_of(
        options.runs, [&] { return time_baseline<TorchDataParallel>(net, count, all, options.steps); });
    const auto libtorch = best_of(
        options.runs, [&] { return time_baseline<LibtorchDataParallel>(net, count, all, options.steps); });
    print_row(Net::name, std::to_string(rows), std::to_string(count), cell(count == 1 ? one : ours(1, all)),
              cell(timing, one), hidden, cell(torch, one), cell(libtorch, one));
  }
  return timeline;
}

void run(const Options& options) {
  sim::Preset preset = sim::preset(options.machine);
  // Whether links carry bytes unchanged is not tried out: that takes values.
  ::setenv("MINIPARALLEL_PEER_COPIES", preset.machine.peers == sim::Peers::none ? "staged" : "direct", 0);
  sim::reset(preset.machine);
  sim::start_clock(preset.speeds, {.execute = false, .kernel_times = options.kernel_times});
  const sim::KernelCosts costs;

  const auto count = static_cast<int>(preset.machine.gpus.size());
  std::printf("modelled, not measured: up to %d x %s; ms a step (efficiency)\n", count,
              preset.machine.gpus[0].name.c_str());
  print_row("model", "rows", "GPUs", "alone", "miniparallel", "hidden", "PyTorch's scheme",
            "libtorch's scheme");
  std::vector<sim::Step> timeline;
  const auto keep = [&](std::vector<sim::Step> steps) {
    if (!steps.empty()) timeline = std::move(steps);
  };
  keep(print_rows<Mlp>(options, count));
  keep(print_rows<ResNet50>(options, count));
  keep(print_rows<Gpt2>(options, count));
  if (!options.trace.empty()) sim::write_chrome_trace(options.trace, timeline);
}

}  // namespace
}  // namespace scaling

int main(int argc, char** argv) try {
  scaling::run(parse_options(argc, argv));
} catch (const std::exception& error) {
  std::fprintf(stderr, "scaling: %s\n", error.what());
  return 1;
}
