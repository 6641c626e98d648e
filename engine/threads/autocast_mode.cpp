#include "engine/threads/autocast_mode.h"

#include <utility>

namespace miniparallel {
namespace {

std::shared_ptr<const AutocastMode>& current() {
  thread_local std::shared_ptr<const AutocastMode> mode;
  return mode;
}

}  // namespace

const std::shared_ptr<const AutocastMode>& autocast_mode() { return current(); }

void set_autocast_mode(std::shared_ptr<const AutocastMode> mode) {
  in_autocast = mode != nullptr;
  current() = std::move(mode);
}

AutocastModeScope::AutocastModeScope(std::shared_ptr<const AutocastMode> mode) : previous_(autocast_mode()) {
  set_autocast_mode(std::move(mode));
}
AutocastModeScope::~AutocastModeScope() { set_autocast_mode(std::move(previous_)); }

}  // namespace miniparallel
