#pragma once

#include "parallel/part.h"

#include <cstdint>
#include <span>
#include <vector>

/// The ways that lead the parts of several devices to one sum. All but the last run the same kernel,
/// which reads the parts where they are and adds them in the same order; they differ in who runs it,
/// and on what memory.

namespace miniparallel::parallel {

/// Each takes parts with rising ranks, of one dtype, that are on several devices, and returns the bytes that
/// cross links. They keep no part longer than the call.
using SumPath = std::int64_t (*)(std::vector<Part> parts, const Tensor& sum);

/// The sum's device reads the parts of the others: few launches, for small arrays. Those whose memory it does
/// not reach come through host memory.
std::int64_t sum_direct(std::vector<Part> parts, const Tensor& sum);
/// Each device sums its share of the elements and writes them to the sum: every link carries as much as the
/// others, for large arrays. All devices must reach one another. See sum_shards.
std::int64_t sum_sharded(std::vector<Part> parts, const Tensor& sum);
/// Each device copies its parts to pinned memory, where the sum's device reads them.
std::int64_t sum_host(std::vector<Part> parts, const Tensor& sum);
/// NCCL, which adds in an order of its own.
std::int64_t sum_nccl(std::vector<Part> parts, const Tensor& sum);

/// Consecutive elements of a sum: the device that adds them up, and where it writes them.
struct SumShard {
  Device device;
  Tensor sum;
};
/// Each device sums its shards, reading the parts where they are. All must reach one another. Returns the
/// bytes that cross links.
std::int64_t sum_shards(const std::vector<Part>& parts, const std::vector<SumShard>& shards);
/// The parts' elements from `begin` on, `length` of them.
std::vector<Part> narrowed(const std::vector<Part>& parts, std::int64_t begin, std::int64_t length);

/// From how many bytes on shards are worth their launches and events.
inline constexpr std::int64_t kShardedBytes = std::int64_t{4} << 20;

/// Whether each of the two devices reads and writes the other's memory.
bool reach_each_other(Device a, Device b);
bool all_reach_each_other(const std::vector<Device>& devices);

inline std::int64_t bytes_of(const Tensor& tensor) {
  return tensor.numel() * static_cast<std::int64_t>(size_of(tensor.dtype()));
}
/// The devices of the parts, the sum's first.
std::vector<Device> devices_of(const std::vector<Part>& parts, const Tensor& sum);
std::vector<Device> devices_of(const std::vector<Part>& parts, const std::vector<SumShard>& shards);

/// y = the sum of the parts, one at least, by kernels of `device`, which reaches all memory.
void sum_on(Device device, std::vector<Part> parts, const Tensor& y);

/// The part's values in host memory that GPUs read: pinned, and complete for what `reader` is given after it
/// has waited for the part's device. On `reader` itself where the system pins no more.
Tensor mirrored(const Tensor& values, Device reader);

}  // namespace miniparallel::parallel
