#include "engine/cuda/nccl.h"

#include <miniparallel/device.h>

#include "engine/cuda/events.h"
#include "engine/cuda/link_probe.h"
#include "engine/cuda/nccl_functions.h"
#include "engine/error.h"

#include <chrono>
#include <cstddef>
#include <thread>

namespace miniparallel::cuda {

#ifdef MINIPARALLEL_HAS_NCCL

namespace {

void check_nccl(ncclResult_t result, const char* call, const std::vector<int>& devices) {
  if (result == ncclSuccess) return;
  std::string list;
  for (const int device : devices) list += (list.empty() ? "" : ", ") + to_string(Device::cuda(device));
  fail(call, " on ", list, ": ", nccl_functions().get_error_string(result),
       "; take another .reduction, or set NCCL_DEBUG=WARN to learn more");
}

ncclDataType_t type_of(DType dtype) {
  switch (dtype) {
    case float64:
      return ncclDouble;
    case float16:
      return ncclHalf;
    case bfloat16:
      return ncclBfloat16;
    default:
      return ncclFloat;
  }
}

}  // namespace

class Nccl::Communicator final : public Collectives {
 public:
  Communicator(std::mutex& mutex, const std::vector<int>& devices)
      : mutex_(mutex), devices_(devices), ranks_(devices.size()) {
    check_nccl(
        nccl_functions().comm_init_all(ranks_.data(), static_cast<int>(devices.size()), devices.data()),
        "ncclCommInitAll", devices);
  }
  ~Communicator() override {
    if (failed_) wait_for_earlier();
    for (const ncclComm_t rank : ranks_) (void)nccl_functions().comm_abort(rank);
  }

  void sum(const std::vector<Array>& arrays, void* y, std::int64_t n, DType dtype) override {
    const NcclFunctions& nccl = nccl_functions();
    const std::scoped_lock lock(mutex_);
    streams_.clear();
    for (const Array& array : arrays) streams_.push_back(native(array.stream));
    ncclResult_t result = nccl.group_start();
    for (std::size_t i = 0; i < arrays.size() && result == ncclSuccess; ++i)
      result = nccl.reduce(arrays[i].data, i == 0 ? y : nullptr, static_cast<std::size_t>(n), type_of(dtype),
                           ncclSum, 0, ranks_[i], native(arrays[i].stream));
    const ncclResult_t end = nccl.group_end();  // even so: the next group would begin inside of this one
    if (result == ncclSuccess) result = end;
    failed_ |= result != ncclSuccess;
    check_nccl(result, "ncclReduce", devices_);
  }

  bool has_failed() const { return failed_; }

 private:
  /// Aborting takes with it what earlier calls, which have succeeded, have enqueued: it ends
  /// first, unless it hangs.
  void wait_for_earlier() const {
    const auto deadline = std::chrono::steady_clock::now() + probe_patience;
    for (const cudaStream_t stream : streams_)
      while (cudaStreamQuery(stream) == cudaErrorNotReady && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    (void)cudaGetLastError();  // not ready
  }

  std::mutex& mutex_;
  std::vector<int> devices_;
  std::vector<ncclComm_t> ranks_;
  std::vector<cudaStream_t> streams_;  // of the last call
  bool failed_ = false;
};

std::string Nccl::unavailable() { return nccl_functions().unavailable; }

std::shared_ptr<Collectives> Nccl::on(const std::vector<int>& devices) {
  const std::scoped_lock lock(mutex_);
  std::shared_ptr<Communicator>& found = communicators_[devices];
  if (found == nullptr || found->has_failed()) {
    found = nullptr;  // its end comes before the beginning of the next one
    found = std::make_shared<Communicator>(mutex_, devices);
  }
  return found;
}

#else

class Nccl::Communicator final : public Collectives {};

std::string Nccl::unavailable() { return "nccl.h was not found when the library was built"; }

std::shared_ptr<Collectives> Nccl::on(const std::vector<int>&) { return nullptr; }

#endif

Nccl::~Nccl() = default;

}  // namespace miniparallel::cuda
