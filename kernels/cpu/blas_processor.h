#pragma once

namespace miniparallel::kernels::cpu {

/// Has OpenBLAS take the kernels for the instruction set that the processor has, where it does not know the
/// processor's model and took those of 2004, which are several times as slow. Leaves the choice to whoever
/// set OPENBLAS_CORETYPE. Call it while no other thread uses OpenBLAS. Whether it changed something.
bool tell_blas_of_processor();

/// Whether OpenBLAS has taken kernels for an older instruction set than the library's own are for, as where
/// OPENBLAS_CORETYPE says so: then these are faster.
bool blas_lags();

}  // namespace miniparallel::kernels::cpu
