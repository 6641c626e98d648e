#include "kernels/cuda/device/fastest.h"

#include "kernels/cuda/device/device_guard.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <utility>

namespace miniparallel::kernels::cuda {
using miniparallel::cuda::DeviceGuard;
using miniparallel::cuda::quietly;

namespace {

constexpr int kRuns = 3;  // of each that are timed, after one that is not: it may have to load the kernel

struct Known {
  std::mutex mutex;
  std::map<std::pair<int, Problem>, int> fastest;  // by device
};

Known& known() {
  static Known* const all = new Known;  // usable while the process ends
  return *all;
}

cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

class TimedEvent {
 public:
  TimedEvent() { CUDA_CHECK(cudaEventCreate(&event_)); }
  ~TimedEvent() { quietly(cudaEventDestroy(event_)); }
  TimedEvent(const TimedEvent&) = delete;
  TimedEvent& operator=(const TimedEvent&) = delete;

  void record(Stream stream) const { CUDA_CHECK(cudaEventRecord(event_, native(stream))); }
  /// Milliseconds to `end`, for which the host waits.
  float until(const TimedEvent& end) const {
    float time = 0;
    CUDA_CHECK(cudaEventSynchronize(end.event_));
    CUDA_CHECK(cudaEventElapsedTime(&time, event_, end.event_));
    return time;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

int known_fastest(const Problem& problem, int device) {
  const std::scoped_lock lock(known().mutex);
  const auto found = known().fastest.find({device, problem});
  return found == known().fastest.end() ? -1 : found->second;
}

int measure_fastest(const Problem& problem, int count, Stream stream, const std::function<void(int)>& run) {
  const DeviceGuard guard(stream.device);
  int fastest = 0;
  float least = std::numeric_limits<float>::infinity();
  for (int i = 0; i < count; ++i) {
    const std::array<TimedEvent, kRuns + 1> ends;
    for (const TimedEvent& end : ends) {
      run(i);
      end.record(stream);
    }
    for (int k = 0; k < kRuns; ++k)
      if (const float time = ends[k].until(ends[k + 1]); time < least) {
        least = time;
        fastest = i;
      }
  }
  const std::scoped_lock lock(known().mutex);  // not while it waits: the GPU's work may need another thread
  return known().fastest.try_emplace({stream.device, problem}, fastest).first->second;
}

bool is_recording(Stream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  CUDA_CHECK(cudaStreamIsCapturing(native(stream), &status));
  return status != cudaStreamCaptureStatusNone;
}

void forget_fastest() {
  const std::scoped_lock lock(known().mutex);
  known().fastest.clear();
}

}  // namespace miniparallel::kernels::cuda
