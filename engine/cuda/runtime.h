#pragma once

#include "engine/capturing.h"
#include "engine/cuda/discovery.h"
#include "engine/cuda/graph_capture.h"
#include "engine/cuda/nccl.h"
#include "engine/cuda/peers.h"
#include "engine/fork.h"

namespace miniparallel::cuda {

/// The GPUs of the process, as the engine sees them.
class Runtime final : public Accelerator {
 public:
  Runtime();

  int device_count() const override { return is_lost() ? 0 : found_.count; }
  const std::string& unavailable() const override;
  const kernels::Backend& backend() const override;
  CudaDeviceProperties properties(int device) const override;
  bool reaches(int device, int peer) override { return peers_.reach(device, peer); }
  std::shared_ptr<Collectives> collectives(const std::vector<int>& devices) override;

  void make_current(int device) noexcept override { quietly(cudaSetDevice(device)); }
  kernels::Stream stream(int device, StreamKind kind) override {
    Gpu& gpu = gpus_[device];
    return capturing == nullptr ? gpu.stream(kind) : capture_.stream(gpu, kind);
  }
  CachingAllocator& allocator(int device) override { return memory_[device]; }
  Allocation allocate_pinned(std::size_t bytes) override { return copies_.staging().allocate(bytes); }
  void synchronize(int device) override;
  void synchronize_stream(kernels::Stream stream) override;
  void throw_reported() override;

  void* take_event(int device) override { return gpus_[device].events.take(); }
  void return_event(int device, void* event) override {
    gpus_[device].events.give_back(static_cast<cudaEvent_t>(event));
  }
  void record(void* event, kernels::Stream stream) override;
  void wait(kernels::Stream stream, void* event) override;
  bool is_done(void* event) override { return cuda::is_done(static_cast<cudaEvent_t>(event)); }
  void synchronize_event(void* event) override;

  void copy_to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream) override {
    copies_.to_device(to, from, bytes, stream);
  }
  void copy_pinned_to_device(void* to, const void* from, std::size_t bytes, kernels::Stream stream) override {
    copies_.pinned_to_device(to, from, bytes, stream);
  }
  void copy_within(void* to, const void* from, std::size_t bytes, kernels::Stream stream) override {
    copies_.within(to, from, bytes, stream);
  }
  void begin_capture() override { capture_.begin(); }
  std::unique_ptr<Graph> end_capture() override { return capture_.end(); }
  void copy_to_host(void* to, const void* from, std::size_t bytes, kernels::Stream stream) override;
  void copy_between(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                    std::size_t bytes) override;
  void release_memory() noexcept { memory_.release(); }

 private:
  /// Whether this is the copy of it in a forked child, where CUDA cannot be used.
  bool is_lost() const { return generation_ != fork_generation(); }

  const int generation_ = fork_generation();
  Discovery found_;
  Gpus gpus_;
  Memory memory_;
  Copies copies_;
  Peers peers_;
  Nccl nccl_;
  GraphCapture capture_;
};

/// The process's runtime, made on first use. It is never destroyed at exit: CUDA may be gone by then.
Runtime& runtime();

/// Gives every handle and all cached memory back; the next use starts anew. No tensor of a GPU may be alive.
void shut_down();

}  // namespace miniparallel::cuda
