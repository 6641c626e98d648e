#pragma once

#include <miniparallel/dtype.h>
#include <miniparallel/grad_mode.h>

#include "engine/device/accelerator.h"
#include "engine/random/generator.h"
#include "engine/threads/autocast_mode.h"
#include "engine/threads/recorder.h"

#include <memory>
#include <vector>

namespace miniparallel {

/// All that a thread can set for itself and that changes what
/// ops do: handed along when work moves to another thread.
struct ThreadState {
  bool grad_mode = grad_enabled();
  DType dtype = default_dtype();
  std::shared_ptr<const AutocastMode> autocast = autocast_mode();
  RowRandomScope* random = RowRandomScope::current();
  std::vector<StreamKind> streams = chosen_streams();
  std::shared_ptr<const autograd::Recorder> recorder = autograd::current_recorder();

  /// Makes it the calling thread's.
  void install() const {
    set_grad_enabled(grad_mode);
    set_default_dtype(dtype);
    set_autocast_mode(autocast);
    RowRandomScope::set_current(random);
    set_chosen_streams(streams);
    autograd::set_current_recorder(recorder);
  }
};

/// Gives the calling thread the state of another while it lives.
class ThreadStateScope {
 public:
  explicit ThreadStateScope(const ThreadState& state) { state.install(); }
  ~ThreadStateScope() { previous_.install(); }
  ThreadStateScope(const ThreadStateScope&) = delete;
  ThreadStateScope& operator=(const ThreadStateScope&) = delete;

 private:
  ThreadState previous_;
};

}  // namespace miniparallel
