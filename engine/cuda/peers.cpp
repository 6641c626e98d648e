#include "engine/cuda/peers.h"

#include <miniparallel/log.h>

#include "engine/cuda/link_probe.h"
#include "engine/error.h"

#include <cstdlib>
#include <string_view>

namespace miniparallel::cuda {
namespace {

constexpr const char* kVariable = "MINIPARALLEL_PEER_COPIES";

}  // namespace

Peers::Peers(Gpus& gpus, Memory& memory, Copies& copies)
    : gpus_(gpus),
      memory_(memory),
      copies_(copies),
      links_(static_cast<std::size_t>(gpus.count()) * static_cast<std::size_t>(gpus.count())) {
  const char* const text = std::getenv(kVariable);
  const std::string_view value = text == nullptr ? "" : text;
  trusts_ = value == "direct";
  stages_ = value == "staged";
  if (!trusts_ && !stages_ && !value.empty() && value != "auto")
    log(LogLevel::warning, message(kVariable, " is '", value, "'; it may be direct, staged or auto"));
}

Peers::Link Peers::link_of(int device, int peer) {
  if (device == peer) return Link::access;
  const int index = device * gpus_.count() + peer;
  std::atomic<Link>& link = links_[static_cast<std::size_t>(index)];
  if (const Link known = link.load(std::memory_order_acquire); known != Link::unknown) return known;
  std::string reason;
  {
    const std::scoped_lock lock(mutex_);
    if (link.load(std::memory_order_relaxed) ==
        Link::unknown) {  // nor has another thread set it up meanwhile
      if (!stages_) reason = set_up(device, peer);
      const bool access = !stages_ && reason.empty();
      link.store(access ? Link::access : trusts_ ? Link::copies : Link::staged, std::memory_order_release);
    }
  }
  if (!reason.empty() && !trusts_ && !warned_.exchange(true))
    log(LogLevel::warning,
        message("copies from ", Device::cuda(device), " to ", Device::cuda(peer),
                " and others like them go through host memory, which is slower: ", reason,
                ". If these GPUs should reach each other, look at the IOMMU (kernel option iommu=pt) and at "
                "PCIe ACS (off in the firmware); ",
                kVariable, "=direct trusts the link, =staged silences this"));
  return link.load(std::memory_order_relaxed);
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
  return trusts_ ? "" : try_out(device, peer);
}

std::string Peers::try_out(int device, int peer) {
  return gpus_.a_link_hangs ? "another link hangs" : probe_link(gpus_, memory_, copies_, device, peer);
}

}  // namespace miniparallel::cuda
