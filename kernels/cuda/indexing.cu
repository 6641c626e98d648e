#include "kernels/indexing.h"

#include "kernels/cuda/backend.h"
#include "kernels/cuda/bad_index.cuh"
#include "kernels/cuda/by_dtype.h"
#include "kernels/cuda/launch_on.cuh"
#include "kernels/cuda/workspace.h"
#include "kernels/index_at.h"

#include <algorithm>
#include <utility>

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

// The sort of scatter_add: a key is a row of `whole` and, in its low bits, a position among at most kPart
// indices, so that no two are equal and equal rows keep their order.

using Key = std::uint64_t;
constexpr int kPositionBits = 16;
constexpr std::int64_t kPart = std::int64_t{1} << kPositionBits;  // indices that are sorted at once
static_assert(2 * kPart * sizeof(Key) <= kWorkspaceBytes);

__device__ std::int64_t row_of(Key key) { return static_cast<std::int64_t>(key >> kPositionBits); }

/// Makes the keys of `count` indices from `begin` on, in sorted runs of kBlock: a key's place is the number
/// of smaller ones. Indices that take no part get the row past the last.
__global__ void sort_runs(IndexArgs args, std::int64_t begin, int count, Key* keys, BadIndexWord* word) {
  auto& run = miniparallel::cuda::shared_array<Key, kBlock>();
  const int at = static_cast<int>(blockIdx.x * kBlock + threadIdx.x);
  Key mine = ~Key{0};
  if (at < count) {
    const std::int64_t row = index_at(args.index, args.index_dtype, begin + at);
    const bool here = check_index(row, args.rows, args.op, word) && row != args.skip;
    mine = static_cast<Key>(here ? row : args.rows) << kPositionBits | static_cast<Key>(at);
  }
  run[threadIdx.x] = mine;
  __syncthreads();
  int place = 0;
  for (int i = 0; i < kBlock; ++i) place += run[i] < mine ? 1 : 0;
  if (at < count) keys[static_cast<int>(blockIdx.x) * kBlock + place] = mine;
}

/// Makes sorted runs of twice the length: a key's place is its own in its run and the number of smaller ones
/// in the run beside it.
__global__ void merge_runs(const Key* from, int count, int run, Key* to) {
  const int at = static_cast<int>(blockIdx.x * kBlock + threadIdx.x);
  if (at >= count) return;
  const Key mine = from[at];
  const int own = at & ~(run - 1), beside = own ^ run;
  int low = min(beside, count), high = min(beside + run, count);
  const int none = low;
  while (low < high) {
    const int middle = (low + high) / 2;
    if (from[middle] < mine)
      low = middle + 1;
    else
      high = middle;
  }
  to[min(own, beside) + (at - own) + (low - none)] = mine;
}

/// For the first of the sorted keys of each row, a warp adds all rows of `picked` that have it, in their
/// order. Threads with neighbouring x have neighbouring columns, of outer * inner.
template <class T>
__global__ void add_sorted_rows(IndexArgs args, const Key* keys, int count, const T* picked, T* whole) {
  const int first = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y);
  if (first >= count) return;
  const std::int64_t row = row_of(keys[first]);
  if (row == args.rows || (first > 0 && row_of(keys[first - 1]) == row)) return;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * 32;
  for (std::int64_t c = blockIdx.y * 32 + threadIdx.x; c < args.outer * args.inner; c += step) {
    const std::int64_t outer = args.outer == 1 ? 0 : c / args.inner, column = c - outer * args.inner;
    T* const to = whole + (outer * args.rows + row) * args.inner + column;
    const T* const from = picked + outer * args.count * args.inner + column;
    T sum = *to;
    for (int i = first; i < count && row_of(keys[i]) == row; ++i)
      sum += from[static_cast<std::int64_t>(keys[i] % kPart) * args.inner];
    *to = sum;
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

/// Sorts the keys of `count` indices from `begin` on. (A library's sort would ask for memory of its own.)
const Key* sorted_keys(const IndexArgs& args, std::int64_t begin, int count, Stream stream) {
  Key *keys = static_cast<Key*>(workspace(stream)), *next = keys + kPart;
  const auto blocks = static_cast<unsigned>((count + kBlock - 1) / kBlock);
  launch_on(stream, sort_runs, blocks, kBlock, args, begin, count, keys, bad_index_word(stream.device));
  for (int run = kBlock; run < count; run *= 2) {
    launch_on(stream, merge_runs, blocks, kBlock, keys, count, run, next);
    std::swap(keys, next);
  }
  return keys;
}

template <class T>
void scatter_add_as(const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  constexpr unsigned warps = kBlock / 32, most_tiles = 65535;
  const std::int64_t tiles = (args.outer * args.inner + 31) / 32;
  for (std::int64_t begin = 0; begin < args.count; begin += kPart) {
    const int count = static_cast<int>(std::min(args.count - begin, kPart));
    const Key* keys = sorted_keys(args, begin, count, stream);
    const dim3 grid((static_cast<unsigned>(count) + warps - 1) / warps,
                    static_cast<unsigned>(std::min<std::int64_t>(tiles, most_tiles)));
    launch_blocks(stream, add_sorted_rows<T>, grid, dim3(32, warps), args, keys, count,
                  in<T>(picked) + begin * args.inner, out<T>(whole));
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
