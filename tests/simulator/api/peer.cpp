// Peer access, enabled per ordered pair of devices.

#include "core/call.h"

#include <cuda_runtime_api.h>

using namespace miniparallel::simulator;

namespace {

bool linked(const Simulation& s, int from, int to) {
  const int count = static_cast<int>(s.devices.size());
  if (from == to || s.settings.peers == Peers::none) return false;
  const int distance = (to - from + count) % count;
  return s.settings.peers == Peers::all || distance == 1 || distance == count - 1;
}

bool exists(const Simulation& s, int device) {
  return device >= 0 && device < static_cast<int>(s.devices.size());
}

}  // namespace

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return call("cudaDeviceCanAccessPeer", [&](Simulation& s, Lock&) -> cudaError_t {
    if (!exists(s, device) || !exists(s, peer)) return cudaErrorInvalidDevice;
    *can = linked(s, device, peer) ? 1 : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return call("cudaDeviceEnablePeerAccess", [&](Simulation& s, Lock&) -> cudaError_t {
    const int device = current_device(s);
    if (flags != 0) return cudaErrorInvalidValue;
    if (!exists(s, peer)) return cudaErrorInvalidDevice;
    if (!linked(s, device, peer)) return cudaErrorPeerAccessUnsupported;
    auto& enabled = s.devices[static_cast<std::size_t>(device)].enabled_peers;
    if (enabled.contains(peer)) return cudaErrorPeerAccessAlreadyEnabled;
    if (static_cast<int>(enabled.size()) >= s.settings.max_peers) return cudaErrorTooManyPeers;
    enabled.insert(peer);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceDisablePeerAccess(int peer) {
  return call("cudaDeviceDisablePeerAccess", [&](Simulation& s, Lock&) -> cudaError_t {
    const auto device = static_cast<std::size_t>(current_device(s));
    return s.devices[device].enabled_peers.erase(peer) == 1 ? cudaSuccess : cudaErrorPeerAccessNotEnabled;
  });
}

cudaError_t cudaDeviceGetP2PAttribute(int* value, cudaDeviceP2PAttr which, int device, int peer) {
  return call("cudaDeviceGetP2PAttribute", [&](Simulation& s, Lock&) -> cudaError_t {
    if (!exists(s, device) || !exists(s, peer) || device == peer) return cudaErrorInvalidDevice;
    *value = which == cudaDevP2PAttrPerformanceRank ? 0 : (linked(s, device, peer) ? 1 : 0);
    return cudaSuccess;
  });
}
