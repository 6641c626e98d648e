#include <miniparallel/recompute.h>

#include "engine/autograd/node.h"
#include "engine/autograd/recompute.h"
#include "engine/error.h"
#include "engine/ops/batch_norm_parts.h"
#include "engine/ops/running_statistics.h"
#include "engine/random/generator.h"
#include "engine/threads/thread_state.h"

#include <optional>

namespace miniparallel::detail {

using autograd::Recomputation;

namespace {

/// Takes the statistics of a batch that has been counted before.
class CountedBefore final : public StatisticsSink {
 public:
  void add(const RunningStatistics&, const BatchStatistics&) override {}
};

class Again {
 public:
  Again(std::unique_ptr<Call> call, const std::vector<Tensor>& tensors) : call_(std::move(call)) {
    for (const Tensor& tensor : tensors)
      arguments_.push_back({autograd::save(tensor), autograd::is_tracked(tensor)});
  }

  /// What the thread can set is as it was in the first call, but for its choice of streams, which is that of
  /// the backward that waits for it.
  void operator()() {
    ThreadState modes = modes_;
    modes.streams = chosen_streams();
    const ThreadStateScope state(modes);
    const RowRandomScope random(random_);
    CountedBefore counted;
    const StatisticsScope statistics(counted);
    const BatchNormMeetingScope none(nullptr);
    std::vector<Tensor> tensors;
    for (const auto& [saved, tracked] : arguments_) {
      tensors.push_back(saved.elements("checkpoint").detach());
      if (tracked) tensors.back().requires_grad_();
    }
    call_->run(tensors);
  }

 private:
  struct Argument {
    autograd::Saved saved;
    bool tracked;
  };

  std::unique_ptr<Call> call_;
  std::vector<Argument> arguments_;
  ThreadState modes_{.random = nullptr};
  RandomPosition random_ = random_position();
};

}  // namespace

struct FirstCall::State {
  explicit State(const std::shared_ptr<Recomputation>& recomputation)
      : kept(recomputation), run(*recomputation) {}

  std::shared_ptr<Recomputation> kept;  // later on by what is saved
  Recomputation::Run run;
};

FirstCall::FirstCall(std::unique_ptr<Call> call, const std::vector<Tensor>& tensors) {
  check(batch_norm_meeting() == nullptr,
        "checkpoint: inside of a replica of BatchNormPolicy::sync, whose batch normalisations would wait for "
        "the others again in backward; use BatchNormPolicy::merge");
  state_ = std::make_unique<State>(std::make_shared<Recomputation>(
      [again = std::make_shared<Again>(std::move(call), tensors)] { (*again)(); },
      static_cast<std::int64_t>(autograd::next_sequence())));
}

FirstCall::~FirstCall() = default;

}  // namespace miniparallel::detail
