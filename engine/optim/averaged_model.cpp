#include <miniparallel/optim/averaged_model.h>

#include "engine/ops/common.h"
#include "engine/optim/checked_count.h"
#include "engine/tensor/arena.h"

#include <algorithm>

namespace miniparallel::optim::detail {

namespace {

constexpr const char* kName = "AveragedModel";
constexpr const char* kCount = "n_averaged";
constexpr const char* kPrefix = "module.";

using Row = kernels::UpdateRow<kernels::updates::Sgd>;

/// Gradient descent on (average - value)^2 / 2, a step of which is p -= share (p - value).
Row row_towards(const void* value, void* average, std::int64_t n, double share) {
  Row row;
  row.parameter = average;
  row.gradient = value;
  row.n = n;
  row.maximize = true;
  row.weight_decay = 1;
  row.formula = {.lr = share, .momentum = 0, .gradient_scale = 1, .nesterov = false};
  return row;
}

bool can_be_updated(const Tensor& tensor) {
  return (tensor.dtype() == float32 || tensor.dtype() == float64) && tensor.impl()->contiguous;
}

void check_alike(const Tensor& average, const Tensor& value) {
  check(average.shape() == value.shape() && average.dtype() == value.dtype() &&
            average.device() == value.device(),
        kName, "::update_parameters: a tensor of the average is ", average.dtype(), " ", average.shape(),
        " on ", average.device(), ", that of the model ", value.dtype(), " ", value.shape(), " on ",
        value.device(), "; move and convert the average, average.model(), as the model");
}

struct Pair {
  Tensor average, value;
};

/// Those of one dtype on one device, in one launch.
void update(const std::vector<Pair>& pairs, double share) {
  std::vector<Row> rows;
  for_each_run(
      pairs.size(),
      [&](std::size_t i) {
        return are_neighbours(pairs[i].average, pairs[i + 1].average) &&
               are_neighbours(pairs[i].value, pairs[i + 1].value);
      },
      [&](std::size_t first, std::size_t last) {
        rows.push_back(row_towards(raw(pairs[first].value, pairs[last].value),
                                   raw(pairs[first].average, pairs[last].average),
                                   elements(pairs[first].average, pairs[last].average), share));
      });
  const Tensor& one = pairs[0].average;
  backend(one).optimizer.sgd(one.dtype(), rows, stream(one));
  for (const Pair& pair : pairs) bump_version(pair.average);
}

}  // namespace

void average(const std::vector<Tensor>& averages, const std::vector<Tensor>& values, double share) {
  const NoGradGuard no_grad;
  stop_capture("updates an AveragedModel, which counts its updates", "call update_parameters after the step");
  check(averages.size() == values.size(), kName, "::update_parameters: the average has ", averages.size(),
        " tensors, the model ", values.size(), "; pass the model that it was made of");
  for (std::size_t i = 0; i < averages.size(); ++i) check_alike(averages[i], values[i]);
  std::vector<std::vector<Pair>> batches;
  for (std::size_t i = 0; i < averages.size(); ++i) {
    Tensor moved = averages[i];
    if (share == 1 || !can_be_updated(moved) || !can_be_updated(values[i])) {
      moved.copy_(share == 1 ? values[i] : moved + (values[i] - moved) * share);
      continue;
    }
    const auto batch = std::ranges::find_if(batches, [&](const std::vector<Pair>& pairs) {
      return pairs[0].average.dtype() == moved.dtype() && pairs[0].average.device() == moved.device();
    });
    auto& pairs = batch == batches.end() ? batches.emplace_back() : *batch;
    pairs.push_back({moved, values[i]});
  }
  for (const std::vector<Pair>& pairs : batches) update(pairs, share);
}

void pack_averages(const std::vector<Tensor>& averages) {
  const bool on_one_device = std::ranges::all_of(
      averages, [&](const Tensor& tensor) { return tensor.device() == averages[0].device(); });
  if (on_one_device && !averages.empty()) pack(averages);
}

StateDict averaged_state(const StateDict& model, std::int64_t count) {
  StateDict state{{kCount, scalar_tensor(count)}};
  for (const auto& [name, tensor] : model) state[kPrefix + name] = tensor;
  return state;
}

std::pair<StateDict, std::int64_t> split_averaged_state(const StateDict& state) {
  const auto count = state.find(kCount);
  check(count != state.end(), kName, "::load_state_dict: the state has no ", kCount, "; pass that of an ",
        kName);
  StateDict model = state;
  model.erase(kCount);
  return {model, checked_count(kName, kCount, count->second, 0)};
}

void check_decay(double decay) {
  check(decay >= 0 && decay < 1, kName, ": decay is ", decay, "; it must be at least 0 and below 1");
}

}  // namespace miniparallel::optim::detail
