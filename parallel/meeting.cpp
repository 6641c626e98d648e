#include "parallel/meeting.h"

#include "engine/error.h"
#include "parallel/run_together.h"

#include <algorithm>
#include <utility>

namespace miniparallel::parallel {

using autograd::Recorder;

Meeting::Seat::Seat(Meeting& meeting, std::size_t i)
    : meeting_(meeting), i_(i), exceptions_(std::uncaught_exceptions()) {}

Meeting::Seat::~Seat() { meeting_.leave(i_, std::uncaught_exceptions() > exceptions_); }

Meeting::Meeting(const ReplicaTensors& tensors, const Division& division,
                 const std::vector<std::shared_ptr<const Recorder>>& recorders)
    : tensors_(tensors) {
  for (std::size_t i = 0; i < recorders.size(); ++i) {
    Replica& replica = replicas_.emplace_back();
    replica.number = division.replicas[i];
    replica.recorder = recorders[i];
  }
}

void Meeting::meet(std::size_t i, BatchNormPart& part) {
  std::unique_lock lock(mutex_);
  Replica& self = replicas_[i];
  self.part = &part;
  end_if_complete();
  over_.wait(lock, [&self] { return self.part == nullptr; });
  if (self.error) std::rethrow_exception(std::exchange(self.error, nullptr));
}

void Meeting::leave(std::size_t i, bool failed) {
  const std::scoped_lock lock(mutex_);
  replicas_[i].ended = true;
  replicas_[i].failed = failed;
  end_if_complete();
}

void Meeting::end_if_complete() {
  const auto waits = [](const Replica& replica) { return replica.part != nullptr; };
  const auto is_away = [&](const Replica& replica) { return !waits(replica) && !replica.ended; };
  if (std::ranges::any_of(replicas_, is_away) || std::ranges::none_of(replicas_, waits)) return;
  const auto first = std::ranges::find_if(replicas_, waits);
  try {
    join();
  } catch (...) {
    first->error = std::current_exception();
  }
  for (Replica& replica : replicas_) {
    if (first->error && waits(replica) && !replica.error)
      replica.error = std::make_exception_ptr(Abandoned("batch_norm: another replica has failed"));
    replica.part = nullptr;
  }
  over_.notify_all();
}

/// Throws what the first replica that waits is to throw; the others are abandoned then.
void Meeting::join() {
  if (std::ranges::any_of(replicas_, &Replica::failed))
    throw Abandoned("batch_norm: another replica has failed");
  const auto ended = std::ranges::find_if(replicas_, &Replica::ended);
  check(ended == replicas_.end(),
        "batch_norm: ", ended == replicas_.end() ? "" : ended->recorder->description,
        " has returned without this layer; with BatchNormPolicy::sync every replica must call the same "
        "layers in "
        "the same order");
  check_one_layer();
  std::vector<BatchNormPart*> parts;
  for (const Replica& replica : replicas_) parts.push_back(replica.part);
  // The node is nobody's alone; its errors count as the first replica's, whichever came last.
  const autograd::RecorderScope scope(std::make_shared<const Recorder>(
      Recorder{replicas_[0].recorder->rank, "batch normalisation over all replicas"}));
  join_parts(parts);
}

/// Layers are told apart by their running statistics; without, by what join_parts compares.
void Meeting::check_one_layer() const {
  const auto identity = [this](const Replica& replica) {
    const Tensor& mean = replica.part->running.mean;
    return mean.defined() ? tensors_.master_buffer(replica.number, mean).impl() : nullptr;
  };
  for (const Replica& replica : replicas_)
    check(identity(replica) == identity(replicas_[0]), "batch_norm: ", replica.recorder->description,
          " is at another layer than ", replicas_[0].recorder->description,
          "; with BatchNormPolicy::sync every replica must call the same layers in the same order");
}

}  // namespace miniparallel::parallel
