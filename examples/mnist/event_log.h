#pragma once

#include <miniparallel/data.h>
#include <miniparallel/state_dict.h>
#include <miniparallel/tensorboard.h>

#include "options.h"
#include "progress.h"

#include <optional>

/// What TensorBoard shows of the training. Does nothing without --log-dir.
class EventLog {
 public:
  EventLog(const Options& options, std::int64_t batches_per_epoch);

  /// `at`: where the loader stands.
  void add_batch(const Scores& scores, double lr, const miniparallel::data::LoaderPosition& at);

  /// Also how the weights are distributed, and the images of the worst mistakes.
  void add_epoch(const Scores& trained, const Scores& tested, const miniparallel::StateDict& weights,
                 const miniparallel::data::Mnist& test_images);

 private:
  std::optional<miniparallel::tensorboard::SummaryWriter> writer_;
  std::int64_t batches_per_epoch_;
  std::int64_t step_ = 0;  ///< batches so far, also those before this run continued
};
