#include "kernels/cpu/indexing.h"

#include "kernels/cpu/backend.h"
#include "kernels/cpu/index_runs.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace miniparallel::kernels::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements per thread at least

/// Copies `count` rows, from the index `first` on, of the part of `whole` that has one outer index.
using PickRows = void (*)(const IndexArgs& args, std::int64_t first, std::int64_t count, std::size_t bytes,
                          const std::byte* whole, std::byte* picked);

/// Rows of `constant` bytes, which a few instructions copy; 0: of any number. Index: the type of the indices.
template <std::size_t constant, class Index>
void pick_rows(const IndexArgs& args, std::int64_t first, std::int64_t count, std::size_t bytes,
               const std::byte* whole, std::byte* picked) {
  const std::size_t length = constant > 0 ? constant : bytes;
  const Index* const index = static_cast<const Index*>(args.index);
  const std::int64_t skip = args.skip, last = first + count;
  for (std::int64_t i = first; i < last; ++i, picked += length) {
    const auto row = static_cast<std::int64_t>(index[i]);
    if (row == skip)
      std::memset(picked, 0, length);
    else
      std::memcpy(picked, whole + static_cast<std::size_t>(row) * length, length);
  }
}

template <class Index>
PickRows pick_rows_for(std::int64_t bytes) {
  switch (bytes) {
    case 1:
      return pick_rows<1, Index>;
    case 2:
      return pick_rows<2, Index>;
    case 4:
      return pick_rows<4, Index>;
    case 8:
      return pick_rows<8, Index>;
    case 12:
      return pick_rows<12, Index>;
    case 16:
      return pick_rows<16, Index>;
    case 24:
      return pick_rows<24, Index>;
    case 32:
      return pick_rows<32, Index>;
    default:
      return pick_rows<0, Index>;
  }
}

PickRows pick_rows_for(DType index, std::int64_t bytes) {
  return index == int64   ? pick_rows_for<std::int64_t>(bytes)
         : index == int32 ? pick_rows_for<std::int32_t>(bytes)
                          : pick_rows_for<std::uint8_t>(bytes);
}

void gather_runs(const IndexArgs& args, std::span<const IndexRun> runs, std::int64_t bytes, const void* whole,
                 void* picked) {
  parallel_for(args.outer, std::max<std::int64_t>(kGrain / (args.count * args.inner), 1),
               [&](std::int64_t begin, std::int64_t end) {
                 std::byte* to = static_cast<std::byte*>(picked) + begin * args.count * bytes;
                 for (std::int64_t outer = begin; outer < end; ++outer) {
                   const std::byte* const from =
                       static_cast<const std::byte*>(whole) + outer * args.rows * bytes;
                   for (const IndexRun& run : runs) {
                     copy_run(run, static_cast<std::size_t>(bytes), from, to);
                     to += run.count * bytes;
                   }
                 }
               });
}

void gather(DType dtype, const IndexArgs& args, const void* whole, void* picked, Stream) {
  check_rows(args);
  if (args.inner == 0) return;
  const std::int64_t bytes = args.inner * static_cast<std::int64_t>(size_of(dtype));
  if (const auto runs = index_runs(args); !runs.empty()) return gather_runs(args, runs, bytes, whole, picked);
  const PickRows pick = pick_rows_for(args.index_dtype, bytes);
  const std::int64_t part = std::max<std::int64_t>(args.count / args.parts, 1);  // indices
  parallel_for(args.outer * args.count, std::max<std::int64_t>(kGrain / args.inner, 1),
               [&](std::int64_t begin, std::int64_t end) {
                 while (begin < end) {
                   const std::int64_t first = begin % args.count;
                   const std::int64_t count = std::min(end - begin, part - first % part);
                   pick(args, first, count, static_cast<std::size_t>(bytes),
                        static_cast<const std::byte*>(whole) + begin / part * args.part_rows() * bytes,
                        static_cast<std::byte*>(picked) + begin * bytes);
                   begin += count;
                 }
               });
}

/// In the order of the indices, on one thread for each of `outer`: the last one counts.
void scatter(DType dtype, const IndexArgs& args, const void* picked, void* whole, Stream) {
  check_rows(args);
  const auto bytes = static_cast<std::size_t>(args.inner) * size_of(dtype);
  if (bytes == 0) return;
  parallel_for(
      args.outer, std::max<std::int64_t>(kGrain / std::max<std::int64_t>(args.count * args.inner, 1), 1),
      [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin * args.count; i < end * args.count; ++i) {
          const std::int64_t row =
              i / args.count * args.rows +
              args.row_of(i % args.count, index_at(args.index, args.index_dtype, i % args.count));
          std::memcpy(static_cast<std::byte*>(whole) + static_cast<std::size_t>(row) * bytes,
                      static_cast<const std::byte*>(picked) + static_cast<std::size_t>(i) * bytes, bytes);
        }
      });
}

/// Positions [begin, end), row by row of the index's innermost dimension.
template <class Index>
void positions_of(const PositionArgs& args, std::int64_t begin, std::int64_t end, std::int64_t* positions) {
  const Layout& layout = args.layout;
  const Index* const index = static_cast<const Index*>(args.index);
  const std::int64_t row = layout.rank == 0 ? 1 : layout.sizes[layout.rank - 1], stride = args.stride;
  const std::int64_t step = layout.rank == 0 ? 0 : layout.strides[0][layout.rank - 1];
  for (std::int64_t first = begin, last; first < end; first = last) {
    last = std::min(end, first + row - first % row);
    const std::int64_t offset = offset_of(layout, first) - first * step;
    for (std::int64_t i = first; i < last; ++i)
      positions[i] = offset + i * step + static_cast<std::int64_t>(index[i]) * stride;
  }
}

void positions(const PositionArgs& args, std::int64_t* positions, Stream) {
  const std::int64_t n = args.layout.numel();
  check_indices(args.op, "index", args.index, args.index_dtype, n, args.bound);
  const auto run = args.index_dtype == int64 ? positions_of<std::int64_t> : positions_of<std::int32_t>;
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) { run(args, begin, end, positions); });
}

void places(const bool* mask, const std::int64_t* ends, std::int64_t n, std::int64_t* places, Stream) {
  parallel_for(n, kGrain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      if (mask[i]) places[ends[i] - 1] = i;
  });
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

}  // namespace miniparallel::kernels::cpu
