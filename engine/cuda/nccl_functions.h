#pragma once

#include <string>

// Without NCCL's header the library is built without NCCL.
#if __has_include(<nccl.h>)
#include <nccl.h>
#define MINIPARALLEL_HAS_NCCL
#endif

namespace miniparallel::cuda {

#ifdef MINIPARALLEL_HAS_NCCL
/// The functions of NCCL that the engine calls; null where they cannot be had.
struct NcclFunctions {
  decltype(&::ncclGetErrorString) get_error_string = nullptr;
  decltype(&::ncclCommInitAll) comm_init_all = nullptr;
  decltype(&::ncclCommAbort) comm_abort = nullptr;
  decltype(&::ncclGroupStart) group_start = nullptr;
  decltype(&::ncclGroupEnd) group_end = nullptr;
  decltype(&::ncclReduce) reduce = nullptr;
  std::string unavailable;  ///< why there are none; "" when there are
};

/// From libnccl.so.2, which is opened by the first call. The simulated library has another definition.
const NcclFunctions& nccl_functions();
#endif

}  // namespace miniparallel::cuda
