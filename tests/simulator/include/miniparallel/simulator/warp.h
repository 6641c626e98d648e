#pragma once
// Barriers, votes and shuffles. A default argument notes the caller's line.

#include "miniparallel/simulator/builtin_variables.h"
#include "miniparallel/simulator/kernel_runtime.h"

#include <bit>
#include <cstring>
#include <type_traits>

namespace miniparallel::simulator {

using Where = std::source_location;

template <typename T>
std::uint64_t to_bits(T value) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}

template <typename T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline int lane_index() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32u);
}

template <typename T>
T shuffle(unsigned mask, T value, int source, const Where& where) {
  return from_bits<T>(warp_operation(WarpOperation::shuffle, mask, to_bits(value), source, where));
}

}  // namespace miniparallel::simulator

inline void __syncthreads(miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  miniparallel::simulator::block_barrier(false, miniparallel::simulator::BarrierVote::none, where);
}
inline int __syncthreads_count(
    int predicate, miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  return miniparallel::simulator::block_barrier(predicate != 0, miniparallel::simulator::BarrierVote::count,
                                                where);
}
inline int __syncthreads_and(
    int predicate, miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  return miniparallel::simulator::block_barrier(predicate != 0, miniparallel::simulator::BarrierVote::all,
                                                where);
}
inline int __syncthreads_or(
    int predicate, miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  return miniparallel::simulator::block_barrier(predicate != 0, miniparallel::simulator::BarrierVote::any,
                                                where);
}

inline void __syncwarp(unsigned mask = 0xffffffffu,
                       miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  miniparallel::simulator::warp_operation(miniparallel::simulator::WarpOperation::sync, mask, 0, 0, where);
}

inline unsigned __ballot_sync(
    unsigned mask, int predicate,
    miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  return static_cast<unsigned>(miniparallel::simulator::warp_operation(
      miniparallel::simulator::WarpOperation::ballot, mask, predicate != 0 ? 1 : 0, 0, where));
}
inline int __any_sync(unsigned mask, int predicate,
                      miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  return __ballot_sync(mask, predicate, where) != 0 ? 1 : 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  return __ballot_sync(mask, predicate == 0 ? 1 : 0, where) == 0 ? 1 : 0;
}
inline unsigned __activemask() { return miniparallel::simulator::active_lanes(); }

/// The programming guide's segments: lanes shuffle within groups of `width`.
template <typename T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  const int base = miniparallel::simulator::lane_index() & ~(width - 1);
  return miniparallel::simulator::shuffle(mask, value, base + (source & (width - 1)), where);
}

template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  const int lane = miniparallel::simulator::lane_index(), in_group = lane & (width - 1);
  const int source = in_group < static_cast<int>(delta) ? lane : lane - static_cast<int>(delta);
  return miniparallel::simulator::shuffle(mask, value, source, where);
}

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  const int lane = miniparallel::simulator::lane_index(), in_group = lane & (width - 1);
  const int source = in_group + static_cast<int>(delta) >= width ? lane : lane + static_cast<int>(delta);
  return miniparallel::simulator::shuffle(mask, value, source, where);
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  const int lane = miniparallel::simulator::lane_index(), partner = lane ^ lane_mask;
  const int source = partner / width > lane / width ? lane : partner;  // a later group is out of reach
  return miniparallel::simulator::shuffle(mask, value, source, where);
}

inline void __threadfence() { miniparallel::simulator::memory_fence(); }
inline void __threadfence_block() { miniparallel::simulator::memory_fence(); }
inline void __threadfence_system() { miniparallel::simulator::memory_fence(); }

[[noreturn]] inline void __trap(
    miniparallel::simulator::Where where = miniparallel::simulator::Where::current()) {
  miniparallel::simulator::trap("__trap()", where);
}
