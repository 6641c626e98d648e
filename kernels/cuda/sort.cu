#include "kernels/cuda/backend.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/stored.cuh"
#include "kernels/sort.h"

#include <algorithm>
#include <utility>

// Batcher's bitonic sort (1968) of all lines at once: a network of exchanges that does not depend on the
// elements. Runs of 2 become sorted, then of 4, 8, ..., neighbours in opposite directions, up to the padded
// line. An exchange compares places `distance` apart; those of less than a chunk happen in shared memory.

namespace miniparallel::kernels::cuda {
namespace {

constexpr std::int64_t kChunk = 1024;  // entries that a block sorts in shared memory, 16 KiB

template <class T>
__global__ void load_entries(SortArgs args, std::int64_t padded, std::int64_t total) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; e < total;
       e += step)
    args.scratch[e] = sort_entry<T>(args, e / padded, e % padded);
}

/// Orders entry `low` and the one `distance` after it, of a line's run of `run` places; `place` is that of
/// `low`.
__device__ inline void exchange(SortEntry& low, SortEntry& high, std::int64_t place, std::int64_t run,
                                std::int64_t padded) {
  const bool ascending = (place % padded & run) == 0;
  if ((high < low) == ascending) {
    const SortEntry entry = low;
    low = high;
    high = entry;
  }
}

/// The exchange of `distance`, at least a chunk, for runs of `run`.
__global__ void exchange_far(SortEntry* entries, std::int64_t total, std::int64_t run, std::int64_t distance,
                             std::int64_t padded) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t pair = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; pair < total / 2;
       pair += step) {
    const std::int64_t low = pair / distance * 2 * distance + pair % distance;
    exchange(entries[low], entries[low + distance], low, run, padded);
  }
}

/// All exchanges within chunks for runs of `first` to `last`.
__global__ void exchange_near(SortEntry* entries, std::int64_t total, std::int64_t first, std::int64_t last,
                              std::int64_t padded) {
  auto& chunk = miniparallel::cuda::shared_array<SortEntry, kChunk>();
  for (std::int64_t start = blockIdx.x * kChunk; start < total; start += gridDim.x * kChunk) {
    const int count = static_cast<int>(total - start < kChunk ? total - start : kChunk);
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kBlock) chunk[i] = entries[start + i];
    __syncthreads();
    for (std::int64_t run = first; run <= last; run *= 2)
      for (int distance = static_cast<int>(run < kChunk ? run : kChunk) / 2; distance > 0; distance /= 2) {
        for (int pair = static_cast<int>(threadIdx.x); pair < count / 2; pair += kBlock) {
          const int low = pair / distance * 2 * distance + pair % distance;
          exchange(chunk[low], chunk[low + distance], start + low, run, padded);
        }
        __syncthreads();
      }
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kBlock) entries[start + i] = chunk[i];
    __syncthreads();  // before the next chunk is read
  }
}

__global__ void store_places(SortArgs args, std::int64_t padded, std::int64_t* indices) {
  const std::int64_t total = args.outer * args.inner * args.n;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t e = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; e < total;
       e += step) {
    const std::int64_t column = e % args.inner, i = e / args.inner % args.n, outer = e / args.inner / args.n;
    indices[e] = args.scratch[(outer * args.inner + column) * padded + i].place;
  }
}

void argsort(DType dtype, const SortArgs& args, std::int64_t* indices, Stream stream) {
  const std::int64_t padded = args.padded(), total = args.lines() * padded;
  if (args.lines() == 0 || args.n == 0) return;
  const auto grid = [&](std::int64_t items) { return grid_for(items, stream.device); };
  const auto load = [&]<class T>() {
    launch_on(stream, load_entries<T>, grid(total), kBlock, args, padded, total);
  };
  is_half(dtype) ? with_stored_type(dtype, load) : with_sortable(dtype, load);
  const std::int64_t chunks = (total + kChunk - 1) / kChunk;
  const auto near = [&](std::int64_t first, std::int64_t last) {
    launch_on(stream, exchange_near, grid(chunks * kBlock), kBlock, args.scratch, total, first, last, padded);
  };
  if (padded > 1) near(2, std::min(padded, kChunk));
  for (std::int64_t run = 2 * kChunk; run <= padded; run *= 2) {
    for (std::int64_t distance = run / 2; distance >= kChunk; distance /= 2)
      launch_on(stream, exchange_far, grid(total / 2), kBlock, args.scratch, total, run, distance, padded);
    near(run, run);
  }
  launch_on(stream, store_places, grid(args.lines() * args.n), kBlock, args, padded, indices);
}

}  // namespace

const Sort& sort() {
  static constexpr Sort launchers{.argsort = argsort};
  return launchers;
}

}  // namespace miniparallel::kernels::cuda
