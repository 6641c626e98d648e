#include "engine/ops/running_statistics.h"

#include <miniparallel/autograd.h>
#include <miniparallel/ops.h>

#include "engine/error.h"

#include <utility>

namespace miniparallel {
namespace {

thread_local StatisticsSink* sink = nullptr;

/// Running = (1 - 1 / batches) running + batch / batches, where only the device knows the number of batches.
void average(Tensor running, const Tensor& batch, const Tensor& batches) {
  const Tensor share = 1.0 / batches.to(float64);
  running.mul_((1.0 - share).to(running.dtype())).add_(batch * share.to(running.dtype()));
}

}  // namespace

void check_momentum(const char* op, std::optional<double> momentum) {
  check(!momentum || (*momentum >= 0 && *momentum <= 1), op, ": momentum is ", momentum.value_or(0),
        "; it must be in [0, 1]");
}

void update(const RunningStatistics& running, const BatchStatistics& batch) {
  const NoGradGuard no_grad;
  Tensor mean = running.mean, var = running.var, batches = running.num_batches_tracked;
  if (batches.defined()) batches.add_(1);
  const double unbiased = static_cast<double>(batch.count) / static_cast<double>(batch.count - 1);
  if (running.momentum) {
    const double momentum = *running.momentum;
    mean.mul_(1 - momentum).add_(batch.mean, momentum);
    var.mul_(1 - momentum).add_(batch.variance, momentum * unbiased);
  } else {
    average(mean, batch.mean, batches);
    average(var, batch.variance * unbiased, batches);
  }
}

void update_or_hand_over(const RunningStatistics& running, const BatchStatistics& batch) {
  if (sink != nullptr)
    sink->add(running, batch);
  else
    update(running, batch);
}

StatisticsScope::StatisticsScope(StatisticsSink& to) : previous_(std::exchange(sink, &to)) {}
StatisticsScope::~StatisticsScope() { sink = previous_; }

}  // namespace miniparallel
