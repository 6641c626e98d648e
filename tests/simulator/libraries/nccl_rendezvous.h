#pragma once
// The meeting of the ranks of one NCCL operation.
#include "../runtime.h"

#include <nccl.h>

#include <mutex>
#include <string>
#include <vector>

namespace miniparallel::simulator {

enum class NcclKind { broadcast, reduce, all_reduce, reduce_scatter, all_gather, send, receive };

/// One rank's call, as the program made it.
struct NcclCall {
  NcclKind kind;
  const char* function;
  const void* send;
  void* receive;
  std::size_t count;  ///< the function's own count: per rank for all-gather and reduce-scatter
  ncclDataType_t type;
  ncclRedOp_t op;
  int root;  ///< or the peer of send and receive; 0 where there is none
  ncclComm_t comm;
  cudaStream_t stream;

  /// The bytes that this rank reads from `send` and writes to `receive`, among `ranks` ranks.
  std::size_t bytes_read(int rank, int ranks) const;
  std::size_t bytes_written(int rank, int ranks) const;
  /// The bytes that this rank puts on links if the operation
  /// runs on a ring (the bus bytes of NVIDIA's nccl-tests).
  std::int64_t bytes_on_links(int rank, int ranks) const;
};

/// Where the ranks of one collective, or the two of a send and a receive, meet. Each rank queues an arrival,
/// which copies what it sends aside, and a departure, which waits for all arrivals and writes what it
/// receives; so no rank touches another's memory, buffers may be the same, and results do not depend on the
/// order of arrival.
class Rendezvous {
 public:
  /// `name` tells this operation from others of its communicator; `ranks` and `devices` list who takes part.
  Rendezvous(std::string name, const std::vector<int>& ranks, const std::vector<int>& devices);

  /// Takes the seat. False, with a report if it is the first, if the call does not match those of the ranks
  /// that came before. `launch` is the group of calls that this one belongs to.
  bool join(std::size_t seat, const NcclCall& call, std::uint64_t launch);
  /// True when every rank has made its call.
  bool over();

  /// A rank's two pieces of work. The arrival of every rank that
  /// is known to come has to be queued before the departure.
  static Work arrival(const std::shared_ptr<Rendezvous>& self, std::size_t seat);
  void arrived(std::size_t seat, OperationRef arrival);
  static Work departure(const std::shared_ptr<Rendezvous>& self, std::size_t seat);

  /// Lets the departures of all ranks, or of one, pass without data.
  void give_up();
  void give_up(std::size_t seat);

 private:
  struct Seat {
    int rank = 0, device = 0;
    bool joined = false, given_up = false;
    NcclCall call{};
    std::uint64_t launch = 0;
    std::uint64_t thread = 0;
    OperationRef arrival;
    std::shared_ptr<Gate> gate;
    std::vector<char> staged;
  };

  std::string explain();
  void stage(std::size_t seat, std::size_t bytes);
  void deliver(const Seat& seat);
  void reduce_once(const NcclCall& call);
  std::vector<const void*> inputs(std::size_t offset) const;

  const std::string name_;
  std::mutex mutex_;  ///< never held while the runtime is called
  std::vector<Seat> seats_;
  std::once_flag reduced_;
  std::vector<char> result_;
  bool complained_ = false;
};

}  // namespace miniparallel::simulator
