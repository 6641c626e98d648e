#pragma once

#include <limits>
#include <memory>
#include <string>
#include <utility>

namespace miniparallel::autograd {

/// One of several that record parts of one graph side by side, such as the replicas of a model. Nodes
/// remember who recorded them: gradients that several recorders send to one node add up as a tree
/// over their ranks, whatever the order in which they arrive, and of several errors of a walk the
/// lowest rank's is thrown.
struct Recorder {
  int rank = 0;
  std::string description;  ///< for notes on errors: "replica 1 on cuda:1, rows [3, 6)"
};

/// Outside of every recorder; orders after them all.
inline constexpr int kNoRank = std::numeric_limits<int>::max();

/// Who records in the calling thread; null outside.
const std::shared_ptr<const Recorder>& current_recorder();
void set_current_recorder(std::shared_ptr<const Recorder> recorder);

/// While it lives, `recorder` records what the calling thread does.
class RecorderScope {
 public:
  explicit RecorderScope(std::shared_ptr<const Recorder> recorder) : previous_(current_recorder()) {
    set_current_recorder(std::move(recorder));
  }
  ~RecorderScope() { set_current_recorder(std::move(previous_)); }
  RecorderScope(const RecorderScope&) = delete;
  RecorderScope& operator=(const RecorderScope&) = delete;

 private:
  std::shared_ptr<const Recorder> previous_;
};

}  // namespace miniparallel::autograd
