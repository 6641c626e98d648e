#include "engine/cuda/link_probe.h"

#include "engine/error.h"
#include "kernels/cuda/backend.h"
#include "kernels/elementwise.h"

#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace miniparallel::cuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kWords = 64 << 10;
constexpr std::size_t kBytes = kWords * sizeof(std::uint32_t);

/// Memory of a GPU for the time of a probe.
class Block {
 public:
  Block(CachingAllocator& allocator, kernels::Stream stream)
      : allocator_(allocator), stream_(stream), data_(allocator.allocate(kBytes, stream)) {}
  ~Block() {
    if (data_ != nullptr) allocator_.deallocate(data_, kBytes, stream_, {});
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void* data() const { return data_; }
  /// To whoever still uses it.
  void leave() { data_ = nullptr; }

 private:
  CachingAllocator& allocator_;
  kernels::Stream stream_;
  void* data_;
};

/// A stream for the time of a probe: if the link hangs, no other work waits behind it.
class ProbeStream {
 public:
  explicit ProbeStream(int device) : device_(device) {
    const DeviceGuard guard(device);
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  }
  ~ProbeStream() { quietly(cudaStreamDestroy(stream_)); }  // does not wait for its work
  ProbeStream(const ProbeStream&) = delete;
  ProbeStream& operator=(const ProbeStream&) = delete;

  kernels::Stream get() const { return {stream_, device_}; }
  bool is_idle() const {
    const cudaError_t error = cudaStreamQuery(stream_);
    if (error == cudaErrorNotReady) {
      quietly(error);
      return false;
    }
    CUDA_CHECK(error);
    return true;
  }

 private:
  int device_;
  cudaStream_t stream_ = nullptr;
};

/// What a probe needs: a block and a stream on each GPU. A link that hangs keeps the blocks.
class Probe {
 public:
  Probe(Gpu& gpu, CachingAllocator& memory, Gpu& peer, CachingAllocator& peer_memory)
      : from(memory, gpu.streams[StreamKind::copy]),
        to(peer_memory, peer.streams[StreamKind::copy]),
        source(gpu.index),
        target(peer.index) {
    PooledEvent(gpu.events, gpu.streams[StreamKind::copy]).make_wait(source.get());
    PooledEvent(peer.events, peer.streams[StreamKind::copy]).make_wait(target.get());
  }
  ~Probe() {
    try {
      if (!hangs_) ends();
    } catch (const std::exception&) {
      quietly(cudaStreamSynchronize(native(source.get())));
      quietly(cudaStreamSynchronize(native(target.get())));
    }
    if (!hangs_) return;
    from.leave();
    to.leave();
  }
  Probe(const Probe&) = delete;
  Probe& operator=(const Probe&) = delete;

  /// Waits for both streams, at most until the deadline. False if one has not ended.
  bool ends() {
    const auto deadline = Clock::now() + probe_patience;
    for (const ProbeStream* const stream : {&source, &target})
      while (!hangs_ && !stream->is_idle()) {
        hangs_ = Clock::now() >= deadline;
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    return !hangs_;
  }

  Block from, to;
  const ProbeStream source, target;

 private:
  bool hangs_ = false;
};

std::string hang(Gpus& gpus, const char* what) {
  gpus.a_link_hangs = true;
  return message(what, " has not ended within ", static_cast<double>(probe_patience.count()) / 1000, " s");
}

}  // namespace

std::string probe_link(Gpus& gpus, Memory& memory, Copies& copies, int device, int peer) {
  Gpu &gpu = gpus[device], &other = gpus[peer];
  const kernels::Stream here = gpu.streams[StreamKind::copy], there = other.streams[StreamKind::copy];
  std::vector<std::uint32_t> sent(kWords), received(kWords);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::uint32_t>(i) * 2654435761u + 1u;
  Probe probe(gpu, memory[device], other, memory[peer]);
  const kernels::Stream source = probe.source.get(), target = probe.target.get();
  copies.to_device(probe.from.data(), sent.data(), kBytes, here);
  PooledEvent(gpu.events, here).make_wait(source);
  copies.direct(probe.to.data(), target, probe.from.data(), source, kBytes);
  if (!probe.ends()) return hang(gpus, "a copy");
  copies.to_host(received.data(), probe.to.data(), kBytes, there);
  if (received != sent) return "bytes arrive changed";
  kernels::ElementwiseArgs args;
  args.layout = kernels::make_layout({kWords}, {Shape{1}, Shape{1}});
  args.operands[0] = probe.from.data();
  args.operands[1] = probe.to.data();
  kernels::cuda_backend().elementwise.convert(int32, int32, args, source);
  if (!probe.ends()) return hang(gpus, "a kernel that reads");
  copies.to_host(received.data(), probe.from.data(), kBytes, here);
  return received == sent ? "" : "a kernel reads changed bytes";
}

}  // namespace miniparallel::cuda
