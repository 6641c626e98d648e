#include "engine/cuda/copies.h"

#include "engine/cuda/wait_on_failure.h"

#include <algorithm>
#include <cstring>
#include <deque>

namespace miniparallel::cuda {
namespace {

constexpr std::size_t kChunk = std::size_t{16} << 20;
constexpr std::size_t kChunksInFlight = 4;  // a larger copy waits for its own older chunks

}  // namespace

void Copies::to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream) {
  EventPool& events = gpus_[stream.device].events;
  const DeviceGuard guard(stream.device);
  std::deque<PooledEvent> in_flight;
  for (std::size_t done = 0; done < bytes; done += kChunk) {
    const std::size_t size = std::min(kChunk, bytes - done);
    if (in_flight.size() == kChunksInFlight) {
      in_flight.front().synchronize();
      in_flight.pop_front();
    }
    const StagingBlock staging(staging_, size, stream);
    std::memcpy(staging.data(), static_cast<const std::byte*>(from) + done, size);
    CUDA_CHECK(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, staging.data(), size,
                               cudaMemcpyHostToDevice, native(stream)));
    if (bytes > kChunk) in_flight.emplace_back(events, stream);
  }
}

void Copies::pinned_to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream) {
  const DeviceGuard guard(stream.device);
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, native(stream)));
}

void Copies::to_host(void* to, const void* from, std::size_t bytes, kernels::Stream stream) {
  const DeviceGuard guard(stream.device);
  // To pageable memory: returns when the copy is done.
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, native(stream)));
}

void Copies::within(void* to, const void* from, std::size_t bytes, kernels::Stream stream) {
  const DeviceGuard guard(stream.device);
  CUDA_CHECK(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, native(stream)));
}

void Copies::direct(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                    std::size_t bytes) {
  // The copy runs on the source's stream, so that a later write to the source comes after it; the
  // destination's stream lets go of the memory before and waits for the elements after.
  PooledEvent(gpus_[to_stream.device].events, to_stream).make_wait(from_stream);
  const WaitOnFailure guarded(from_stream);
  {
    const DeviceGuard guard(from_stream.device);
    CUDA_CHECK(
        cudaMemcpyPeerAsync(to, to_stream.device, from, from_stream.device, bytes, native(from_stream)));
  }
  PooledEvent(gpus_[from_stream.device].events, from_stream).make_wait(to_stream);
}

void Copies::staged(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                    std::size_t bytes) {
  EventPool &source = gpus_[from_stream.device].events, &target = gpus_[to_stream.device].events;
  // A large copy goes through a few blocks in turn: one is filled while another is emptied.
  std::deque<StagingBlock> blocks;
  std::deque<PooledEvent> emptied;
  const WaitOnFailure guarded(from_stream);
  for (std::size_t done = 0, chunk = 0; done < bytes; done += kChunk, ++chunk) {
    const std::size_t size = std::min(kChunk, bytes - done), turn = chunk % kChunksInFlight;
    if (chunk < kChunksInFlight)
      blocks.emplace_back(staging_, size, to_stream);
    else {
      emptied.front().make_wait(from_stream);
      emptied.pop_front();
    }
    void* const staging = blocks[turn].data();
    {
      const DeviceGuard guard(from_stream.device);
      CUDA_CHECK(cudaMemcpyAsync(staging, static_cast<const std::byte*>(from) + done, size,
                                 cudaMemcpyDeviceToHost, native(from_stream)));
    }
    PooledEvent(source, from_stream).make_wait(to_stream);
    {
      const DeviceGuard guard(to_stream.device);
      CUDA_CHECK(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, staging, size, cudaMemcpyHostToDevice,
                                 native(to_stream)));
    }
    if (bytes > kChunk) emptied.emplace_back(target, to_stream);
  }
}

}  // namespace miniparallel::cuda
