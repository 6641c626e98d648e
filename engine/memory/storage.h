#pragma once

#include <miniparallel/device.h>

#include <atomic>
#include <cstdint>
#include <memory>

namespace miniparallel {

/// Counts the writes to an alias group: a base and its views.
using Version = std::atomic<std::uint32_t>;

/// Owns one block of memory of a device, taken from and given back to that device's caching allocator.
class Storage {
 public:
  Storage(std::size_t bytes, Device device);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  Device device() const { return device_; }
  /// The counter of the tensor that was allocated together with this storage.
  Version& version() { return version_; }

 private:
  std::byte* data_;
  std::size_t bytes_;
  Device device_;
  Version version_ = 0;
};

}  // namespace miniparallel
