#pragma once

#include <miniparallel/cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace miniparallel {

/// What streams still do with the parts of a block of a GPU's memory, such as copies that arrive
/// there or leave: who uses a part waits for the work that was marked there, and for no more
/// than that. See Storage::pending.
class Pending {
 public:
  /// Work on the block that is enqueued only if somebody uses what it writes.
  class Deferred {
   public:
    virtual ~Deferred() = default;
    /// Whether it writes any of the bytes from `begin` to before `end`.
    virtual bool is_for(std::size_t begin, std::size_t end) const = 0;
    /// Enqueues it on the calling thread's streams.
    virtual void run() const = 0;
  };

  /// Parts that end at these bytes, in rising order; the first one begins at 0.
  Pending(Device device, const std::vector<std::size_t>& ends);
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  /// The first and the last part that have some of the bytes from `begin` to before `end`.
  struct Parts {
    std::size_t first, last;
  };
  Parts parts(std::size_t begin, std::size_t end) const;
  /// Marks what the calling thread has enqueued on its stream. What was marked there before must come first.
  void mark(std::size_t part);
  /// What the calling thread enqueues on its stream from now on starts when the marked work on the bytes from
  /// `begin` to before `end` is done. The thread itself does not wait.
  void wait(std::size_t begin, std::size_t end);

  /// `work` is done by the next `wait` for what it writes, unless other work, or none (null),
  /// takes its place before.
  void defer(std::shared_ptr<const Deferred> work);
  /// Null where none is left to do.
  std::shared_ptr<const Deferred> deferred() const;

  /// Tells by its size which parts were asked for before others after their last marks; 0 for
  /// one that was not.
  std::uint64_t turn(std::size_t part) const { return parts_[part].turn.load(std::memory_order_relaxed); }

 private:
  struct Part {
    std::size_t end = 0;
    Event work{Device::cpu()};
    std::atomic<void*> marked_by = nullptr;  ///< the stream; null before the first mark
    std::atomic<void*> waited_by = nullptr;  ///< the last stream since; null before the first
    std::atomic<std::uint64_t> turn = 0;
  };

  void run_deferred(std::size_t begin, std::size_t end);

  Device device_;
  std::vector<Part> parts_;
  std::atomic<bool> has_deferred_ = false;
  mutable std::recursive_mutex mutex_;  // guards the next; the work uses the block itself
  std::shared_ptr<const Deferred> deferred_;
};

}  // namespace miniparallel
