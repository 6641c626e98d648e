#include <miniparallel/version.h>

namespace miniparallel {

const char* version() { return MINIPARALLEL_VERSION; }

}  // namespace miniparallel
