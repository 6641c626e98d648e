#include "engine/cuda/nccl_functions.h"

#include <cstdio>
#include <string>

// The installed NCCL has what the engine calls, as its header says. Needs no GPU; exits with 77
// where NCCL is missing.

int main() {
#ifdef MINIPARALLEL_HAS_NCCL
  const miniparallel::cuda::NcclFunctions& nccl = miniparallel::cuda::nccl_functions();
  if (!nccl.unavailable.empty()) {
    std::printf("%s\n", nccl.unavailable.c_str());
    return nccl.get_error_string == nullptr && nccl.reduce == nullptr ? 77 : 1;
  }
  const auto expect = [](bool holds, const char* what) {
    if (!holds) std::printf("%s failed\n", what);
    return holds ? 0 : 1;
  };
  int failures = expect(nccl.get_error_string(ncclSuccess) == std::string("no error"), "ncclGetErrorString");
  failures += expect(nccl.group_start() == ncclSuccess, "ncclGroupStart");
  failures += expect(nccl.group_end() == ncclSuccess, "ncclGroupEnd");
  failures +=
      expect(nccl.reduce(nullptr, nullptr, 1, ncclFloat, ncclSum, 0, nullptr, nullptr) == ncclInvalidArgument,
             "ncclReduce without a communicator");
  ncclComm_t rank = nullptr;
  const int gpu = 0;
  const ncclResult_t made = nccl.comm_init_all(&rank, 1, &gpu);
  std::printf("ncclCommInitAll: %s\n", nccl.get_error_string(made));
  if (made == ncclSuccess) failures += expect(nccl.comm_abort(rank) == ncclSuccess, "ncclCommAbort");
  return failures;
#else
  std::printf("nccl.h was not found\n");
  return 77;
#endif
}
