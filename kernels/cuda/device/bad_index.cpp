#include "kernels/cuda/device/bad_index.h"

#include "kernels/cuda/device/device_guard.h"
#include "kernels/cuda/device/retry_out_of_memory.h"

#include <atomic>
#include <mutex>
#include <vector>

namespace miniparallel::kernels::cuda {
namespace {

struct Words {
  std::mutex mutex;
  std::vector<BadIndexWord*> by_device;
};

Words& words() {
  static Words* const all = new Words;  // usable while the process ends
  return *all;
}

}  // namespace

BadIndexWord* bad_index_word(int device) {
  const auto index = static_cast<std::size_t>(device);
  const std::scoped_lock lock(words().mutex);
  std::vector<BadIndexWord*>& all = words().by_device;
  if (all.size() <= index) all.resize(index + 1, nullptr);
  if (all[index] == nullptr) {
    void* memory = nullptr;
    CUDA_CHECK(with_memory(device, "a word of pinned host memory", cudaErrorMemoryAllocation, [&] {
      return cudaHostAlloc(&memory, sizeof(BadIndexWord), cudaHostAllocPortable);
    }));
    all[index] = new (memory) BadIndexWord{};
  }
  return all[index];
}

std::optional<BadIndex> take_bad_index(int device) {
  const auto index = static_cast<std::size_t>(device);
  const std::scoped_lock lock(words().mutex);
  const std::vector<BadIndexWord*>& all = words().by_device;
  if (all.size() <= index || all[index] == nullptr) return {};
  BadIndexWord& word = *all[index];
  if (std::atomic_ref(word.ready).load(std::memory_order_acquire) == 0) return {};
  const BadIndex what = word.what;
  word.ready = 0;
  std::atomic_ref(word.taken).store(0, std::memory_order_release);
  return what;
}

void release_bad_index_words() {
  const std::scoped_lock lock(words().mutex);
  for (BadIndexWord* const word : words().by_device) miniparallel::cuda::quietly(cudaFreeHost(word));
  words().by_device.clear();
}

}  // namespace miniparallel::kernels::cuda
