#pragma once

#include <atomic>

namespace miniparallel::kernels {

/// What `set_allow_tf32` set: whether GPUs may round float32 operands of products and convolutions to TF32.
inline std::atomic<bool> tf32_is_allowed = false;

}  // namespace miniparallel::kernels
