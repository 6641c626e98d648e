#include "engine/tensor/pending.h"

#include "engine/device/accelerator.h"

#include <algorithm>
#include <utility>

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

Pending::Parts Pending::parts(std::size_t begin, std::size_t end) const {
  const auto first = std::ranges::upper_bound(parts_, begin, {}, &Part::end);
  const auto last = std::ranges::lower_bound(parts_, end, {}, &Part::end);
  return {static_cast<std::size_t>(first - parts_.begin()), static_cast<std::size_t>(last - parts_.begin())};
}

void Pending::mark(std::size_t part) {
  Part& marked = parts_[part];
  marked.work.record();
  marked.waited_by.store(nullptr, std::memory_order_relaxed);
  marked.marked_by.store(stream(device_).handle, std::memory_order_release);
}

void Pending::wait(std::size_t begin, std::size_t end) {
  if (has_deferred_.load(std::memory_order_acquire)) run_deferred(begin, end);
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

void Pending::defer(std::shared_ptr<const Deferred> work) {
  const std::scoped_lock lock(mutex_);
  deferred_ = std::move(work);
  has_deferred_.store(deferred_ != nullptr, std::memory_order_release);
}

std::shared_ptr<const Pending::Deferred> Pending::deferred() const {
  const std::scoped_lock lock(mutex_);
  return deferred_;
}

void Pending::run_deferred(std::size_t begin, std::size_t end) {
  const std::scoped_lock lock(mutex_);
  if (!deferred_ || !deferred_->is_for(begin, end)) return;
  std::shared_ptr<const Deferred> work = std::exchange(deferred_, nullptr);
  try {
    work->run();
  } catch (...) {
    deferred_ = std::move(work);
    throw;
  }
  has_deferred_.store(false, std::memory_order_release);
}

}  // namespace miniparallel
