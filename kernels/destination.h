#pragma once

namespace miniparallel::kernels {

/// An array that a kernel writes or adds to, data = beta data + result; null where the result is not wanted.
struct Destination {
  void* data = nullptr;
  int beta = 0;  ///< 0 (the array need not be initialised) or 1
};

}  // namespace miniparallel::kernels
