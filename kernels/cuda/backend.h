#pragma once

#include "kernels/backend.h"

namespace miniparallel::kernels {

const Backend& cuda_backend();

namespace cuda {

#define MP_DECLARE(Family, name) const Family& name();
MP_FAMILIES(MP_DECLARE)
#undef MP_DECLARE

/// Makes what the kernels keep for a stream and would make when they first use it.
void prepare(Stream stream);
/// Gives back what the kernels keep on the devices; the next use makes it anew.
void release();

}  // namespace cuda
}  // namespace miniparallel::kernels
