#pragma once

#include <cstdint>
#include <optional>

/// Labels and indices out of range: a kernel cannot throw, so it notes the first one in its device's word,
/// skips the access and continues. The word is in pinned memory: the host looks at it without a copy.

namespace miniparallel::kernels::cuda {

struct BadIndex {
  const char* op;
  std::int64_t index, bound;
};

struct BadIndexWord {
  unsigned taken;  ///< by the thread that writes the rest
  unsigned ready;  ///< set after the rest
  BadIndex what;
};

/// The device's word, made on first use.
BadIndexWord* bad_index_word(int device);

/// The index that a kernel of the device has noted since the last call, if it has reached the host.
std::optional<BadIndex> take_bad_index(int device);

void release_bad_index_words();

}  // namespace miniparallel::kernels::cuda
