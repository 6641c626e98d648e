// NCCL's operations under their own names, and the table of them. Each reads `send` and writes `receive` when
// its turn on the stream has come and all ranks have called it.
#include "miniparallel/simulator_nccl.h"
#include "nccl_group.h"

using namespace miniparallel::simulator;

extern "C" {

/// Every rank receives what `root` sends.
ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return submit(NcclCall{NcclKind::broadcast, "ncclBroadcast", send, receive, count, type, ncclSum, root,
                         comm, stream});
}

/// ncclBroadcast in place.
ncclResult_t ncclBcast(void* buffer, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                       cudaStream_t stream) {
  return submit(
      NcclCall{NcclKind::broadcast, "ncclBcast", buffer, buffer, count, type, ncclSum, root, comm, stream});
}

/// `root` receives the reduction over the ranks; the others may pass no `receive`.
ncclResult_t ncclReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                        int root, ncclComm_t comm, cudaStream_t stream) {
  return submit(NcclCall{NcclKind::reduce, "ncclReduce", send, receive, count, type, op, root, comm, stream});
}

/// Every rank receives the reduction over the ranks.
ncclResult_t ncclAllReduce(const void* send, void* receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  return submit(
      NcclCall{NcclKind::all_reduce, "ncclAllReduce", send, receive, count, type, op, 0, comm, stream});
}

/// Rank r receives block r, of `count` elements, of the reduction over the ranks.
ncclResult_t ncclReduceScatter(const void* send, void* receive, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return submit(NcclCall{NcclKind::reduce_scatter, "ncclReduceScatter", send, receive, count, type, op, 0,
                         comm, stream});
}

/// Every rank receives the blocks of all ranks, of `count` elements each, in their order.
ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return submit(
      NcclCall{NcclKind::all_gather, "ncclAllGather", send, receive, count, type, ncclSum, 0, comm, stream});
}

/// Waits until rank `peer` receives.
ncclResult_t ncclSend(const void* send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return submit(
      NcclCall{NcclKind::send, "ncclSend", send, nullptr, count, type, ncclSum, peer, comm, stream});
}

/// Waits until rank `peer` sends.
ncclResult_t ncclRecv(void* receive, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return submit(
      NcclCall{NcclKind::receive, "ncclRecv", nullptr, receive, count, type, ncclSum, peer, comm, stream});
}

}  // extern "C"

namespace miniparallel::simulator {

const NcclTable& nccl_functions() {
  static const NcclTable table = [] {
    NcclTable filled;
#define MINIPARALLEL_NCCL_FILL(name) filled.name = &::nccl##name;
    MINIPARALLEL_NCCL_FUNCTIONS(MINIPARALLEL_NCCL_FILL)
#undef MINIPARALLEL_NCCL_FILL
    return filled;
  }();
  return table;
}

}  // namespace miniparallel::simulator
