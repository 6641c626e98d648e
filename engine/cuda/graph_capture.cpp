#include "engine/cuda/graph_capture.h"

#include "engine/error.h"
#include "kernels/cuda/backend.h"

#include <algorithm>
#include <utility>

namespace miniparallel::cuda {
namespace {

/// A stream that a graph takes the place of.
struct Replaced {
  Gpu* gpu;
  StreamKind kind;
  GraphOrder& order() const { return gpu->graph_order[static_cast<std::size_t>(kind)]; }
};

class DeviceGraph final : public Graph {
 public:
  /// `streams`: those whose work it has recorded; it runs on the compute stream of the first one's device.
  DeviceGraph(Gpus& gpus, cudaGraph_t recorded, std::vector<Replaced> streams)
      : gpus_(gpus), streams_(std::move(streams)), origin_(*streams_[0].gpu), done_(origin_.events.take()) {
    const DeviceGuard guard(origin_.index);
    try {
      CUDA_CHECK(cudaGraphGetNodes(recorded, nullptr, &nodes_));
      CUDA_CHECK(
          cudaGraphInstantiateWithFlags(&executable_, recorded, cudaGraphInstantiateFlagUseNodePriority));
    } catch (...) {
      origin_.events.give_back(done_);
      throw;
    }
  }
  ~DeviceGraph() override {
    if (launched_) quietly(cudaEventSynchronize(done_));
    for_each_order([&](GraphOrder& order, kernels::Stream) { order.forget(done_); });
    origin_.events.give_back(done_);
    quietly(cudaGraphExecDestroy(executable_));
  }

  Device device() const override { return Device::cuda(origin_.index); }
  std::size_t nodes() const override { return nodes_; }

  void launch() override {
    const kernels::Stream here = miniparallel::stream(device());
    for (const Replaced& stream : streams_) {
      const kernels::Stream of_device = stream.gpu->streams[stream.kind];
      if (of_device != here && stream.order().take_used())
        PooledEvent(stream.gpu->events, of_device).make_wait(here);
    }
    const DeviceGuard guard(origin_.index);
    CUDA_CHECK(cudaGraphLaunch(executable_, native(here)));
    CUDA_CHECK(cudaEventRecord(done_, native(here)));
    launched_ = true;
    // Also streams that take no part: what they wait for may be an event from within the graph.
    for_each_order([&](GraphOrder& order, kernels::Stream stream) {
      if (stream != here) order.put_behind(done_);
    });
  }

 private:
  template <class F>
  void for_each_order(const F& f) {
    for (int device = 0; device < gpus_.count(); ++device)
      if (Gpu* const gpu = gpus_.in_use(device); gpu != nullptr)
        for (const StreamKind kind : {StreamKind::compute, StreamKind::communication, StreamKind::copy})
          f(gpu->graph_order[static_cast<std::size_t>(kind)], gpu->streams[kind]);
  }

  Gpus& gpus_;
  std::vector<Replaced> streams_;
  Gpu& origin_;
  cudaEvent_t done_;
  cudaGraphExec_t executable_ = nullptr;
  std::size_t nodes_ = 0;
  bool launched_ = false;
};

}  // namespace

void GraphCapture::begin() {
  alone_ = std::unique_lock(gpus_.recording);
  try {
    for (int device = 0; device < gpus_.count(); ++device) {
      Gpu* const gpu = gpus_.in_use(device);
      if (gpu == nullptr || gpu->recording) continue;
      gpu->recording = std::make_unique<const Streams>(device);
      kernels::cuda::prepare((*gpu->recording)[StreamKind::compute]);
    }
  } catch (...) {
    alone_.unlock();
    throw;
  }
}

kernels::Stream GraphCapture::stream(Gpu& gpu, StreamKind kind) {
  if (!gpu.recording) {  // first used by the step that is recorded
    gpu.recording = std::make_unique<const Streams>(gpu.index);
    kernels::cuda::prepare((*gpu.recording)[StreamKind::compute]);
  }
  const kernels::Stream stream = (*gpu.recording)[kind];
  if (std::ranges::any_of(joined_, [&](const Joined& joined) { return joined.stream == stream; }))
    return stream;
  if (joined_.empty()) {
    const DeviceGuard guard(gpu.index);
    // Relaxed: this thread takes memory for the graph, and other threads do as they please.
    CUDA_CHECK(cudaStreamBeginCapture(native(stream), cudaStreamCaptureModeRelaxed));
    joined_.push_back({&gpu, kind, stream});
    begun_ = std::make_unique<PooledEvent>(gpu.events, stream);
  } else {
    begun_->make_wait(stream);
    joined_.push_back({&gpu, kind, stream});
  }
  return stream;
}

std::unique_ptr<Graph> GraphCapture::end() {
  const std::unique_lock alone = std::exchange(alone_, {});
  const std::vector<Joined> joined = std::exchange(joined_, {});
  const std::unique_ptr<PooledEvent> begun = std::exchange(begun_, nullptr);
  if (joined.empty()) return nullptr;
  const Joined& origin = joined[0];
  cudaGraph_t recorded = nullptr;
  try {
    const DeviceGuard guard(origin.gpu->index);
    for (const Joined& other : std::span(joined).subspan(1))
      PooledEvent(other.gpu->events, other.stream).make_wait(origin.stream);
    CUDA_CHECK(cudaStreamEndCapture(native(origin.stream), &recorded));
  } catch (...) {
    // Once more where it was this call that failed: a stream that goes on recording is of no use any more.
    quietly(cudaStreamEndCapture(native(origin.stream), &recorded));
    if (recorded != nullptr) quietly(cudaGraphDestroy(recorded));
    throw;
  }
  const std::unique_ptr<CUgraph_st, void (*)(cudaGraph_t)> owned(
      recorded, [](cudaGraph_t graph) { quietly(cudaGraphDestroy(graph)); });
  std::vector<Replaced> streams;
  for (const Joined& each : joined) streams.push_back({each.gpu, each.kind});
  return std::make_unique<DeviceGraph>(gpus_, recorded, std::move(streams));
}

}  // namespace miniparallel::cuda
