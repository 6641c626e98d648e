#pragma once
// The state behind an ncclComm_t: a rank, and the clique that it belongs to.
#include "nccl_rendezvous.h"

#include <nccl.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace miniparallel::simulator {

/// A rank's seat at a rendezvous.
struct NcclSeat {
  std::shared_ptr<Rendezvous> rendezvous;
  std::size_t index = 0;
};

/// All ranks that were initialised together; shared by their communicators.
class Clique {
 public:
  explicit Clique(std::vector<int> devices) : devices_(std::move(devices)) {}

  int size() const { return static_cast<int>(devices_.size()); }
  int device(int rank) const { return devices_[static_cast<std::size_t>(rank)]; }

  /// Where this rank's call number `number` of its sort meets those of the others.
  NcclSeat seat_for(const NcclCall& call, int rank, std::uint64_t number);

  /// What ncclCommGetAsyncError answers on every rank.
  std::atomic<ncclResult_t> error = ncclSuccess;

 private:
  std::string name() const;
  /// Sender and receiver (-1 for a collective), and the number among those.
  using Key = std::tuple<int, int, std::uint64_t>;

  const std::vector<int> devices_;
  std::mutex mutex_;
  std::map<Key, std::shared_ptr<Rendezvous>> forming_;  ///< not all ranks have called yet
};

/// ncclSuccess for a living communicator on a healthy device; else
/// why `function` cannot be called, also for ncclGetLastError.
ncclResult_t check(ncclComm_t comm, const char* function);

/// Keeps the text for ncclGetLastError and returns the result.
ncclResult_t failed(ncclResult_t result, std::string text);

/// Makes `device` the thread's current device for a while. It is no call of CUDA, which could fail.
class OnDevice {
 public:
  explicit OnDevice(int device) : before_(current_device()) { set_current_device(device); }
  ~OnDevice() { set_current_device(before_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

 private:
  int before_;
};

}  // namespace miniparallel::simulator

/// NVIDIA's opaque type, defined. One host thread at a time
/// uses a communicator, as NCCL demands; any may abort it.
struct ncclComm {
  std::shared_ptr<miniparallel::simulator::Clique> clique;
  int rank;
  std::uint64_t collectives = 0;
  std::map<int, std::uint64_t> sends, receives;  ///< made so far, by peer
  std::mutex mutex;
  std::vector<std::pair<std::weak_ptr<miniparallel::simulator::Rendezvous>, std::size_t>> unfinished;

  ncclComm(std::shared_ptr<miniparallel::simulator::Clique> clique_, int rank_)
      : clique(std::move(clique_)), rank(rank_) {}
  int device() const { return clique->device(rank); }

  /// The seat for this rank's next call.
  miniparallel::simulator::NcclSeat next_seat(const miniparallel::simulator::NcclCall& call);
  /// Lets everything that waits for other ranks pass.
  void abort();
};
