#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/bad_index.cuh"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/sort.h"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/cuda/device/workspace.h"
#include "kernels/index_at.h"
#include "kernels/indexing.h"

#include <algorithm>
#include <bit>

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
    const std::int64_t index = index_at(args.index, args.index_dtype, i);
    const bool here = check_index(index, args.part_rows(), args.op, word) && index != args.skip;
    const std::int64_t row = outer * args.rows + args.row_of(i, index);
    picked[e] = here ? whole[row * args.inner + column] : Bits(0);
  }
}

// scatter_add sorts keys: a row of `whole` and, in the low bits, a position among at most kPart indices, so
// that no two are equal and equal rows keep their order.

using Key = std::uint64_t;
constexpr std::int64_t kPart = kMaxScatter;  // indices that are sorted at once
constexpr int kPositionBits = std::countr_zero(static_cast<std::uint64_t>(kPart));
constexpr std::size_t kKeysBytes = kPart * sizeof(Key);
static_assert(3 * kKeysBytes <= kWorkspaceBytes, "the keys, and the scratch memory of their sort");

__device__ std::int64_t row_of(Key key) { return static_cast<std::int64_t>(key >> kPositionBits); }

/// The keys of `count` indices from `begin` on. Indices that take no part get the row past the last.
__global__ void make_keys(IndexArgs args, std::int64_t begin, int count, Key* keys, BadIndexWord* word) {
  const int step = static_cast<int>(gridDim.x * blockDim.x);
  for (int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); i < count; i += step) {
    const std::int64_t index = index_at(args.index, args.index_dtype, begin + i);
    const bool here = check_index(index, args.part_rows(), args.op, word) && index != args.skip;
    keys[i] = static_cast<Key>(here ? args.row_of(begin + i, index) : args.rows) << kPositionBits |
              static_cast<Key>(i);
  }
}

/// For the first of the sorted keys of each row, a warp adds all rows of `picked` that have it, in float64
/// and in their order. Threads with neighbouring x have neighbouring columns, of outer * inner.
template <class T, class Whole>
__global__ void add_sorted_rows(IndexArgs args, std::int64_t begin, const Key* keys, int count,
                                const T* picked, Whole* whole) {
  const int first = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y);
  if (first >= count) return;
  const std::int64_t row = row_of(keys[first]);
  if (row == args.rows || (first > 0 && row_of(keys[first - 1]) == row)) return;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * 32;
  for (std::int64_t c = blockIdx.y * 32 + threadIdx.x; c < args.outer * args.inner; c += step) {
    const std::int64_t outer = args.outer == 1 ? 0 : c / args.inner, column = c - outer * args.inner;
    Whole* const to = whole + (outer * args.rows + row) * args.inner + column;
    const T* const from = picked + outer * args.picked_row(args.count) + column;
    const T* const factors = static_cast<const T*>(args.factors);
    double sum = convert<double>(*to);
    for (int i = first; i < count && row_of(keys[i]) == row; ++i) {
      const std::int64_t place = begin + static_cast<std::int64_t>(keys[i] % kPart);
      const double value = convert<double>(from[args.picked_row(place)]);
      sum += factors == nullptr ? value : value * convert<double>(factors[place]);
    }
    *to = convert<Whole>(sum);
  }
}

/// For the last of the sorted keys of each row, a warp copies its row of `picked`.
template <class Bits>
__global__ void copy_sorted_rows(IndexArgs args, std::int64_t begin, const Key* keys, int count,
                                 const Bits* picked, Bits* whole) {
  const int last = static_cast<int>(blockIdx.x * blockDim.y + threadIdx.y);
  if (last >= count) return;
  const std::int64_t row = row_of(keys[last]);
  if (row == args.rows || (last + 1 < count && row_of(keys[last + 1]) == row)) return;
  const std::int64_t i = begin + static_cast<std::int64_t>(keys[last] % kPart);
  const std::int64_t step = static_cast<std::int64_t>(gridDim.y) * 32;
  for (std::int64_t c = blockIdx.y * 32 + threadIdx.x; c < args.outer * args.inner; c += step) {
    const std::int64_t outer = c / args.inner, column = c % args.inner;
    whole[(outer * args.rows + row) * args.inner + column] =
        picked[(outer * args.count + i) * args.inner + column];
  }
}

__global__ void element_positions(PositionArgs args, std::int64_t n, std::int64_t* positions,
                                  BadIndexWord* word) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; e < n; e += step) {
    const std::int64_t index = index_at(args.index, args.index_dtype, e);
    const bool here = check_index(index, args.bound, args.op, word);
    positions[e] = here ? offset_of(args.layout, e) + index * args.stride : 0;
  }
}

__global__ void list_places(const bool* mask, const std::int64_t* ends, std::int64_t n,
                            std::int64_t* places) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step)
    if (mask[i]) places[ends[i] - 1] = i;
}

/// Calls f for the unsigned type of an element's size.
template <class F>
void with_bits(DType dtype, const F& f) {
  switch (size_of(dtype)) {
    case 1:
      return f.template operator()<std::uint8_t>();
    case 2:
      return f.template operator()<std::uint16_t>();
    case 4:
      return f.template operator()<std::uint32_t>();
    default:
      return f.template operator()<std::uint64_t>();
  }
}

template <class Bits>
void gather_bits(const IndexArgs& args, const void* whole, void* picked, Stream stream) {
  launch_on(stream, gather_rows<Bits>, grid_for(args.outer * args.count * args.inner, stream.device), kBlock,
            args, static_cast<const Bits*>(whole), static_cast<Bits*>(picked), bad_index_word(stream.device));
}

void gather(DType dtype, const IndexArgs& args, const void* whole, void* picked, Stream stream) {
  if (args.outer * args.count * args.inner == 0) return;
  with_bits(dtype, [&]<class Bits>() { gather_bits<Bits>(args, whole, picked, stream); });
}

const Key* sorted_keys(const IndexArgs& args, std::int64_t begin, int count, Stream stream) {
  Key* const keys = static_cast<Key*>(workspace(stream));
  launch_on(stream, make_keys, grid_for(count, stream.device), kBlock, args, begin, count, keys,
            bad_index_word(stream.device));
  sort_keys(keys, count, keys + kPart, kWorkspaceBytes - kKeysBytes, stream);
  return keys;
}

/// Runs a kernel of sorted keys, a warp for each, part by part.
template <class T, class Whole>
void for_sorted_keys(void (*kernel)(IndexArgs, std::int64_t, const Key*, int, const T*, Whole*),
                     const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  constexpr unsigned warps = kBlock / 32, most_tiles = 65535;
  const std::int64_t tiles = (args.outer * args.inner + 31) / 32;
  for (std::int64_t begin = 0; begin < args.count; begin += kPart) {
    const int count = static_cast<int>(std::min(args.count - begin, kPart));
    const Key* keys = sorted_keys(args, begin, count, stream);
    const dim3 grid((static_cast<unsigned>(count) + warps - 1) / warps,
                    static_cast<unsigned>(std::min<std::int64_t>(tiles, most_tiles)));
    launch_blocks(stream, kernel, grid, dim3(32, warps), args, begin, keys, count, in<T>(picked),
                  out<Whole>(whole));
  }
}

template <class T, class Whole>
void scatter_add_as(const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  for_sorted_keys(add_sorted_rows<T, Whole>, args, picked, whole, stream);
}
template <class Bits>
void scatter_bits(const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  for_sorted_keys(copy_sorted_rows<Bits>, args, picked, whole, stream);
}

void scatter_add(DType dtype, const IndexArgs& args, const void* picked, DType whole_dtype, void* whole,
                 Stream stream) {
  if (args.outer * args.count * args.inner == 0) return;
  if (dtype == float32 && whole_dtype == float64)
    return scatter_add_as<float, double>(args, picked, whole, stream);
  with_stored_type(dtype, [&]<class T>() { scatter_add_as<T, T>(args, picked, whole, stream); });
}

void scatter(DType dtype, const IndexArgs& args, const void* picked, void* whole, Stream stream) {
  if (args.outer * args.count * args.inner == 0) return;
  with_bits(dtype, [&]<class Bits>() { scatter_bits<Bits>(args, picked, whole, stream); });
}

void positions(const PositionArgs& args, std::int64_t* positions, Stream stream) {
  const std::int64_t n = args.layout.numel();
  if (n == 0) return;
  launch_on(stream, element_positions, grid_for(n, stream.device), kBlock, args, n, positions,
            bad_index_word(stream.device));
}

void places(const bool* mask, const std::int64_t* ends, std::int64_t n, std::int64_t* places, Stream stream) {
  if (n == 0) return;
  launch_on(stream, list_places, grid_for(n, stream.device), kBlock, mask, ends, n, places);
}

}  // namespace

const Indexing& indexing() {
  static constexpr Indexing launchers{.gather = gather,
                                      .scatter_add = scatter_add,
                                      .scatter = scatter,
                                      .positions = positions,
                                      .places = places};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
