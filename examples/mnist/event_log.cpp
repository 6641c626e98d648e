#include "event_log.h"

#include <miniparallel/image.h>
#include <miniparallel/ops.h>

namespace mp = miniparallel;

EventLog::EventLog(const Options& options, std::int64_t batches_per_epoch)
    : batches_per_epoch_(batches_per_epoch) {
  if (!options.log_dir.empty()) writer_.emplace(options.log_dir);
}

void EventLog::add_batch(const Scores& scores, double lr, const mp::data::LoaderPosition& at) {
  if (!writer_) return;
  step_ = at.epoch * batches_per_epoch_ + at.batch;
  writer_->add_scalar("batch/loss", scores.losses().back(), step_);
  writer_->add_scalar("batch/learning rate", lr, step_);
}

void EventLog::add_epoch(const Scores& trained, const Scores& tested, const mp::StateDict& weights,
                         const mp::data::Mnist& test_images) {
  if (!writer_) return;
  writer_->add_scalar("loss/train", trained.loss(), step_);
  writer_->add_scalar("loss/test", tested.loss(), step_);
  writer_->add_scalar("accuracy/train", trained.accuracy(), step_);
  writer_->add_scalar("accuracy/test", tested.accuracy(), step_);
  for (const auto& [name, tensor] : weights) writer_->add_histogram(name, tensor, step_);
  std::vector<mp::Tensor> images;
  for (const Mistake& mistake : tested.worst_mistakes(24))
    images.push_back(test_images.pixels().select(0, mistake.image));
  if (!images.empty()) writer_->add_image("worst mistakes", mp::make_grid(mp::stack(images)), step_);
  writer_->flush();
}
