#include "engine/tensor/pending.h"

#include "engine/device/accelerator.h"

#include <algorithm>

namespace miniparallel {
namespace {

std::atomic<std::uint64_t> last_turn = 0;

}  // namespace

Pending::Pending(Device device, const std::vector<std::size_t>& ends) : device_(device), parts_(ends.size()) {
  for (std::size_t i = 0; i < ends.size(); ++i) {
    parts_[i].end = ends[i];
    parts_[i].work = Event(device);
  }
}

void Pending::mark(std::size_t part) {
  Part& marked = parts_[part];
  marked.work.record();
  marked.waited_by.store(nullptr, std::memory_order_relaxed);
  marked.marked_by.store(stream(device_).handle, std::memory_order_release);
}

void Pending::wait(std::size_t begin, std::size_t end) {
  void* const waiting = stream(device_).handle;
  const auto first = std::ranges::upper_bound(parts_, begin, {}, &Part::end);
  for (auto part = first; part != parts_.end(); ++part) {
    const void* const marked_by = part->marked_by.load(std::memory_order_acquire);
    if (marked_by != nullptr && marked_by != waiting &&
        part->waited_by.load(std::memory_order_acquire) != waiting) {
      part->work.wait(device_);
      if (part->waited_by.exchange(waiting, std::memory_order_acq_rel) == nullptr)
        part->turn.store(last_turn.fetch_add(1, std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    if (end <= part->end) return;
  }
}

}  // namespace miniparallel
