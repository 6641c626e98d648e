#include "kernels/cuda/device/grid.h"

#include "kernels/cuda/device/check.h"

#include <algorithm>
#include <array>
#include <atomic>

namespace miniparallel::kernels::cuda {
namespace {

constexpr int kMaxDevices = 64;
constexpr std::int64_t kWaves = 4;

std::array<std::atomic<int>, kMaxDevices> known{};  // multiprocessors, or 0

}  // namespace

int multiprocessors(int device) {
  const bool kept = device < kMaxDevices;
  int count = kept ? known[static_cast<std::size_t>(device)].load(std::memory_order_relaxed) : 0;
  if (count == 0) {
    CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
    if (kept) known[static_cast<std::size_t>(device)].store(count, std::memory_order_relaxed);
  }
  return count;
}

void forget_multiprocessors() {
  for (std::atomic<int>& count : known) count.store(0, std::memory_order_relaxed);
}

unsigned grid_for(std::int64_t items, int device, int block) {
  const std::int64_t wanted = (items + block - 1) / block;
  const std::int64_t useful = kWaves * multiprocessors(device) * (2048 / block);
  return static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, useful));
}

}  // namespace miniparallel::kernels::cuda
