#include "nccl_communicator.h"

#include "handles.h"

#include <algorithm>

using namespace miniparallel::simulator;

namespace {

thread_local std::string last_error;

}  // namespace

namespace miniparallel::simulator {

std::string Clique::name() const {
  std::string text = "the communicator of devices ";
  for (int rank = 0; rank < size(); ++rank) text += (rank == 0 ? "" : ", ") + std::to_string(device(rank));
  return text;
}

NcclSeat Clique::seat_for(const NcclCall& call, int rank, std::uint64_t number) {
  const bool sends = call.kind == NcclKind::send, receives = call.kind == NcclKind::receive;
  const int from = sends ? rank : receives ? call.root : -1, to = sends ? call.root : receives ? rank : -1;
  const std::lock_guard lock(mutex_);
  // Those that everybody has joined need not be found again.
  std::erase_if(forming_, [](const auto& entry) { return entry.second->over(); });
  auto& rendezvous = forming_[{from, to, number}];
  if (!rendezvous && from >= 0) {
    rendezvous = std::make_shared<Rendezvous>("transfer " + std::to_string(number) + " from rank " +
                                                  std::to_string(from) + " to rank " + std::to_string(to) +
                                                  " of " + name(),
                                              std::vector{from, to}, std::vector{device(from), device(to)});
  } else if (!rendezvous) {
    std::vector<int> ranks(devices_.size());
    for (int i = 0; i < size(); ++i) ranks[static_cast<std::size_t>(i)] = i;
    rendezvous = std::make_shared<Rendezvous>(
        std::string(call.function) + ", collective " + std::to_string(number) + " of " + name(), ranks,
        devices_);
  }
  return {rendezvous, static_cast<std::size_t>(from < 0 ? rank : receives ? 1 : 0)};
}

ncclResult_t failed(ncclResult_t result, std::string text) {
  last_error = std::move(text);
  return result;
}

ncclResult_t check(ncclComm_t comm, const char* function) {
  if (comm == nullptr)
    return failed(ncclInvalidArgument, std::string(function) + ": the communicator is NULL");
  if (!Handles<ncclComm>::instance().alive(comm)) {
    return failed(ncclInvalidArgument,
                  std::string(function) + ": the communicator was destroyed or aborted before");
  }
  if (const auto error = sticky_error(comm->device()); error != cudaSuccess) {
    return failed(ncclUnhandledCudaError, std::string(function) + ": device " +
                                              std::to_string(comm->device()) + " failed before with " +
                                              cudaGetErrorName(error));
  }
  return ncclSuccess;
}

}  // namespace miniparallel::simulator

NcclSeat ncclComm::next_seat(const NcclCall& call) {
  const std::lock_guard lock(mutex);
  const auto number = call.kind == NcclKind::send      ? sends[call.root]++
                      : call.kind == NcclKind::receive ? receives[call.root]++
                                                       : collectives++;
  const NcclSeat seat = clique->seat_for(call, rank, number);
  std::erase_if(unfinished, [](const auto& entry) { return entry.first.expired(); });
  unfinished.emplace_back(seat.rendezvous, seat.index);
  return seat;
}

void ncclComm::abort() {
  const std::lock_guard lock(mutex);
  for (const auto& [rendezvous, seat] : unfinished) {
    if (const auto meeting = rendezvous.lock()) meeting->give_up(seat);
  }
}

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  if (version == nullptr) return failed(ncclInvalidArgument, "ncclGetVersion: the pointer is NULL");
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "a CUDA call inside NCCL failed";
    case ncclSystemError:
      return "a system call inside NCCL failed";
    case ncclInternalError:
      return "an internal check of NCCL failed";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "another rank failed";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

/// The last failure of a call made by this thread, "" if there was none.
const char* ncclGetLastError(ncclComm_t) { return last_error.c_str(); }

/// ncclInvalidUsage after calls that did not match, ncclUnhandledCudaError if this rank's device failed,
/// ncclRemoteError if another's did.
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  if (comm == nullptr || error == nullptr)
    return failed(ncclInvalidArgument, "ncclCommGetAsyncError: a pointer is NULL");
  if (!Handles<ncclComm>::instance().alive(comm)) return check(comm, "ncclCommGetAsyncError");
  *error = comm->clique->error;
  for (int rank = 0; rank < comm->clique->size(); ++rank) {
    if (sticky_error(comm->clique->device(rank)) != cudaSuccess) *error = ncclRemoteError;
  }
  if (sticky_error(comm->device()) != cudaSuccess) *error = ncclUnhandledCudaError;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
  if (count == nullptr) return failed(ncclInvalidArgument, "ncclCommCount: the pointer is NULL");
  if (const auto result = check(comm, "ncclCommCount"); result != ncclSuccess) return result;
  *count = comm->clique->size();
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int* device) {
  if (device == nullptr) return failed(ncclInvalidArgument, "ncclCommCuDevice: the pointer is NULL");
  if (const auto result = check(comm, "ncclCommCuDevice"); result != ncclSuccess) return result;
  *device = comm->device();
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
  if (rank == nullptr) return failed(ncclInvalidArgument, "ncclCommUserRank: the pointer is NULL");
  if (const auto result = check(comm, "ncclCommUserRank"); result != ncclSuccess) return result;
  *rank = comm->rank;
  return ncclSuccess;
}

/// Nothing to flush: work is queued as soon as a call returns.
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  return comm == nullptr ? ncclSuccess : check(comm, "ncclCommFinalize");
}

/// Frees the rank's communicator; work that is queued already still runs.
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (comm == nullptr || Handles<ncclComm>::instance().remove(comm) != nullptr) return ncclSuccess;
  return failed(ncclInvalidArgument, "ncclCommDestroy: the communicator was destroyed or aborted before");
}

/// Frees the rank's communicator and ends its work that waits for other ranks: its streams go on, and what it
/// should have received is not written. Other ranks that wait for this one have to be aborted too.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (comm == nullptr) return ncclSuccess;
  const auto removed = Handles<ncclComm>::instance().remove(comm);
  if (removed == nullptr) {
    return failed(ncclInvalidArgument, "ncclCommAbort: the communicator was destroyed or aborted before");
  }
  removed->abort();
  return ncclSuccess;
}

}  // extern "C"
