#include "engine/cuda/runtime.h"

#include "engine/error.h"
#include "engine/threads/workers.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/bad_index.h"
#include "kernels/cuda/device/retry_out_of_memory.h"
#include "kernels/index_range.h"

#include <atomic>
#include <mutex>

namespace miniparallel::cuda {

namespace {

/// What an earlier call did wrong. The op that waits and meets it is not at fault: see `rethrow_as`.
struct LateError : Error {
  using Error::Error;
};

}  // namespace

Runtime::Runtime()
    : found_(discover()),
      gpus_(found_.count),
      memory_(gpus_),
      copies_(gpus_, memory_),
      peers_(gpus_, memory_, copies_),
      capture_(gpus_) {
  kernels::cuda::give_back_cached_memory = [] { runtime().release_memory(); };
}

const std::string& Runtime::unavailable() const {
  static const auto* const lost = new std::string(
      "CUDA was in use when this process was forked, which CUDA does not allow; fork before the first use of "
      "a GPU, or start a program instead (exec)");
  return is_lost() && found_.count > 0 ? *lost : found_.reason;
}

const kernels::Backend& Runtime::backend() const { return kernels::cuda_backend(); }

std::shared_ptr<Collectives> Runtime::collectives(const std::vector<int>& devices) {
  if (const std::string reason = Nccl::unavailable(); !reason.empty()) fail("NCCL cannot be used: ", reason);
  for (const int device : devices) (void)gpus_[device];  // says what is wrong with one
  return nccl_.on(devices);
}

void Runtime::synchronize(int device) {
  gpus_.synchronize(gpus_[device]);
  throw_reported();
}

void Runtime::synchronize_stream(kernels::Stream stream) {
  CUDA_CHECK(cudaStreamSynchronize(native(stream)));
}

void Runtime::throw_reported() {
  for (int device = 0; device < found_.count; ++device)
    if (const auto report = kernels::cuda::take_bad_index(device))
      throw LateError(message(report->op, ": index ", report->index, kernels::out_of_range(report->bound),
                              " (found by ", Device::cuda(device), " after the call had returned)"));
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

void Runtime::copy_to_host(void* to, const void* from, std::size_t bytes, kernels::Stream stream) {
  copies_.to_host(to, from, bytes, stream);
  throw_reported();
}

void Runtime::copy_between(void* to, kernels::Stream to_stream, const void* from, kernels::Stream from_stream,
                           std::size_t bytes) {
  if (peers_.copy_directly(from_stream.device, to_stream.device))
    copies_.direct(to, to_stream, from, from_stream, bytes);
  else
    copies_.staged(to, to_stream, from, from_stream, bytes);
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
  kernels::cuda::release();
}

}  // namespace miniparallel::cuda
