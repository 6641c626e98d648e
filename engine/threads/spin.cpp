#include "engine/threads/spin.h"

#include <miniparallel/threads.h>

#include <atomic>

namespace miniparallel {
namespace {

std::atomic<int> workers = 0;

}  // namespace

void count_workers(int change) { workers += change; }
void forget_workers() { workers = 0; }

bool leave_cores() {
  static const int cores = usable_cpu_cores();
  return workers < cores;
}

}  // namespace miniparallel
