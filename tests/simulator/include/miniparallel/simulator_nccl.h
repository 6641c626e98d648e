#pragma once
// The NCCL functions that a training library uses, as a table: a program fills it from libnccl.so with
// dlopen, and a test from the simulator.
#include <nccl.h>

namespace miniparallel::simulator {

// clang-format off
#define MINIPARALLEL_NCCL_FUNCTIONS(F)                                                         \
  F(GetVersion) F(GetErrorString) F(GetLastError) F(GetUniqueId)                               \
  F(CommInitAll) F(CommInitRank) F(CommFinalize) F(CommDestroy) F(CommAbort)                   \
  F(CommGetAsyncError) F(CommCount) F(CommCuDevice) F(CommUserRank) F(GroupStart) F(GroupEnd)  \
  F(Broadcast) F(Bcast) F(Reduce) F(AllReduce) F(ReduceScatter) F(AllGather) F(Send) F(Recv)
// clang-format on

/// AllReduce is ncclAllReduce, and so on.
struct NcclTable {
#define MINIPARALLEL_NCCL_MEMBER(name) decltype(&::nccl##name) name = nullptr;
  MINIPARALLEL_NCCL_FUNCTIONS(MINIPARALLEL_NCCL_MEMBER)
#undef MINIPARALLEL_NCCL_MEMBER
};

/// The simulator's functions. They are also there under NCCL's own names, for programs that link to NCCL.
const NcclTable& nccl_functions();

}  // namespace miniparallel::simulator
