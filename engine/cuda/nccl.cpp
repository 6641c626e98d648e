#include "engine/cuda/nccl.h"

#include <miniparallel/device.h>

#include "engine/cuda/events.h"
#include "engine/cuda/link_probe.h"
#include "engine/cuda/nccl_functions.h"
#include "engine/error.h"

#include <chrono>
#include <cstddef>
#include <thread>
#include <type_traits>
#include <utility>

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

struct DestroyEvent {
  void operator()(cudaEvent_t event) const { quietly(cudaEventDestroy(event)); }
};
using Event = std::unique_ptr<std::remove_pointer_t<cudaEvent_t>, DestroyEvent>;

Event make_event(int device) {
  const DeviceGuard guard(device);
  cudaEvent_t event = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

}  // namespace

class Nccl::Communicator final : public Collectives {
 public:
  Communicator(std::mutex& mutex, const std::vector<int>& devices) : mutex_(mutex), devices_(devices) {
    for (const int device : devices) summed_.push_back(make_event(device));
    std::vector<ncclComm_t> ranks(devices.size());
    check_nccl(nccl_functions().comm_init_all(ranks.data(), static_cast<int>(devices.size()), devices.data()),
               "ncclCommInitAll", devices);
    ranks_ = std::move(ranks);
  }
  ~Communicator() override { abort(); }

  void sum(const std::vector<Array>& arrays, void* y, std::int64_t n, DType dtype) override {
    const std::scoped_lock lock(mutex_);
    // A thread that has got this communicator before another one's call failed comes too late.
    const ncclResult_t result = has_failed() ? ncclInvalidUsage : enqueue(arrays, y, n, dtype);
    if (result != ncclSuccess) give_up();
    check_nccl(result, "ncclReduce", devices_);
    for (std::size_t i = 0; i < arrays.size(); ++i)
      CUDA_CHECK(cudaEventRecord(summed_[i].get(), native(arrays[i].stream)));
  }

  bool has_failed() const { return ranks_.empty(); }

 private:
  ncclResult_t enqueue(const std::vector<Array>& arrays, void* y, std::int64_t n, DType dtype) {
    const NcclFunctions& nccl = nccl_functions();
    ncclResult_t result = nccl.group_start();
    for (std::size_t i = 0; i < arrays.size() && result == ncclSuccess; ++i)
      result = nccl.reduce(arrays[i].data, i == 0 ? y : nullptr, static_cast<std::size_t>(n), type_of(dtype),
                           ncclSum, 0, ranks_[i], native(arrays[i].stream));
    const ncclResult_t end = nccl.group_end();  // even so: the next group would begin inside of this one
    return result == ncclSuccess ? end : result;
  }

  /// After a failure. Some ranks may have begun and wait for the others, and whatever comes after them on
  /// their streams with them, until they are aborted. That takes with it what earlier calls, which have
  /// succeeded, have enqueued: it ends first, unless it hangs.
  void give_up() {
    const auto deadline = std::chrono::steady_clock::now() + probe_patience;
    for (const Event& event : summed_)
      while (cudaEventQuery(event.get()) == cudaErrorNotReady && std::chrono::steady_clock::now() < deadline)
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    (void)cudaGetLastError();  // not ready
    abort();
  }
  void abort() {
    for (const ncclComm_t rank : ranks_) (void)nccl_functions().comm_abort(rank);
    ranks_.clear();
  }

  std::mutex& mutex_;
  std::vector<int> devices_;
  std::vector<Event> summed_;      // by rank: the end of the last call
  std::vector<ncclComm_t> ranks_;  // none after a failure
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
