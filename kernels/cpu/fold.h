#pragma once

#include "kernels/macros.h"
#include "kernels/reduce.h"

namespace miniparallel::kernels::cpu {

/// The loops of one reduction of one dtype, on accumulators of `bytes` each.
struct FoldLoops {
  std::int64_t bytes = 0;
  /// Accumulators of outputs [first, last), at most kColumns, each over elements [begin, end) of the reduced
  /// dimensions.
  void (*rows)(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
               std::int64_t end, void* accumulators) = nullptr;
  /// The same for outputs that are neighbours in the input, within the innermost kept dimension.
  void (*columns)(const ReduceArgs& args, std::int64_t first, std::int64_t last, std::int64_t begin,
                  std::int64_t end, void* accumulators) = nullptr;
  /// into[i] = combine(into[i], from[i]).
  void (*merge)(void* into, const void* from, std::int64_t n) = nullptr;
  /// Writes outputs [first, last).
  void (*store)(const ReduceArgs& args, std::int64_t first, std::int64_t last,
                const void* accumulators) = nullptr;
};

inline constexpr std::int64_t kColumns = 256;

/// Size and stride of the innermost dimension; one element without dimensions.
MP_INLINE std::int64_t inner_size(const Layout& layout) {
  return layout.rank == 0 ? 1 : layout.sizes[layout.rank - 1];
}
MP_INLINE std::int64_t inner_stride(const Layout& layout) {
  return layout.rank == 0 ? 0 : layout.strides[0][layout.rank - 1];
}

/// Runs a reduction in parallel over outputs and over fixed chunks of the reduced dimensions.
void fold(const FoldLoops& loops, const ReduceArgs& args);

}  // namespace miniparallel::kernels::cpu
