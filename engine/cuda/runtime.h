#pragma once

#include "engine/cuda/discovery.h"
#include "engine/cuda/gpu.h"
#include "engine/cuda/peers.h"
#include "engine/cuda/staging.h"
#include "engine/threads/fork.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

namespace miniparallel::cuda {

/// The GPUs of the process. A GPU is set up when it is first used.
class Runtime final : public Accelerator {
 public:
  Runtime();
  ~Runtime() override;

  int device_count() const override { return is_lost() ? 0 : found_.count; }
  const std::string& unavailable() const override;
  const kernels::Backend& backend() const override;

  void make_current(int device) noexcept override { quietly(cudaSetDevice(device)); }
  kernels::Stream stream(int device, StreamKind kind) override { return gpu(device).streams[kind]; }
  CachingAllocator& allocator(int device) override { return gpu(device).allocator; }
  void synchronize(int device) override;
  void throw_reported() override;

  void* take_event(int device) override { return gpu(device).events.take(); }
  void return_event(int device, void* event) override {
    gpu(device).events.give_back(static_cast<cudaEvent_t>(event));
  }
  void record(void* event, kernels::Stream stream) override;
  void wait(kernels::Stream stream, void* event) override;
  bool is_done(void* event) override { return cuda::is_done(static_cast<cudaEvent_t>(event)); }
  void synchronize_event(void* event) override;

  void copy_to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream) override;
  void copy_to_host(void* to, const void* from, std::size_t bytes, kernels::Stream stream) override;
  void copy_between(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                    std::size_t bytes) override;
  /// The two ways in which copy_between goes: by the GPUs alone, and through host memory.
  void copy_directly(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                     std::size_t bytes);
  void copy_staged(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                   std::size_t bytes);

  Gpu& gpu(int device);
  /// Gives all cached memory back; a device that has failed keeps its own.
  void release_memory() noexcept;
  /// Waits for all work of the GPUs in use.
  void synchronize_all();

 private:
  /// Whether this is the copy of it in a forked child, where CUDA cannot be used.
  bool is_lost() const { return generation_ != fork_generation(); }

  const int generation_ = fork_generation();
  Discovery found_;
  std::mutex mutex_;  // guards the setting up of GPUs
  std::vector<std::atomic<Gpu*>> gpus_;
  Staging staging_;
  Peers peers_;
};

/// The process's runtime, made on first use. It is never destroyed at exit: CUDA may be gone by then.
Runtime& runtime();

/// Gives every handle and all cached memory back; the next use starts anew. No tensor of a GPU may be alive.
void shut_down();

}  // namespace miniparallel::cuda
