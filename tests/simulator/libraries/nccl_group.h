#pragma once
// ncclGroupStart to ncclGroupEnd: calls of one thread that start together.
#include "nccl_rendezvous.h"

namespace miniparallel::simulator {

/// A rank that wants to join the communicator of `id`.
struct NcclJoin {
  ncclComm_t* comm;
  int ranks;
  ncclUniqueId id;
  int rank;
  int device;
};

/// Checks the call, then starts it, or keeps it for the end of the thread's group. A call that fails makes
/// the whole group fail.
ncclResult_t submit(const NcclCall& call);
ncclResult_t submit(const NcclJoin& join);

/// Joins the communicators of all requests and waits until their other ranks have come (nccl_init.cpp).
ncclResult_t join_all(const std::vector<NcclJoin>& joins);

}  // namespace miniparallel::simulator
