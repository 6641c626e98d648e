// Copies and memset.

#include "core/call.h"
#include "core/capture.h"
#include "core/checker.h"
#include "core/memory.h"

#include <cuda_runtime_api.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

using namespace miniparallel::simulator;

namespace {

/// `rows` runs of `width` bytes. A plain copy is one row.
struct Copy {
  void* to;
  std::size_t to_pitch;
  const void* from;
  std::size_t from_pitch;
  std::size_t width, rows;

  std::size_t bytes() const { return width * rows; }
  std::size_t to_extent() const { return (rows - 1) * to_pitch + width; }
  std::size_t from_extent() const { return (rows - 1) * from_pitch + width; }
};

bool direction_fits(cudaMemcpyKind kind, const Place& to, const Place& from) {
  const bool to_device = to.space == Space::device, from_device = from.space == Space::device;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to.space != Space::pageable && from.space != Space::pageable;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

Counters traffic(const Place& to, const Place& from, std::size_t size) {
  const auto bytes = static_cast<std::int64_t>(size);
  Counters counters;
  if (to.device >= 0 && from.device >= 0) {
    (to.device == from.device ? counters.bytes_on_device : counters.bytes_between_devices) += bytes;
  } else if (to.device >= 0) {
    counters.bytes_to_device += bytes;
  } else if (from.device >= 0) {
    counters.bytes_to_host += bytes;
  }
  return counters;
}

void perform(const Copy& copy, bool corrupt) {
  for (std::size_t row = 0; row < copy.rows; ++row) {
    char* const to = static_cast<char*>(copy.to) + row * copy.to_pitch;
    const char* const from = static_cast<const char*>(copy.from) + row * copy.from_pitch;
    std::memmove(to, from, copy.width);
    if (corrupt) to[copy.width / 2] = static_cast<char>(to[copy.width / 2] ^ 0x5a);
  }
}

/// The bytes that pageable memory holds now: CUDA stages them before the call returns.
std::shared_ptr<char[]> stage(Copy& copy) {
  std::shared_ptr<char[]> staged(new char[copy.bytes()]);
  perform({staged.get(), copy.width, copy.from, copy.from_pitch, copy.width, copy.rows}, false);
  copy.from = staged.get();
  copy.from_pitch = copy.width;
  return staged;
}

/// The rate of the link that the copy takes, if it is a slow one.
std::optional<double> slow_rate(const Simulation& s, const Place& to, const Place& from) {
  const auto slow = s.faults.slow_links.find({from.device, to.device});
  return slow == s.faults.slow_links.end() ? std::nullopt : std::optional(slow->second);
}

/// How long the link makes the copy take.
std::chrono::duration<double> time_on_link(const Simulation& s, const Copy& copy, const Place& to,
                                           const Place& from) {
  const std::optional<double> rate = slow_rate(s, to, from);
  if (!rate || *rate == 0 || s.settings.streams != Streams::threaded) return {};
  return std::chrono::duration<double>(static_cast<double>(copy.bytes()) / *rate);
}

Work copy_work(Simulation& s, const Copy& copy, const Place& to, const Place& from,
               std::shared_ptr<char[]> staged) {
  const bool on_devices = to.device >= 0 && from.device >= 0;
  Work work;
  work.name = "a copy of " + std::to_string(copy.bytes()) + " bytes";
  work.kind = WorkKind::copy;
  work.traffic = traffic(to, from, copy.bytes());
  work.accesses = {{on_devices ? Use::carry : Use::read, copy.from, copy.width, copy.from_pitch, copy.rows},
                   {Use::write, copy.to, copy.width, copy.to_pitch, copy.rows}};
  if (slow_rate(s, to, from) == 0.0)  // a gate that nobody opens
    work.gate =
        std::make_shared<Gate>(Gate{.explain = [] { return "its link carries nothing"; }, .after = {}});
  work.run = [&s, copy, to, from, on_devices, staged = std::move(staged)] {
    const auto [corrupt, pause] = [&] {
      const Lock lock(s.mutex);
      return std::pair(s.faults.corrupt_copies.contains({from.device, to.device}),
                       time_on_link(s, copy, to, from));
    }();
    perform(copy, corrupt);
    std::this_thread::sleep_for(pause);
    if (Checker* const check = checker(); check != nullptr && on_devices) {
      for (std::size_t row = 0; row < copy.rows; ++row) {
        check->copy_written(reinterpret_cast<std::uintptr_t>(copy.to) + row * copy.to_pitch,
                            reinterpret_cast<std::uintptr_t>(copy.from) + row * copy.from_pitch, copy.width);
      }
    }
    return cudaSuccess;
  };
  return work;
}

cudaError_t enqueue_copy(const char* name, Copy copy, cudaMemcpyKind kind, cudaStream_t handle,
                         bool asynchronous) {
  return call(name, [&](Simulation& s, Lock& lock) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (const cudaError_t error = asynchronous ? cudaSuccess : unsafe_call(s); error != cudaSuccess)
      return error;
    if (copy.bytes() == 0) return cudaSuccess;
    const Place to = place_of(s, copy.to), from = place_of(s, copy.from);
    if (!direction_fits(kind, to, from)) return cudaErrorInvalidValue;
    if (!is_valid_range(s, copy.to, copy.to_extent(), name) ||
        !is_valid_range(s, copy.from, copy.from_extent(), name)) {
      return cudaErrorInvalidValue;
    }
    const bool on_devices = to.device >= 0 && from.device >= 0;
    const bool captured = stream->capture != nullptr;  // to read and write pageable memory when it runs
    const bool waits = on_devices || captured ? false : !asynchronous || to.space == Space::pageable;
    std::shared_ptr<char[]> staged;
    if (!waits && !captured && from.space == Space::pageable) staged = stage(copy);
    Counters& counters = s.devices[static_cast<std::size_t>(stream->device)].counters;
    ++counters.copies;
    const OperationRef operation = append(s, stream, copy_work(s, copy, to, from, std::move(staged)));
    if (!waits) return cudaSuccess;
    ++counters.host_synchronizations;
    return wait_until_done(s, lock, operation);
  });
}

cudaError_t enqueue_set(const char* name, void* to, std::size_t pitch, int value, std::size_t width,
                        std::size_t rows, cudaStream_t handle, bool asynchronous) {
  return call(name, [&](Simulation& s, Lock&) -> cudaError_t {
    const auto stream = resolve(s, handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = stream_error(s, *stream); error != cudaSuccess) return error;
    if (const cudaError_t error = asynchronous ? cudaSuccess : unsafe_call(s); error != cudaSuccess)
      return error;
    if (width == 0 || rows == 0) return cudaSuccess;
    if (place_of(s, to).space == Space::pageable) return cudaErrorInvalidValue;
    if (!is_valid_range(s, to, (rows - 1) * pitch + width, name)) return cudaErrorInvalidValue;
    Work work;
    work.name = "a memset of " + std::to_string(width * rows) + " bytes";
    work.kind = WorkKind::copy;
    work.accesses = {{Use::write, to, width, pitch, rows}};
    work.run = [=] {
      for (std::size_t row = 0; row < rows; ++row)
        std::memset(static_cast<char*>(to) + row * pitch, value, width);
      return cudaSuccess;
    };
    work.traffic.bytes_set = static_cast<std::int64_t>(width * rows);
    append(s, stream, std::move(work));
    return cudaSuccess;
  });
}

}  // namespace

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return enqueue_copy("cudaMemcpy", {to, bytes, from, bytes, bytes, 1}, kind, cudaStreamLegacy, false);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return enqueue_copy("cudaMemcpyAsync", {to, bytes, from, bytes, bytes, 1}, kind, stream, true);
}

// The devices are known from the addresses; the copy works with and without peer access.
cudaError_t cudaMemcpyPeer(void* to, int, const void* from, int, std::size_t bytes) {
  return enqueue_copy("cudaMemcpyPeer", {to, bytes, from, bytes, bytes, 1}, cudaMemcpyDeviceToDevice,
                      cudaStreamLegacy, false);
}

cudaError_t cudaMemcpyPeerAsync(void* to, int, const void* from, int, std::size_t bytes,
                                cudaStream_t stream) {
  return enqueue_copy("cudaMemcpyPeerAsync", {to, bytes, from, bytes, bytes, 1}, cudaMemcpyDeviceToDevice,
                      stream, true);
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t rows, cudaMemcpyKind kind) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidPitchValue;
  return enqueue_copy("cudaMemcpy2D", {to, to_pitch, from, from_pitch, width, rows}, kind, cudaStreamLegacy,
                      false);
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t rows, cudaMemcpyKind kind, cudaStream_t stream) {
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidPitchValue;
  return enqueue_copy("cudaMemcpy2DAsync", {to, to_pitch, from, from_pitch, width, rows}, kind, stream, true);
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return enqueue_set("cudaMemset", to, bytes, value, bytes, 1, cudaStreamLegacy, false);
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return enqueue_set("cudaMemsetAsync", to, bytes, value, bytes, 1, stream, true);
}

cudaError_t cudaMemset2D(void* to, std::size_t pitch, int value, std::size_t width, std::size_t rows) {
  return enqueue_set("cudaMemset2D", to, pitch, value, width, rows, cudaStreamLegacy, false);
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t rows,
                              cudaStream_t stream) {
  return enqueue_set("cudaMemset2DAsync", to, pitch, value, width, rows, stream, true);
}
