#pragma once

#include "engine/capturing.h"

#include <cstddef>
#include <vector>

namespace miniparallel::optim {

/// The numbers of a captured optimizer's step, in the memory that its kernels read them from. The step that
/// is captured takes the memory; before each further run the same updates write to it, in the same order, and
/// launch nothing.
class CapturedRules {
 public:
  /// While it lives, the thread's updates write here.
  class Scope {
   public:
    explicit Scope(CapturedRules& rules);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    CapturedRules* previous_;
  };

  /// The memory of the next update.
  Capture::Numbers next(Device device, std::size_t bytes);
  /// Whether the update is in the graph already.
  bool is_captured() const { return captured_; }
  /// The updates that follow begin anew.
  void rewind() {
    captured_ = true;
    position_ = 0;
  }

 private:
  bool captured_ = false;
  std::size_t position_ = 0;
  std::vector<Capture::Numbers> updates_;
};

/// Where the calling thread's updates write their numbers; null for kernels' arguments.
extern constinit thread_local CapturedRules* captured_rules;

}  // namespace miniparallel::optim
