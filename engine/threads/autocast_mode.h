#pragma once

#include <miniparallel/dtype.h>

#include <memory>

namespace miniparallel {

class CastCache;

/// What an `Autocast` guard sets for a thread.
struct AutocastMode {
  DType dtype;
  std::shared_ptr<CastCache> casts;  ///< of the outermost guard
};

/// Whether there is a mode: what every op that has a rule asks.
inline constinit thread_local bool in_autocast = false;

/// The calling thread's; null outside of every guard, and within one that is not enabled.
const std::shared_ptr<const AutocastMode>& autocast_mode();
void set_autocast_mode(std::shared_ptr<const AutocastMode> mode);

/// The same mode, with casts of its own; null of null.
std::shared_ptr<const AutocastMode> with_own_casts(const std::shared_ptr<const AutocastMode>& mode);

/// While it lives, the calling thread has this mode; null: none.
class AutocastModeScope {
 public:
  explicit AutocastModeScope(std::shared_ptr<const AutocastMode> mode);
  ~AutocastModeScope();
  AutocastModeScope(const AutocastModeScope&) = delete;
  AutocastModeScope& operator=(const AutocastModeScope&) = delete;

 private:
  std::shared_ptr<const AutocastMode> previous_;
};

}  // namespace miniparallel
