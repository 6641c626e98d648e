#pragma once

#include <miniparallel/model.h>
#include <miniparallel/nested.h>
#include <miniparallel/optim/adam.h>
#include <miniparallel/parallel/data_parallel.h>

#include <cstdint>
#include <functional>
#include <tuple>
#include <utility>
#include <vector>

namespace miniparallel {

struct FindBatchSizeOptions {
  /// The largest whole batch that is tried; on the CPU, whose memory seldom ends first, usually the answer.
  std::int64_t max_batch_size = 8192;
  /// Of training, for each size. The second one holds what the first has left, such as averages.
  int steps = 2;
};

struct BatchSize {
  std::int64_t per_device = 0;
  std::int64_t total = 0;
};

namespace parallel {

/// Tries train(rows) for twice the rows each time, until memory is used up or `options` end it. Afterwards
/// random numbers go on as before, and cached memory of the devices is given back. Throws `Error` if nothing
/// fits, and what `train` throws besides `OutOfMemoryError`.
BatchSize find_batch_size(const std::vector<Device>& placement, const FindBatchSizeOptions& options,
                          const std::function<void(std::int64_t rows)>& train);

/// `rows` rows: those of `tensor`, again and again.
Tensor repeat_rows(const Tensor& tensor, std::int64_t rows, int dim);

}  // namespace parallel

/// The largest batch of a power of two of rows for each device with which the model trains in the memory
/// there is, from a small sample (inputs..., target) whose rows are repeated:
///
///   BatchSize found = find_batch_size(model, std::tuple(x, y), cross_entropy);
///   data::DataLoader batches(dataset, {.batch_size = found.total});
///
/// Trains a copy on the model's devices by Adam, steps of forward, loss, backward and update. What the model
/// is made of stays as it is: its parameters, gradients and statistics, the random state, and but for the
/// caches, which are emptied, memory. The copy takes memory too, so that there is some to spare afterwards.
template <class Model, class... Parts, class Criterion>
BatchSize find_batch_size(const DataParallel<Model>& model, const std::tuple<Parts...>& sample,
                          const Criterion& criterion, const FindBatchSizeOptions& options = {}) {
  static_assert(sizeof...(Parts) >= 2,
                "miniparallel: find_batch_size needs a sample of the model's inputs and the target");
  DataParallelOptions copied = model.options();
  copied.devices = model.devices();
  copied.replicas = 0;  // `devices` has one for each
  copied.hints = false;
  if (copied.split.kind() == Split::Kind::sizes) copied.split = Split::balanced;
  const auto on_host = to(Device::cpu(), sample);
  return parallel::find_batch_size(model.devices(), options, [&](std::int64_t rows) {
    DataParallel<Model> copy(clone(model.model()), copied);
    copy.train();
    optim::Adam optimizer(copy.parameters());
    const auto batch = parallel::detail::map_divided(
        on_host, [&](const Tensor& tensor) { return parallel::repeat_rows(tensor, rows, copied.dim); });
    for (int step = 0; step < options.steps; ++step) {
      std::apply([&](const auto&... parts) { copy.loss(criterion, parts...).backward(); }, batch);
      optimizer.step();
      optimizer.zero_grad();
    }
  });
}

}  // namespace miniparallel
