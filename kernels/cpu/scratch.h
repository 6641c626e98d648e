#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>

namespace miniparallel::kernels::cpu {

namespace detail {

inline constexpr std::size_t kScratchAlignment = 64;

struct ScratchBlock {
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, std::align_val_t{kScratchAlignment}); }
  };
  std::unique_ptr<std::byte, Free> memory;
  std::size_t bytes = 0;
};

}  // namespace detail

/// Room for n values of T, not initialised, aligned to a cache line. Belongs to the calling thread and `Tag`,
/// and is kept for the next call: valid until this thread asks for the same tag again.
template <class Tag, class T>
T* scratch(std::int64_t n) {
  thread_local detail::ScratchBlock block;
  const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(T);
  if (bytes > block.bytes) {
    block.memory.reset();
    block.bytes = 0;
    block.memory.reset(
        static_cast<std::byte*>(::operator new(bytes, std::align_val_t{detail::kScratchAlignment})));
    block.bytes = bytes;
  }
  return reinterpret_cast<T*>(block.memory.get());
}

}  // namespace miniparallel::kernels::cpu
