#pragma once

namespace miniparallel {

/// Tells the core that its thread looks for something again and again.
inline void pause_core() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace miniparallel
