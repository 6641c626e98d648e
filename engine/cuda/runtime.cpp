#include "engine/cuda/runtime.h"

#include "engine/error.h"
#include "engine/threads/workers.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/bad_index.h"
#include "kernels/cuda/device/probe.h"
#include "kernels/cuda/device/retry_out_of_memory.h"

namespace miniparallel::cuda {

Runtime::Runtime()
    : found_(discover()),
      gpus_(static_cast<std::size_t>(found_.count)),
      staging_(*this),
      peers_(*this, found_.count) {
  kernels::cuda::give_back_cached_memory = [] { runtime().release_memory(); };
}

Runtime::~Runtime() {
  // Marks of one GPU's memory may be events of another: all memory goes before the first pool.
  release_memory();
  for (std::atomic<Gpu*>& gpu : gpus_) delete gpu.load();
  kernels::cuda::release();
}

const std::string& Runtime::unavailable() const {
  static const auto* const lost = new std::string(
      "CUDA was in use when this process was forked, which CUDA does not allow; fork before the first use of "
      "a GPU, or start a program instead (exec)");
  return is_lost() && found_.count > 0 ? *lost : found_.reason;
}

const kernels::Backend& Runtime::backend() const { return kernels::cuda_backend(); }

Gpu& Runtime::gpu(int device) {
  std::atomic<Gpu*>& slot = gpus_[static_cast<std::size_t>(device)];
  if (Gpu* const ready = slot.load(std::memory_order_acquire)) return *ready;
  const std::scoped_lock lock(mutex_);
  if (Gpu* const ready = slot.load(std::memory_order_relaxed)) return *ready;
  if (device > 0)  // device 0 was probed by the discovery
    if (const std::string reason = kernels::cuda::probe(device); !reason.empty())
      fail(Device::cuda(device), ": ", reason);
  Gpu* const made = new Gpu(*this, device);
  slot.store(made, std::memory_order_release);
  return *made;
}

void Runtime::release_memory() noexcept {
  const auto release = [](CachingAllocator& allocator) {
    try {
      allocator.empty_cache();
    } catch (const std::exception&) {
    }
  };
  release(staging_.pinned);
  for (std::atomic<Gpu*>& slot : gpus_)
    if (Gpu* const used = slot.load(std::memory_order_acquire)) release(used->allocator);
}

void Runtime::synchronize(int device) {
  gpu(device);
  const DeviceGuard guard(device);
  CUDA_CHECK(cudaDeviceSynchronize());
  throw_reported();
}

void Runtime::synchronize_all() {
  for (std::atomic<Gpu*>& slot : gpus_) {
    const Gpu* const used = slot.load(std::memory_order_acquire);
    if (used == nullptr) continue;
    const DeviceGuard guard(used->index);
    CUDA_CHECK(cudaDeviceSynchronize());
  }
}

void Runtime::throw_reported() {
  for (int device = 0; device < found_.count; ++device)
    if (const auto report = kernels::cuda::take_bad_index(device))
      fail(report->op, ": index ", report->index, " is out of range, it must be at least 0 and below ",
           report->bound, "; found by ", Device::cuda(device), " after the call had returned");
}

void Runtime::record(void* event, kernels::Stream stream) {
  CUDA_CHECK(cudaEventRecord(static_cast<cudaEvent_t>(event), native(stream)));
}

void Runtime::wait(kernels::Stream stream, void* event) {
  CUDA_CHECK(cudaStreamWaitEvent(native(stream), static_cast<cudaEvent_t>(event), 0));
}

void Runtime::synchronize_event(void* event) {
  CUDA_CHECK(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}

namespace {

std::mutex instance_mutex;
std::atomic<Runtime*> instance = nullptr;

}  // namespace

Runtime& runtime() {
  if (Runtime* const ready = instance.load(std::memory_order_acquire)) return *ready;
  const std::scoped_lock lock(instance_mutex);
  if (instance.load(std::memory_order_relaxed) == nullptr)
    instance.store(new Runtime, std::memory_order_release);
  return *instance.load(std::memory_order_relaxed);
}

void shut_down() {
  stop_workers();
  const std::scoped_lock lock(instance_mutex);
  delete instance.exchange(nullptr);
}

}  // namespace miniparallel::cuda
