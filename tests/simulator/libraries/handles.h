#pragma once
#include "../runtime.h"

#include <memory>
#include <mutex>
#include <unordered_map>

namespace miniparallel::simulator {

/// The living objects behind a library's handles. A program may hold dead handles, so a handle is looked up
/// here before it is touched. Emptied by reset().
template <class T>
class Handles {
 public:
  static Handles& instance() {
    static Handles handles;
    return handles;
  }

  T* add(std::unique_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    T* handle = object.get();
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  /// Gives the object to the caller; nullptr if the handle was dead.
  std::unique_ptr<T> remove(const T* handle) {
    const std::lock_guard lock(mutex_);
    auto node = objects_.extract(handle);
    return node ? std::move(node.mapped()) : nullptr;
  }

  bool alive(const T* handle) {
    const std::lock_guard lock(mutex_);
    return objects_.contains(handle);
  }

 private:
  Handles() {
    on_reset([this] {
      const std::lock_guard lock(mutex_);
      objects_.clear();
    });
  }

  std::mutex mutex_;
  std::unordered_map<const T*, std::unique_ptr<T>> objects_;
};

}  // namespace miniparallel::simulator
