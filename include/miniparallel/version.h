#pragma once

/// The version of the headers, as "major.minor.patch".
#define MINIPARALLEL_VERSION "0.1.0"

namespace miniparallel {

/// The version of the linked library; differs from MINIPARALLEL_VERSION when headers and library do not
/// match.
const char* version();

}  // namespace miniparallel
