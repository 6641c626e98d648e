#include "nccl_group.h"

#include "nccl_communicator.h"
#include "reduction.h"

#include <atomic>

namespace miniparallel::simulator {
namespace {

/// What a thread has collected since its outermost ncclGroupStart.
struct Group {
  int depth = 0;
  ncclResult_t error = ncclSuccess;
  std::vector<NcclCall> calls;
  std::vector<NcclJoin> joins;
};

thread_local Group group;
std::atomic<std::uint64_t> launches = 0;

ncclResult_t validate(const NcclCall& call) {
  if (const auto result = check(call.comm, call.function); result != ncclSuccess) return result;
  const auto refuse = [&](const std::string& what) {
    return failed(ncclInvalidArgument, call.function + (": " + what));
  };
  const int ranks = call.comm->clique->size();
  if (size_of(call.type) == 0) return refuse("no data type has the value " + std::to_string(call.type));
  if (call.op < 0 || call.op >= ncclNumOps)
    return refuse("no reduction has the value " + std::to_string(call.op));
  if (call.root < 0 || call.root >= ranks) {
    return refuse("rank " + std::to_string(call.root) + " is not among the " + std::to_string(ranks) +
                  " ranks");
  }
  const int rank = call.comm->rank;
  const bool null = (call.bytes_read(rank, ranks) > 0 && call.send == nullptr) ||
                    (call.bytes_written(rank, ranks) > 0 && call.receive == nullptr);
  if (null) return refuse("a buffer that rank " + std::to_string(rank) + " needs is NULL");
  const OnDevice device(call.comm->device());
  if (const int owner = device_of(call.stream); owner != call.comm->device()) {
    report(Finding::wrong_stream,
           std::string(call.function) + ": rank " + std::to_string(rank) + " is device " +
               std::to_string(call.comm->device()) +
               (owner < 0 ? ", but its stream was destroyed"
                          : ", but its stream belongs to device " + std::to_string(owner)));
    return failed(ncclUnhandledCudaError, call.function + std::string(": invalid resource handle"));
  }
  // A gate opens once, and a graph runs often.
  if (const cudaError_t error = refuse_capture(call.stream); error != cudaSuccess)
    return failed(ncclUnhandledCudaError, call.function + (": " + std::string(cudaGetErrorString(error))));
  if (library_call_fails(call.function))
    return failed(ncclSystemError, call.function + std::string(": injected fault"));
  return ncclSuccess;
}

/// One call on its way: queued in two passes, so that within
/// a launch no rank waits for a call that comes later.
struct Ticket {
  NcclCall call;
  NcclSeat seat;
};

cudaError_t queue(const NcclCall& call, Work work, OperationRef* queued = nullptr) {
  const OnDevice device(call.comm->device());
  return enqueue(call.stream, std::move(work), queued);
}

ncclResult_t launch(const std::vector<NcclCall>& calls) {
  const auto number = ++launches;
  auto result = ncclSuccess;
  std::vector<Ticket> tickets;
  for (const NcclCall& call : calls) {
    const int rank = call.comm->rank, ranks = call.comm->clique->size();
    count_library_call(call.comm->device());
    count_collective(call.comm->device(), call.bytes_on_links(rank, ranks));
    const NcclSeat seat = call.comm->next_seat(call);
    if (seat.rendezvous->join(seat.index, call, number)) {
      tickets.push_back({call, seat});
    } else {
      seat.rendezvous->give_up();
      call.comm->clique->error = ncclInvalidUsage;
      result =
          failed(ncclInvalidUsage, call.function + std::string(": does not match the calls of other ranks"));
    }
  }
  const auto note = [&](cudaError_t error) {
    if (error != cudaSuccess) result = failed(ncclUnhandledCudaError, cudaGetErrorName(error));
    return error == cudaSuccess;
  };
  for (const auto& [call, seat] : tickets) {
    OperationRef arrival;
    if (note(queue(call, Rendezvous::arrival(seat.rendezvous, seat.index), &arrival))) {
      seat.rendezvous->arrived(seat.index, arrival);
    }
  }
  for (const auto& [call, seat] : tickets)
    note(queue(call, Rendezvous::departure(seat.rendezvous, seat.index)));
  return result;
}

/// In a group a failure is kept for its end; outside it is the result.
template <class T>
ncclResult_t keep(ncclResult_t result, const T& request, std::vector<T>& list) {
  if (result == ncclSuccess) {
    list.push_back(request);
  } else if (group.error == ncclSuccess) {
    group.error = result;
  }
  return result;
}

}  // namespace

ncclResult_t submit(const NcclCall& call) {
  const auto result = validate(call);
  if (group.depth > 0) return keep(result, call, group.calls);
  return result == ncclSuccess ? launch({call}) : result;
}

ncclResult_t submit(const NcclJoin& join) {
  if (group.depth > 0) return keep(ncclSuccess, join, group.joins);
  return join_all({join});
}

}  // namespace miniparallel::simulator

using namespace miniparallel::simulator;

extern "C" {

/// Groups nest: only the outermost ncclGroupEnd starts something.
ncclResult_t ncclGroupStart() {
  ++group.depth;
  return ncclSuccess;
}

/// Starts what the group has collected. If one of its calls
/// failed, nothing is started and the first failure returned.
ncclResult_t ncclGroupEnd() {
  if (group.depth == 0) return failed(ncclInvalidUsage, "ncclGroupEnd: there was no ncclGroupStart");
  if (--group.depth > 0) return ncclSuccess;
  const Group ended = std::exchange(group, Group{});
  if (ended.error != ncclSuccess) return ended.error;
  if (library_call_fails("ncclGroupEnd")) return failed(ncclSystemError, "ncclGroupEnd: injected fault");
  if (!ended.joins.empty()) {
    if (const auto result = join_all(ended.joins); result != ncclSuccess) return result;
  }
  return ended.calls.empty() ? ncclSuccess : launch(ended.calls);
}

}  // extern "C"
