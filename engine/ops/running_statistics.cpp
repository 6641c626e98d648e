#include "engine/ops/running_statistics.h"

#include <miniparallel/autograd.h>

#include "engine/ops/common.h"
#include "engine/ops/half.h"

#include <utility>

namespace miniparallel {
namespace {

thread_local StatisticsSink* sink = nullptr;

/// What the kernel writes: the buffer, or a copy where its elements are no array or have 16 bits.
struct Written {
  Tensor buffer, elements;

  explicit Written(const Tensor& of) : buffer(of), elements(is_half(of) ? of.to(float32) : of.contiguous()) {}
  void finish() {
    if (elements.is_same(buffer))
      bump_version(buffer);
    else
      buffer.copy_(elements);
  }
};

}  // namespace

void check_momentum(const char* op, std::optional<double> momentum) {
  check(!momentum || (*momentum >= 0 && *momentum <= 1), op, ": momentum is ", momentum.value_or(0),
        "; it must be in [0, 1]");
}

void update(std::span<const StatisticsUpdate> updates, const BatchParts& parts) {
  if (updates.empty()) return;
  check(parts.shares.size() <= kernels::kMaxParts, "batch_norm: a batch in ", parts.shares.size(),
        " parts; its statistics can be merged from at most ", kernels::kMaxParts);
  const NoGradGuard no_grad;
  std::vector<kernels::RunningRow> rows;
  std::vector<Written> written;
  for (const auto& [running, batch] : updates) {
    const Tensor& batches = running.num_batches_tracked;
    if (batches.defined())
      check(batches.dtype() == int64, "batch_norm: num_batches_tracked is ", batches.dtype(),
            "; it must be int64");
    else
      check(running.momentum.has_value(),
            "batch_norm: without a momentum num_batches_tracked is undefined; it must be an int64 tensor");
    check_same_device("batch_norm", {running.mean, batches});
    written.emplace_back(running.mean);
    written.emplace_back(running.var);
    kernels::RunningRow& row = rows.emplace_back();
    row.mean = raw(written.end()[-2].elements);
    row.var = raw(written.end()[-1].elements);
    if (batches.defined()) {
      written.emplace_back(batches);
      row.batches = reinterpret_cast<std::int64_t*>(raw(written.back().elements));
    }
    row.batch_mean = raw(batch.mean);
    row.batch_variance = raw(batch.variance);
    row.channels = batch.mean.numel();
    row.momentum = running.momentum.value_or(-1);
    row.unbiased = static_cast<double>(batch.count) / static_cast<double>(batch.count - 1);
  }
  const Tensor& like = updates[0].batch.mean;
  backend(like).norm.update_running(like.dtype(), {rows, parts.shares, parts.stride}, stream(like));
  for (Written& buffer : written) buffer.finish();
}

BatchStatistics make_statistics(std::int64_t channels, DType dtype, Device device, std::int64_t count) {
  return {make_tensor({channels}, dtype, device), make_tensor({channels}, dtype, device), count};
}

BatchStatistics place_statistics(std::int64_t channels, DType dtype, Device device, std::int64_t count) {
  return sink != nullptr ? sink->place(channels, dtype, device, count)
                         : make_statistics(channels, dtype, device, count);
}

void update_or_hand_over(const RunningStatistics& running, const BatchStatistics& batch) {
  if (sink != nullptr)
    sink->add(running, batch);
  else
    update({{{running, batch}}});
}

std::string advice_on_one_value() { return sink == nullptr ? std::string() : sink->advice_on_one_value(); }

StatisticsScope::StatisticsScope(StatisticsSink& to) : previous_(std::exchange(sink, &to)) {}
StatisticsScope::~StatisticsScope() { sink = previous_; }

}  // namespace miniparallel
