#include "engine/capturing.h"

namespace miniparallel {

constinit thread_local Capture* capturing = nullptr;

}  // namespace miniparallel
