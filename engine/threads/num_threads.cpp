#include <miniparallel/threads.h>

#include "engine/error.h"
#include "kernels/cpu/cpu_cores.h"
#include "kernels/cpu/parallel.h"

namespace miniparallel {

int num_threads() { return kernels::cpu::available_threads(); }

void set_num_threads(int count) {
  check(count >= 1, "set_num_threads: got ", count, "; at least 1 thread computes");
  kernels::cpu::set_threads(count);
}

int usable_cpu_cores() { return kernels::cpu::usable_cores(); }

}  // namespace miniparallel
