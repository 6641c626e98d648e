#pragma once

#include <cublas_v2.h>

namespace miniparallel::kernels::cuda {

void check_cublas(cublasStatus_t status, const char* call);

}  // namespace miniparallel::kernels::cuda

/// CUBLAS_CHECK(cublasSgemm(...)): a failure is an `Error` with the call, the device and cuBLAS's text.
#define CUBLAS_CHECK(...) ::miniparallel::kernels::cuda::check_cublas((__VA_ARGS__), #__VA_ARGS__)
