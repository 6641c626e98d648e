// Making communicators: all ranks at once by one thread, or each rank by itself.
#include "handles.h"
#include "nccl_communicator.h"
#include "nccl_group.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <optional>

using namespace miniparallel::simulator;

namespace {

/// Communicators that some, but not all ranks have joined, by the number in their unique id.
class Bootstrap {
 public:
  struct Forming {
    explicit Forming(int ranks) : devices(static_cast<std::size_t>(ranks)) {}
    std::vector<std::optional<int>> devices;
    std::shared_ptr<Clique> clique;  ///< made when the last rank joins
  };

  static Bootstrap& instance() {
    static Bootstrap bootstrap;
    return bootstrap;
  }

  std::uint64_t new_id() {
    const std::lock_guard lock(mutex_);
    forming_[++last_id_] = nullptr;
    return last_id_;
  }

  /// Takes the rank's place; ncclInvalidArgument or ncclInvalidUsage if there is none.
  ncclResult_t join(const NcclJoin& request, std::uint64_t id, std::shared_ptr<Forming>& forming) {
    const std::lock_guard lock(mutex_);
    const auto found = forming_.find(id);
    if (found == forming_.end())
      return failed(ncclInvalidArgument, "ncclCommInitRank: ncclGetUniqueId made no such id");
    if (!found->second) found->second = std::make_shared<Forming>(request.ranks);
    forming = found->second;
    const auto rank = static_cast<std::size_t>(request.rank);
    if (forming->devices.size() != static_cast<std::size_t>(request.ranks)) {
      return failed(ncclInvalidArgument, "ncclCommInitRank: the ranks disagree about their number");
    }
    if (forming->devices[rank]) return failed(ncclInvalidUsage, "ncclCommInitRank: a rank joined twice");
    if (std::find(forming->devices.begin(), forming->devices.end(), request.device) !=
        forming->devices.end()) {
      return failed(ncclInvalidUsage,
                    "ncclCommInitRank: two ranks use device " + std::to_string(request.device));
    }
    forming->devices[rank] = request.device;
    if (std::all_of(forming->devices.begin(), forming->devices.end(),
                    [](const auto& d) { return d.has_value(); })) {
      std::vector<int> devices;
      for (const auto& device : forming->devices) devices.push_back(*device);
      forming->clique = std::make_shared<Clique>(std::move(devices));
      forming_.erase(found);
      complete_.notify_all();
    }
    return ncclSuccess;
  }

  /// Waits for the other ranks; after the machine's patience the missing ones are reported.
  ncclResult_t wait(Forming& forming) {
    std::string missing;
    {
      std::unique_lock lock(mutex_);
      if (complete_.wait_for(lock, machine().patience, [&] { return forming.clique != nullptr; }))
        return ncclSuccess;
      for (std::size_t rank = 0; rank < forming.devices.size(); ++rank) {
        if (!forming.devices[rank]) missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
      }
    }
    report(Finding::hang,
           "ncclCommInitRank waits for rank " + missing + " of " + std::to_string(forming.devices.size()) +
               ", which has not called it; call it from a thread per rank or inside one group");
    return failed(ncclSystemError, "ncclCommInitRank: rank " + missing + " did not join");
  }

 private:
  Bootstrap() {
    on_reset([this] {
      const std::lock_guard lock(mutex_);
      forming_.clear();
    });
  }

  std::mutex mutex_;
  std::condition_variable complete_;
  std::map<std::uint64_t, std::shared_ptr<Forming>> forming_;
  std::uint64_t last_id_ = 0;
};

constexpr std::uint64_t id_mark = 0x6d696e69706172ull;

ncclComm_t make_communicator(const std::shared_ptr<Clique>& clique, int rank) {
  return Handles<ncclComm>::instance().add(std::make_unique<ncclComm>(clique, rank));
}

}  // namespace

namespace miniparallel::simulator {

ncclResult_t join_all(const std::vector<NcclJoin>& joins) {
  std::vector<std::shared_ptr<Bootstrap::Forming>> forming(joins.size());
  for (std::size_t i = 0; i < joins.size(); ++i) {
    std::uint64_t words[2];
    std::memcpy(words, joins[i].id.internal, sizeof(words));
    if (words[0] != id_mark)
      return failed(ncclInvalidArgument, "ncclCommInitRank: ncclGetUniqueId made no such id");
    const auto result = Bootstrap::instance().join(joins[i], words[1], forming[i]);
    if (result != ncclSuccess) return result;
  }
  for (std::size_t i = 0; i < joins.size(); ++i) {
    if (const auto result = Bootstrap::instance().wait(*forming[i]); result != ncclSuccess) return result;
    *joins[i].comm = make_communicator(forming[i]->clique, joins[i].rank);
  }
  return ncclSuccess;
}

}  // namespace miniparallel::simulator

extern "C" {

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  if (id == nullptr) return failed(ncclInvalidArgument, "ncclGetUniqueId: the pointer is NULL");
  const std::uint64_t words[2] = {id_mark, Bootstrap::instance().new_id()};
  *id = {};
  std::memcpy(id->internal, words, sizeof(words));
  return ncclSuccess;
}

/// The thread's current device becomes this rank. Waits for
/// all ranks, or, in a group, is done by the group's end.
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank) {
  if (comm == nullptr) return failed(ncclInvalidArgument, "ncclCommInitRank: the pointer is NULL");
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return failed(ncclInvalidArgument, "ncclCommInitRank: rank " + std::to_string(rank) + " of " +
                                           std::to_string(ranks) + " cannot be");
  }
  if (device_count() == 0 || sticky_error(current_device()) != cudaSuccess) {
    return failed(ncclUnhandledCudaError, "ncclCommInitRank: no usable device");
  }
  if (library_call_fails("ncclCommInitRank"))
    return failed(ncclSystemError, "ncclCommInitRank: injected fault");
  return submit(NcclJoin{comm, ranks, id, rank, current_device()});
}

/// One communicator per device of the list (the first `count` devices if it is NULL), rank by rank.
ncclResult_t ncclCommInitAll(ncclComm_t* comms, int count, const int* list) {
  if (comms == nullptr || count < 0)
    return failed(ncclInvalidArgument, "ncclCommInitAll: NULL or a negative number");
  if (device_count() == 0) return failed(ncclUnhandledCudaError, "ncclCommInitAll: there is no device");
  std::vector<int> devices;
  for (int rank = 0; rank < count; ++rank) {
    const int device = list == nullptr ? rank : list[rank];
    if (device < 0 || device >= device_count()) {
      return failed(ncclInvalidArgument, "ncclCommInitAll: there is no device " + std::to_string(device));
    }
    if (std::find(devices.begin(), devices.end(), device) != devices.end()) {
      return failed(ncclInvalidUsage, "ncclCommInitAll: device " + std::to_string(device) + " appears twice");
    }
    if (sticky_error(device) != cudaSuccess) {
      return failed(ncclUnhandledCudaError,
                    "ncclCommInitAll: device " + std::to_string(device) + " failed before");
    }
    devices.push_back(device);
  }
  if (library_call_fails("ncclCommInitAll"))
    return failed(ncclSystemError, "ncclCommInitAll: injected fault");
  const auto clique = std::make_shared<Clique>(devices);
  for (int rank = 0; rank < count; ++rank) comms[rank] = make_communicator(clique, rank);
  return ncclSuccess;
}

}  // extern "C"
