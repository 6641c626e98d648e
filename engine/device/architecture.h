#pragma once

namespace miniparallel {

/// The compute capability that the code which a GPU runs was compiled for, 10 * major + minor: its own, or an
/// older one that this build has code for. Defined by the one file that knows the backends.
int code_architecture(int device);

}  // namespace miniparallel
