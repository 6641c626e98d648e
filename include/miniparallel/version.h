#pragma once

/// The version of the headers, of which the build, the packages and `version()` take theirs.
#define MINIPARALLEL_VERSION_MAJOR 0
#define MINIPARALLEL_VERSION_MINOR 1
#define MINIPARALLEL_VERSION_PATCH 0

/// The same as "major.minor.patch".
#define MINIPARALLEL_VERSION \
  MINIPARALLEL_JOIN_(MINIPARALLEL_VERSION_MAJOR, MINIPARALLEL_VERSION_MINOR, MINIPARALLEL_VERSION_PATCH)
#define MINIPARALLEL_JOIN_(major, minor, patch) MINIPARALLEL_TEXT_(major.minor.patch)
#define MINIPARALLEL_TEXT_(text) #text

namespace miniparallel {

/// The version of the linked library; differs from
/// MINIPARALLEL_VERSION when headers and library do not match.
const char* version();

}  // namespace miniparallel
