#include <miniparallel/grad_mode.h>

namespace miniparallel {
namespace {

thread_local bool grad_mode = true;

}  // namespace

bool grad_enabled() { return grad_mode; }
void set_grad_enabled(bool enabled) { grad_mode = enabled; }

}  // namespace miniparallel
