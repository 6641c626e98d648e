// The functions that -fsanitize=thread calls for every load and store. Kernel files are compiled with that
// option and linked to these instead of to the sanitizer's library.

#include "core/block.h"
#include "core/checker.h"
#include "core/host_guard.h"

#include <cstddef>
#include <cstdint>

namespace miniparallel::simulator {
namespace {

[[gnu::always_inline]] inline void look_up(const void* pointer, std::size_t bytes, Kind kind) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  Block* const block = Block::current();
  if (block == nullptr) {
    if (is_device_memory(address) && !in_device_work) report_host_access(address);
    return;
  }
  Checker* const check = block->checker();
  if (check == nullptr || !block->in_kernel()) return;
  const auto stack = reinterpret_cast<std::uintptr_t>(block->fiber().stack_begin());
  if (address - stack < Fiber::stack_bytes) return;
  const Block::InRuntime in_runtime(*block);
  check->access(*block, address, bytes, kind);
}

}  // namespace
}  // namespace miniparallel::simulator

using miniparallel::simulator::Kind;
using miniparallel::simulator::look_up;

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void** slot, void*) { look_up(slot, sizeof *slot, Kind::write); }
void __tsan_vptr_read(void** slot) { look_up(slot, sizeof *slot, Kind::read); }
void __tsan_read_range(void* address, unsigned long bytes) { look_up(address, bytes, Kind::read); }
void __tsan_write_range(void* address, unsigned long bytes) { look_up(address, bytes, Kind::write); }

#define ACCESS(bytes)                                                                         \
  void __tsan_read##bytes(void* address) { look_up(address, bytes, Kind::read); }             \
  void __tsan_write##bytes(void* address) { look_up(address, bytes, Kind::write); }           \
  void __tsan_unaligned_read##bytes(void* address) { look_up(address, bytes, Kind::read); }   \
  void __tsan_unaligned_write##bytes(void* address) { look_up(address, bytes, Kind::write); } \
  void __tsan_volatile_read##bytes(void* address) { look_up(address, bytes, Kind::read); }    \
  void __tsan_volatile_write##bytes(void* address) { look_up(address, bytes, Kind::write); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
#undef ACCESS

#define FETCH(bits, type, name, operation)                                           \
  type __tsan_atomic##bits##_fetch_##name(volatile type* address, type value, int) { \
    look_up(const_cast<type*>(address), sizeof(type), Kind::atomic);                 \
    return __atomic_fetch_##operation(address, value, __ATOMIC_SEQ_CST);             \
  }
#define ATOMICS(bits, type)                                                                                  \
  type __tsan_atomic##bits##_load(const volatile type* address, int) {                                       \
    look_up(const_cast<type*>(address), sizeof(type), Kind::atomic);                                         \
    return __atomic_load_n(address, __ATOMIC_SEQ_CST);                                                       \
  }                                                                                                          \
  void __tsan_atomic##bits##_store(volatile type* address, type value, int) {                                \
    look_up(const_cast<type*>(address), sizeof(type), Kind::atomic);                                         \
    __atomic_store_n(address, value, __ATOMIC_SEQ_CST);                                                      \
  }                                                                                                          \
  type __tsan_atomic##bits##_exchange(volatile type* address, type value, int) {                             \
    look_up(const_cast<type*>(address), sizeof(type), Kind::atomic);                                         \
    return __atomic_exchange_n(address, value, __ATOMIC_SEQ_CST);                                            \
  }                                                                                                          \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile type* address, type* expected, type value,     \
                                                     int, int) {                                             \
    look_up(const_cast<type*>(address), sizeof(type), Kind::atomic);                                         \
    return __atomic_compare_exchange_n(address, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST); \
  }                                                                                                          \
  bool __tsan_atomic##bits##_compare_exchange_weak(volatile type* address, type* expected, type value,       \
                                                   int a, int b) {                                           \
    return __tsan_atomic##bits##_compare_exchange_strong(address, expected, value, a, b);                    \
  }                                                                                                          \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* address, type expected, type value, int a,  \
                                                  int b) {                                                   \
    __tsan_atomic##bits##_compare_exchange_strong(address, &expected, value, a, b);                          \
    return expected;                                                                                         \
  }                                                                                                          \
  FETCH(bits, type, add, add)                                                                                \
  FETCH(bits, type, sub, sub)                                                                                \
  FETCH(bits, type, and, and)                                                                                \
  FETCH(bits, type, or, or)                                                                                  \
  FETCH(bits, type, xor, xor)                                                                                \
  FETCH(bits, type, nand, nand)
ATOMICS(8, unsigned char)
ATOMICS(16, unsigned short)
ATOMICS(32, unsigned)
ATOMICS(64, unsigned long long)
#undef ATOMICS
#undef FETCH

void __tsan_atomic_thread_fence(int) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"
