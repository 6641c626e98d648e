#include "kernels/indexing.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/bad_index.cuh"
#include "kernels/cuda/launch_on.cuh"
#include "kernels/index_at.h"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

/// Rows of a bad index are zero.
template <class Bits>
__global__ void gather_rows(IndexArgs args, const Bits* whole, Bits* picked, BadIndexWord* word) {
  const std::int64_t n = args.outer * args.count * args.inner;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; e < n; e += step) {
    const std::int64_t column = e % args.inner, i = e / args.inner % args.count;
    const std::int64_t outer = e / args.inner / args.count;
    const std::int64_t row = index_at(args.index, args.index_dtype, i);
    const bool here = check_index(row, args.rows, args.op, word) && row != args.skip;
    picked[e] = here ? whole[(outer * args.rows + row) * args.inner + column] : Bits(0);
  }
}

/// Block (i, outer) adds the rows of `picked` that have the index of position i, in their order, if i is the
/// first that has it: no atomics, so the sum is the same every time.
template <class T>
__global__ void scatter_add_rows(IndexArgs args, const T* picked, T* whole, BadIndexWord* word) {
  const std::int64_t i = blockIdx.x, outer = blockIdx.y;
  const std::int64_t row = index_at(args.index, args.index_dtype, i);
  if (!check_index(row, args.rows, args.op, word) || row == args.skip)
    return;  // the same for the whole block
  bool seen = false;
  for (std::int64_t j = threadIdx.x; j < i && !seen; j += blockDim.x)
    seen = index_at(args.index, args.index_dtype, j) == row;
  if (__syncthreads_or(seen ? 1 : 0)) return;
  T* const to = whole + (outer * args.rows + row) * args.inner;
  const T* const from = picked + outer * args.count * args.inner;
  for (std::int64_t column = threadIdx.x; column < args.inner; column += blockDim.x) {
    T sum = to[column];
    for (std::int64_t j = i; j < args.count; ++j)
      if (index_at(args.index, args.index_dtype, j) == row) sum += from[j * args.inner + column];
    to[column] = sum;
  }
}

template <class Bits>
void gather_bits(const IndexArgs& args, const void* whole, void* picked, Stream stream) {
  launch_on(stream, gather_rows<Bits>, grid_for(args.outer * args.count * args.inner, stream.device), kBlock,
            args, static_cast<const Bits*>(whole), static_cast<Bits*>(picked), bad_index_word(stream.device));
}

void gather(DType dtype, const IndexArgs& args, const void* whole, void* picked, Stream stream) {
  if (args.outer * args.count * args.inner == 0) return;
  switch (size_of(dtype)) {
    case 1:
      return gather_bits<std::uint8_t>(args, whole, picked, stream);
    case 2:
      return gather_bits<std::uint16_t>(args, whole, picked, stream);
    case 4:
      return gather_bits<std::uint32_t>(args, whole, picked, stream);
    default:
      return gather_bits<std::uint64_t>(args, whole, picked, stream);
  }
}

constexpr std::int64_t kGridY = 65535;

template <class T>
void scatter_add_as(const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  for (std::int64_t outer = 0; outer < args.outer; outer += kGridY) {
    const auto part = static_cast<unsigned>(std::min(args.outer - outer, kGridY));
    launch_blocks(stream, scatter_add_rows<T>, dim3(static_cast<unsigned>(args.count), part), dim3(kBlock),
                  args, static_cast<const T*>(picked) + outer * args.count * args.inner,
                  static_cast<T*>(whole) + outer * args.rows * args.inner, bad_index_word(stream.device));
  }
}
void scatter_add(DType dtype, const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  if (args.outer * args.count * args.inner == 0) return;
  (dtype == float32 ? scatter_add_as<float> : scatter_add_as<double>)(args, picked, whole, stream);
}

}  // namespace

const Indexing& indexing() {
  static constexpr Indexing launchers{.gather = gather, .scatter_add = scatter_add};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
