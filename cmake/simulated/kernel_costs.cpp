#include <miniparallel/profiler.h>
#include <miniparallel/simulator_clock.h>
#include <miniparallel/simulator_costs.h>

#include "engine/profiler/current_event.h"
#include "engine/profiler/span.h"

#include <algorithm>
#include <string_view>

// From the sizes of a launcher's call to the bytes and operations of its kernels. Arrays of a channel, of a
// row or of an index count as nothing next to those of the whole shape.

namespace miniparallel::simulator {
namespace {

using profiler::Event;

/// How often a launcher passes over arrays of its shape, reading or writing.
struct Passes {
  std::string_view launcher;
  int count;
};
constexpr Passes kPasses[] = {
    {"cross_entropy.forward", 1},
    {"cross_entropy.backward", 2},
    {"indexing.gather", 2},
    {"indexing.scatter_add", 3},
    {"loss_scale.unscale", 2},
    {"norm.batch_statistics", 2},
    {"norm.batch_normalize", 2},
    {"norm.batch_sums", 2},
    {"norm.batch_data_gradient", 3},
    {"norm.layer_forward", 2},
    {"norm.layer_data_gradient", 3},
    {"norm.layer_parameter_gradient", 2},
    {"optimizer.norm", 1},
    {"optimizer.clip_norm", 2},
    {"optimizer.clip_value", 2},
    {"optimizer.sgd", 5},  // the parameter and a state, both ways, and the gradient
    {"optimizer.adagrad", 5},
    {"optimizer.lion", 5},
    {"recurrent.lstm_forward", 15},  // of one gate or state: two sums, gates, c, c' and h'
    {"recurrent.lstm_backward", 13},
    {"recurrent.gru_forward", 11},
    {"recurrent.gru_backward", 15},
    {"softmax.forward", 2},
    {"softmax.backward", 3},
};
constexpr int kOptimizerPasses = 7;  // of those with two states

int passes_of(std::string_view launcher) {
  const auto* const found = std::ranges::find(kPasses, launcher, &Passes::launcher);
  if (found != std::end(kPasses)) return found->count;
  return launcher.starts_with("optimizer.") ? kOptimizerPasses : 1;
}

double product(const Event& event, int first, int last) {
  double result = 1;
  for (int i = first; i <= last; ++i) result *= static_cast<double>(event.sizes[i]);
  return result;
}

/// "n in_channels in_h in_w out_channels kernel_h kernel_w stride groups". The padding is not among them: it
/// is taken to leave one output for each step of the stride.
Cost convolution(const Event& event, double bytes) {
  const auto size = [&](int i) { return static_cast<double>(event.sizes[i]); };
  const std::int64_t stride = event.sizes[7];
  const auto outputs = [&](int i) { return static_cast<double>((event.sizes[i] + stride - 1) / stride); };
  const double y = size(0) * size(4) * outputs(2) * outputs(3);
  const double depth = size(1) / size(8) * size(5) * size(6);
  return {.bytes = bytes * (product(event, 0, 3) + y + size(4) * depth),
          .arrays = 1,
          .operations = 2 * y * depth};
}

/// "batch n m e ev". As many products of n x m scores as the kernels make; what a causal
/// mask spares is counted.
Cost attention(const Event& event, double bytes, bool backward) {
  const auto size = [&](int i) { return static_cast<double>(event.sizes[i]); };
  const double n = size(1), m = size(2), e = size(3), ev = size(4);
  const double arrays = size(0) * (n * e + m * e + m * ev + n * ev);
  const double depth = backward ? 4 * e + 3 * ev : e + ev;
  return {
      .bytes = bytes * arrays * (backward ? 3 : 1), .arrays = 1, .operations = 2 * size(0) * n * m * depth};
}

Cost cost_of(const Event& event) {
  const std::string_view name = event.name;
  const double bytes = event.has_dtype ? static_cast<double>(size_of(event.dtype)) : 4;
  const int last = event.size_count - 1;
  // Arrays of one shape, wherever the pointers say: elementwise functions, dropout, pointwise losses.
  if (event.labels == nullptr) return {.bytes = bytes * product(event, 0, last)};
  if (name == "collective.sum") return {.bytes = bytes * product(event, 1, 1)};  // summands and sum
  if (name == "collective.copy") return {.bytes = product(event, 1, 1)};         // each row's two sides
  if (name.starts_with("conv2d.")) return convolution(event, bytes);
  if (name.starts_with("attention.")) return attention(event, bytes, name == "attention.backward");
  const int passes = passes_of(name);
  if (name.starts_with("optimizer.") || name == "loss_scale.unscale")
    return {.bytes = bytes * product(event, 1, 1), .arrays = passes};
  // "indices bound": an int64 for each index, and the index, which is counted as one, too.
  if (name == "indexing.positions") return {.bytes = 8 * product(event, 0, 0), .arrays = 2};
  // "outer rows inner count": what is picked; "planes in_h in_w out_h out_w": both sides.
  if (name.starts_with("indexing."))
    return {.bytes = bytes * product(event, 0, 0) * product(event, 2, 3), .arrays = passes};
  if (name.starts_with("pool2d."))
    return {.bytes = bytes * product(event, 0, 0) * (product(event, 1, 2) + product(event, 3, 4)),
            .arrays = 1};
  // "batch rows inner columns": the product itself is a library's; what is left is a pass over the result.
  if (name == "matmul.multiply")
    return {.bytes = bytes * product(event, 0, 1) * product(event, 3, 3), .arrays = 2};
  return {.bytes = bytes * product(event, 0, last), .arrays = passes};
}

/// All that a launcher does is charged to its first kernel; others of the same call only take their launch.
std::optional<Cost> cost_of_launch() {
  thread_local const Event* charged = nullptr;
  thread_local std::int64_t charged_start = 0;
  const Event* const event = profiler::current_event();
  if (event == nullptr || event->kind != profiler::Kind::kernel || event->size_count == 0) return {};
  if (event == charged && event->start == charged_start) return Cost{.arrays = 1};
  charged = event;
  charged_start = event->start;
  Cost cost = cost_of(*event);
  if (event->has_dtype && event->dtype == float64) cost.unit = Unit::float64;
  return cost;
}

}  // namespace

KernelCosts::KernelCosts()
    : profiler_(std::make_unique<Profiler>("", ProfilerOptions{.table_rows = 0, .max_events = 0})) {
  set_cost_source(cost_of_launch);
}

KernelCosts::~KernelCosts() { set_cost_source(nullptr); }

}  // namespace miniparallel::simulator
