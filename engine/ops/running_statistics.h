#pragma once

#include <miniparallel/activation.h>
#include <miniparallel/tensor.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace miniparallel {

/// The running statistics of a batch normalisation: (channels) each. `num_batches_tracked`, int64 without
/// dimensions, is undefined where nothing counts the batches; without a momentum it is the number of batches
/// of which the statistics are the plain average.
struct RunningStatistics {
  Tensor mean, var, num_batches_tracked;
  std::optional<double> momentum;
};

/// Mean and biased variance of the `count` values per channel of one training batch.
struct BatchStatistics {
  Tensor mean, variance;
  std::int64_t count = 0;
};

/// Throws, naming `op`, unless the momentum, if there is one, is in [0, 1].
void check_momentum(const char* op, std::optional<double> momentum);

/// What a batch does to the statistics of one layer.
struct StatisticsUpdate {
  RunningStatistics running;
  BatchStatistics batch;
};

/// How a batch was divided: `batch` holds the means and variances of its first part, those of each further
/// part are `stride` elements after those of the one before; its `count` is that of all. `shares` of the
/// parts sum to 1.
struct BatchParts {
  std::vector<double> shares = {1};
  std::int64_t stride = 0;
};

/// The only place where training changes running statistics, by one launch for all updates, which are of one
/// device and dtype; no two of them share buffers. Parts are merged by counts, means and squared deviations;
/// the variance enters as its unbiased estimate. Waits for nothing.
void update(std::span<const StatisticsUpdate> updates, const BatchParts& parts = {});

/// New memory for the mean and the variance of `count` values per channel.
BatchStatistics make_statistics(std::int64_t channels, DType dtype, Device device, std::int64_t count);
/// The same, of the calling thread's sink if it has one: for what running statistics are updated with.
BatchStatistics place_statistics(std::int64_t channels, DType dtype, Device device, std::int64_t count);
/// `update`, unless the calling thread has a sink: that gets the statistics in its place and says what
/// becomes of them, so that parts of one batch can be merged before they count.
void update_or_hand_over(const RunningStatistics& running, const BatchStatistics& batch);

class StatisticsSink {
 public:
  /// Memory for what the next `add` will bring.
  virtual BatchStatistics place(std::int64_t channels, DType dtype, Device device, std::int64_t count) {
    return make_statistics(channels, dtype, device, count);
  }
  virtual void add(const RunningStatistics& running, const BatchStatistics& batch) = 0;
  /// What the `Error` of a batch with one value per channel adds to its advice.
  virtual std::string advice_on_one_value() const { return {}; }

 protected:
  ~StatisticsSink() = default;
};

/// Of the calling thread's sink, if it has one.
std::string advice_on_one_value();

/// While it lives, the calling thread's statistics go to the sink.
class StatisticsScope {
 public:
  explicit StatisticsScope(StatisticsSink& sink);
  ~StatisticsScope();
  StatisticsScope(const StatisticsScope&) = delete;
  StatisticsScope& operator=(const StatisticsScope&) = delete;

 private:
  StatisticsSink* previous_;
};

/// What follows batch normalisation within the same op.
struct BatchNormEnd {
  Activation activation = Activation::none;
  Tensor residual = {};  ///< added before the activation
};

/// `batch_norm` of ops.h, for a layer that counts its batches.
Tensor batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const RunningStatistics& running,
                  bool training, double eps, const BatchNormEnd& end = {});

}  // namespace miniparallel
