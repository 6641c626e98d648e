#pragma once

#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/fastest.h"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/workspace.h"

#include <algorithm>
#include <bit>
#include <span>
#include <type_traits>

// Launches of the kernels whose blocks make a tile of an implicit product each.

namespace miniparallel::kernels::cuda {

template <class Tile>
std::int64_t tiles_of(const ImplicitGemm& gemm) {
  const std::int64_t rows = (gemm.filters + Tile::kRows - 1) / Tile::kRows;
  return (gemm.positions() + Tile::kColumns - 1) / Tile::kColumns * rows * gemm.groups;
}

/// Products of numbers per multiprocessor from which it pays to measure: some microseconds.
constexpr std::int64_t kMeasuredProducts = 1 << 19;

/// What of `args` fits into the workspace of the stream, to be written there; no images where none fits.
template <class T>
ImplicitGemmArgs<T> rehearsal_of(const ImplicitGemmArgs<T>& args, Stream stream) {
  const std::int64_t image = args.first().out_image * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t fit = static_cast<std::int64_t>(kWorkspaceBytes) / std::max<std::int64_t>(image, 1);
  ImplicitGemmArgs<T> result =
      args.part(0, static_cast<std::uint32_t>(std::min<std::int64_t>(args.first().images, fit)));
  result.out = static_cast<T*>(workspace(stream));
  result.accumulate = false;
  return result;
}

/// The fastest of `launches` for a large call, measured at the first one of its kind; else -1, and where a
/// step is recorded before that.
template <class T>
int fastest_for(const ImplicitGemmArgs<T>& args,
                std::span<void (*const)(const ImplicitGemmArgs<T>&, Stream)> launches, Stream stream) {
  const ImplicitGemm& gemm = args.first();
  const std::int64_t positions = gemm.positions() * args.count;
  const std::int64_t products = positions * gemm.filters * gemm.groups * gemm.depth();
  if (products < kMeasuredProducts * multiprocessors(stream.device)) return -1;
  // Numbers of positions count as the next power of two: there are few, whatever sizes batches have.
  const Problem problem{reinterpret_cast<std::intptr_t>(launches[0]),
                        gemm.filters,
                        gemm.channels,
                        gemm.groups,
                        std::int64_t{gemm.rows.taps} * gemm.columns.taps,
                        static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(positions)))};
  if (const int known = known_fastest(problem, stream.device); known >= 0 || is_recording(stream))
    return known;
  const ImplicitGemmArgs<T> rehearsal = rehearsal_of(args, stream);
  if (rehearsal.first().images == 0) return -1;
  return measure_fastest(problem, static_cast<int>(launches.size()), stream,
                         [&](int i) { launches[i](rehearsal, stream); });
}

/// Starts the launch of one of the tiles, of more rows each, that `launch_of` gives. All make the same sums
/// in the same order, so that no bit depends on the choice. Where none has been measured, wide tiles are for
/// many rows in many blocks.
template <class Narrow, class Wide, class... Larger, class T, class LaunchOf>
void launch_fastest(const ImplicitGemmArgs<T>& args, Stream stream, const LaunchOf& launch_of) {
  using Launch = void (*)(const ImplicitGemmArgs<T>&, Stream);
  const Launch launches[] = {launch_of(std::type_identity<Narrow>()), launch_of(std::type_identity<Wide>()),
                             launch_of(std::type_identity<Larger>())...};
  constexpr std::uint32_t rows[] = {0, Narrow::kRows, Wide::kRows, Larger::kRows...};
  const std::uint32_t filters = args.first().filters;
  std::size_t filled = 1;  // tiles of which a smaller one would not take all rows
  while (filled < std::size(launches) && filters > rows[filled]) ++filled;
  if (filled == 1) return launches[0](args, stream);
  const int fastest = fastest_for<T>(args, std::span(launches).first(filled), stream);
  const bool wide = tiles_of<Wide>(args.first()) * args.count >= 2 * multiprocessors(stream.device);
  launches[fastest >= 0 ? fastest : wide](args, stream);
}

/// Calls run(gemm, args, units, row_tiles, grid) for parts of the batch: `args` are those of the part, `gemm`
/// its first one, and a unit is a tile of rows in one of the groups.
template <class Tile, class Run>
void for_each_launch(const ImplicitGemmArgs<typename Tile::T>& whole, const Run& run) {
  const ImplicitGemm& gemm = whole.first();
  const std::uint32_t row_tiles = (gemm.filters + Tile::kRows - 1) / Tile::kRows;
  const std::uint32_t units = row_tiles * gemm.groups;
  for_each_part(gemm, gemm.plane() * units, [&](const ImplicitGemm& part, std::int64_t first) {
    run(part, whole.part(first, part.images), Divider(units), Divider(row_tiles),
        dim3(static_cast<unsigned>(tiles_of<Tile>(part)), whole.count));
  });
}

}  // namespace miniparallel::kernels::cuda
