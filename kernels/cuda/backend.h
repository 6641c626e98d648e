#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels {

const Backend& cuda_backend();

namespace cuda {

const Elementwise& elementwise();

/// Gives back what the kernels keep on the devices; the next use makes it anew.
void release();

}  // namespace cuda
}  // namespace miniparallel::kernels
