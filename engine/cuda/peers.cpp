#include "engine/cuda/peers.h"

#include <miniparallel/log.h>

#include "engine/cuda/runtime.h"
#include "engine/error.h"

#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace miniparallel::cuda {
namespace {

constexpr const char* kVariable = "MINIPARALLEL_PEER_COPIES";
constexpr std::size_t kProbeWords = 64 << 10;

/// Memory of a GPU for the time of a probe.
class ProbeBlock {
 public:
  ProbeBlock(Gpu& gpu, kernels::Stream stream)
      : gpu_(gpu), stream_(stream), data_(gpu.allocator.allocate(kBytes, stream)) {}
  ~ProbeBlock() { gpu_.allocator.deallocate(data_, kBytes, stream_, {}); }
  ProbeBlock(const ProbeBlock&) = delete;
  ProbeBlock& operator=(const ProbeBlock&) = delete;

  static constexpr std::size_t kBytes = kProbeWords * sizeof(std::uint32_t);
  void* data() const { return data_; }

 private:
  Gpu& gpu_;
  kernels::Stream stream_;
  void* data_;
};

}  // namespace

Peers::Peers(Runtime& runtime, int devices)
    : runtime_(runtime), devices_(devices), links_(static_cast<std::size_t>(devices * devices)) {
  const char* const text = std::getenv(kVariable);
  const std::string_view value = text == nullptr ? "" : text;
  if (value == "direct") forced_ = Link::direct;
  if (value == "staged") forced_ = Link::staged;
  if (forced_ == Link::unknown && !value.empty() && value != "auto")
    log(LogLevel::warning, message(kVariable, " is '", value, "'; it may be direct, staged or auto"));
}

bool Peers::reach(int device, int peer) {
  if (device == peer) return true;
  std::atomic<Link>& link = links_[static_cast<std::size_t>(device * devices_ + peer)];
  if (const Link known = link.load(std::memory_order_acquire); known != Link::unknown)
    return known == Link::direct;
  std::string reason;
  {
    const std::scoped_lock lock(mutex_);
    if (link.load(std::memory_order_relaxed) ==
        Link::unknown) {  // nor has another thread set it up meanwhile
      if (forced_ != Link::staged) reason = set_up(device, peer);
      const bool direct = forced_ == Link::direct || (forced_ == Link::unknown && reason.empty());
      link.store(direct ? Link::direct : Link::staged, std::memory_order_release);
    }
  }
  if (!reason.empty() && forced_ == Link::unknown && !warned_.exchange(true))
    log(LogLevel::warning,
        message("copies from ", Device::cuda(device), " to ", Device::cuda(peer),
                " and others like them go through host memory, which is slower: ", reason,
                ". If these GPUs should reach each other, look at the IOMMU (kernel option iommu=pt) and at "
                "PCIe ACS (off in the firmware); ",
                kVariable, "=direct trusts the link, =staged silences this"));
  return link.load(std::memory_order_relaxed) == Link::direct;
}

std::string Peers::set_up(int device, int peer) {
  int can = 0;
  CUDA_CHECK(cudaDeviceCanAccessPeer(&can, device, peer));
  if (can == 0) return "the machine gives them no peer access";
  const DeviceGuard guard(device);
  const cudaError_t error = cudaDeviceEnablePeerAccess(peer, 0);
  quietly(error);
  if (error == cudaErrorTooManyPeers || error == cudaErrorPeerAccessUnsupported)
    return message("CUDA refuses peer access: ", cudaGetErrorString(error));
  if (error != cudaErrorPeerAccessAlreadyEnabled) check(error, "cudaDeviceEnablePeerAccess");
  return forced_ == Link::direct ? "" : try_out(device, peer);
}

std::string Peers::try_out(int device, int peer) {
  const kernels::Stream source = runtime_.stream(device, StreamKind::copy),
                        target = runtime_.stream(peer, StreamKind::copy);
  const ProbeBlock from(runtime_.gpu(device), source), to(runtime_.gpu(peer), target);
  std::vector<std::uint32_t> sent(kProbeWords), received(kProbeWords);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<std::uint32_t>(i) * 2654435761u + 1u;
  runtime_.copy_to_device(from.data(), sent.data(), ProbeBlock::kBytes, source);
  runtime_.copy_directly(to.data(), target, from.data(), source, ProbeBlock::kBytes);
  runtime_.copy_to_host(received.data(), to.data(), ProbeBlock::kBytes, target);
  return sent == received ? "" : "bytes arrive changed";
}

}  // namespace miniparallel::cuda
