#include "engine/threads/recorder.h"

namespace miniparallel::autograd {
namespace {

thread_local std::shared_ptr<const Recorder> recorder_here;

}  // namespace

const std::shared_ptr<const Recorder>& current_recorder() { return recorder_here; }
void set_current_recorder(std::shared_ptr<const Recorder> recorder) { recorder_here = std::move(recorder); }

}  // namespace miniparallel::autograd
