#pragma once
// Atomic functions on device, shared and pinned memory: relaxed and device wide, as CUDA's. They are compiler
// built-ins, so a checked build sees them as atomics.

#include "miniparallel/simulator/warp.h"

#include <type_traits>

namespace miniparallel::simulator {

/// Replaces *address by update(*address) atomically; returns what was there.
template <typename T, typename Update>
T atomically(T* address, Update update) {
  using Bits = std::conditional_t<sizeof(T) == 8, unsigned long long,
                                  std::conditional_t<sizeof(T) == 4, unsigned, unsigned short>>;
  auto* const cell = reinterpret_cast<Bits*>(address);
  Bits seen = __atomic_load_n(cell, __ATOMIC_RELAXED);
  for (;;) {
    const T old = from_bits<T>(seen);
    const auto wanted = static_cast<Bits>(to_bits<T>(update(old)));
    if (__atomic_compare_exchange_n(cell, &seen, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      return old;
  }
}

}  // namespace miniparallel::simulator

template <typename T>
T atomicAdd(T* address, std::type_identity_t<T> value) {
  if constexpr (std::is_integral_v<T>) {
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
  } else {
    return miniparallel::simulator::atomically(address, [=](T old) { return static_cast<T>(old + value); });
  }
}

template <typename T>
T atomicSub(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);
}

template <typename T>
T atomicExch(T* address, std::type_identity_t<T> value) {
  return miniparallel::simulator::atomically(address, [=](T) { return value; });
}

template <typename T>
T atomicMin(T* address, std::type_identity_t<T> value) {
  return miniparallel::simulator::atomically(address, [=](T old) { return value < old ? value : old; });
}

template <typename T>
T atomicMax(T* address, std::type_identity_t<T> value) {
  return miniparallel::simulator::atomically(address, [=](T old) { return old < value ? value : old; });
}

template <typename T>
T atomicAnd(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);
}

template <typename T>
T atomicOr(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}

template <typename T>
T atomicXor(T* address, std::type_identity_t<T> value) {
  return __atomic_fetch_xor(address, value, __ATOMIC_RELAXED);
}

/// old >= bound ? 0 : old + 1
inline unsigned atomicInc(unsigned* address, unsigned bound) {
  return miniparallel::simulator::atomically(address,
                                             [=](unsigned old) { return old >= bound ? 0u : old + 1u; });
}

/// old == 0 || old > bound ? bound : old - 1
inline unsigned atomicDec(unsigned* address, unsigned bound) {
  return miniparallel::simulator::atomically(
      address, [=](unsigned old) { return old == 0u || old > bound ? bound : old - 1u; });
}

template <typename T>
T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> wanted) {
  __atomic_compare_exchange_n(address, &expected, wanted, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
