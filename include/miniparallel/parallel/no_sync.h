#pragma once

#include <atomic>
#include <memory>
#include <utility>

namespace miniparallel::parallel {

/// While one lives, backwards leave the gradients of other devices than the first where they are: see
/// `DataParallel::no_sync`.
class [[nodiscard]] NoSync {
 public:
  /// `count`: how many of one wrapper live.
  explicit NoSync(std::shared_ptr<std::atomic<int>> count) : count_(std::move(count)) { ++*count_; }
  NoSync(NoSync&&) = default;
  NoSync& operator=(NoSync&&) = delete;
  ~NoSync() {
    if (count_) --*count_;
  }

 private:
  std::shared_ptr<std::atomic<int>> count_;
};

}  // namespace miniparallel::parallel
