#include "kernels/bag.h"
#include "kernels/by_dtype.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/bad_index.cuh"
#include "kernels/cuda/device/block_reduce.cuh"
#include "kernels/cuda/device/launch_on.cuh"

#include <algorithm>

namespace miniparallel::kernels::cuda {
namespace {

constexpr unsigned kWarps = kBlock / 32;
constexpr std::int64_t kMostBlocks = 65535;  // of the grid's second dimension

/// The table's row that an index names, or null where it is skipped or bad.
template <class T>
__device__ const T* row_of(const BagArgs& args, std::int64_t i, const T* table, BadIndexWord* word) {
  const std::int64_t row = index_at(args.index, args.index_dtype, i);
  return check_index(row, args.rows, args.op, word) && row != args.skip ? table + row * args.width : nullptr;
}

/// A warp for 32 columns of each bag.
template <class T>
__global__ void sum_bags(BagArgs args, const T* table, const T* factors, T* y, BadIndexWord* word) {
  const std::int64_t bag = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (bag >= args.bags) return;
  const std::int64_t begin = args.begin(bag), end = args.end(bag),
                     step = static_cast<std::int64_t>(gridDim.y) * 32;
  for (std::int64_t c = blockIdx.y * 32 + threadIdx.x; c < args.width; c += step) {
    double sum = 0;
    for (std::int64_t i = begin; i < end; ++i)
      if (const T* const row = row_of(args, i, table, word))
        sum += static_cast<double>(factors == nullptr ? row[c] : factors[i] * row[c]);
    y[bag * args.width + c] = static_cast<T>(sum);
  }
}

struct Sum {
  struct Accumulator {
    double value;
  };
  MP_INLINE static Accumulator combine(const Accumulator& a, const Accumulator& b) {
    return {a.value + b.value};
  }
};

/// A warp for each bag.
template <class T>
__global__ void dot_bags(BagArgs args, const T* table, const T* g, T* products, BadIndexWord* word) {
  const std::int64_t bag = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  if (bag >= args.bags) return;
  const std::int64_t begin = args.begin(bag), end = args.end(bag);
  for (std::int64_t i = begin; i < end; ++i) {
    const T* const row = row_of(args, i, table, word);
    double sum = 0;
    for (std::int64_t c = threadIdx.x; c < args.width && row != nullptr; c += 32)
      sum += static_cast<double>(row[c]) * static_cast<double>(g[bag * args.width + c]);
    const double total = combine_over_x<Sum>({sum}).value;
    if (threadIdx.x == 0) products[i] = static_cast<T>(total);
  }
}

dim3 grid_of(std::int64_t bags, std::int64_t tiles) {
  return {static_cast<unsigned>((bags + kWarps - 1) / kWarps),
          static_cast<unsigned>(std::clamp<std::int64_t>(tiles, 1, kMostBlocks))};
}

void sums(DType dtype, const BagArgs& args, const void* table, const void* factors, void* y, Stream stream) {
  if (args.bags * args.width == 0) return;
  with_type(dtype, [&]<class T>() {
    launch_blocks(stream, sum_bags<T>, grid_of(args.bags, (args.width + 31) / 32), dim3(32, kWarps), args,
                  in<T>(table), in<T>(factors), out<T>(y), bad_index_word(stream.device));
  });
}

void dots(DType dtype, const BagArgs& args, const void* table, const void* g, void* products, Stream stream) {
  if (args.count == 0) return;
  with_type(dtype, [&]<class T>() {
    launch_blocks(stream, dot_bags<T>, grid_of(args.bags, 1), dim3(32, kWarps), args, in<T>(table), in<T>(g),
                  out<T>(products), bad_index_word(stream.device));
  });
}

}  // namespace

const Bag& bag() {
  static constexpr Bag launchers{.sums = sums, .dots = dots};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
