#pragma once

namespace miniparallel {

/// Whether ops record a graph in this thread; true at the start.
bool grad_enabled();
void set_grad_enabled(bool enabled);

/// While it lives, ops in this thread record nothing.
class NoGradGuard {
 public:
  NoGradGuard() : previous_(grad_enabled()) { set_grad_enabled(false); }
  ~NoGradGuard() { set_grad_enabled(previous_); }
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool previous_;
};

}  // namespace miniparallel
