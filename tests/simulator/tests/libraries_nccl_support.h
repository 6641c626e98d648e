#pragma once
// A communicator over the devices of a test machine, with a stream and buffers per rank.
#include "libraries_device.h"
#include "miniparallel/simulator_nccl.h"

#include <nccl.h>

#include <memory>
#include <vector>

namespace miniparallel::simulator::testing {

/// One rank per device, made by ncclCommInitAll.
class Ranks {
 public:
  explicit Ranks(int count) : comms(static_cast<std::size_t>(count)) {
    REQUIRE(ncclCommInitAll(comms.data(), count, nullptr) == ncclSuccess);
    for (int rank = 0; rank < count; ++rank) {
      cudaSetDevice(rank);
      streams.push_back(std::make_unique<StreamHandle>());
    }
    cudaSetDevice(0);
  }
  ~Ranks() {
    for (const ncclComm_t comm : comms) ncclCommDestroy(comm);
    for (int rank = 0; rank < size(); ++rank) {
      cudaSetDevice(rank);
      streams[static_cast<std::size_t>(rank)].reset();
    }
    cudaSetDevice(0);
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  int size() const { return static_cast<int>(comms.size()); }
  cudaStream_t stream(int rank) const { return streams[static_cast<std::size_t>(rank)]->stream; }

  /// call(rank, communicator, stream) for every rank, as one group.
  template <class Call>
  ncclResult_t grouped(Call&& call) const {
    ncclGroupStart();
    for (int rank = 0; rank < size(); ++rank) call(rank, comms[static_cast<std::size_t>(rank)], stream(rank));
    return ncclGroupEnd();
  }

  /// Waits for every rank's stream.
  cudaError_t synchronize() const {
    for (int rank = 0; rank < size(); ++rank) {
      if (const auto error = cudaStreamSynchronize(stream(rank)); error != cudaSuccess) return error;
    }
    return cudaSuccess;
  }

  std::vector<ncclComm_t> comms;
  std::vector<std::unique_ptr<StreamHandle>> streams;
};

/// A buffer on every device, holding value(rank, element).
template <class T>
class RankBuffers {
 public:
  template <class F>
  RankBuffers(int ranks, std::size_t size, F&& value) {
    for (int rank = 0; rank < ranks; ++rank) {
      std::vector<T> values;
      for (std::size_t i = 0; i < size; ++i) values.push_back(value(rank, i));
      cudaSetDevice(rank);
      buffers_.emplace_back(values);
    }
    cudaSetDevice(0);
  }
  T* operator[](int rank) const { return buffers_[static_cast<std::size_t>(rank)].data(); }
  std::vector<T> download(int rank) const { return buffers_[static_cast<std::size_t>(rank)].download(); }

 private:
  std::vector<DeviceBuffer<T>> buffers_;
};

}  // namespace miniparallel::simulator::testing
