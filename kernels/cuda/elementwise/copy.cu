#include "kernels/copy_plan.h"
#include "kernels/cuda/elementwise/map.cuh"
#include "kernels/cuda/elementwise/tables.h"

// Copies of elements by their bytes, whatever their type: three kernels, chosen by the
// layout of the two sides.

namespace miniparallel::kernels::cuda {
namespace {

struct Identity {
  MP_INLINE std::uint8_t operator()(std::uint8_t x) const { return x; }
};

// --- kernels

/// Words that a thread of `copy_words` has on their way at once.
template <class Word>
inline constexpr std::uint32_t kBatch = sizeof(Word) < 4 ? 4 : 16 / sizeof(Word);

/// Any layout, word by word in the order of the output.
template <class Word>
__global__ void copy_words(std::uint32_t n, Offsets<2> layout, Word* y, const Word* x) {
  const std::uint32_t step = gridDim.x * blockDim.x;
  for (std::uint32_t first = blockIdx.x * blockDim.x + threadIdx.x; first < n; first += kBatch<Word> * step) {
    Word words[kBatch<Word>];
    std::uint32_t offsets[kBatch<Word>][2] = {};
    MP_UNROLL
    for (std::uint32_t k = 0; k < kBatch<Word>; ++k) {
      if (first + k * step >= n) break;
      layout.locate(first + k * step, offsets[k]);
      words[k] = x[offsets[k][1]];
    }
    MP_UNROLL
    for (std::uint32_t k = 0; k < kBatch<Word>; ++k)
      if (first + k * step < n) y[offsets[k][0]] = words[k];
  }
}

/// Matrices y of x: y is contiguous along its columns, x along its rows.
struct Transposition {
  std::uint32_t rows, columns, y_stride, x_stride;  // the strides: of a row in y, of a column in x
  Divider row_tiles, column_tiles;
  Offsets<2> matrices;
};

/// Rows and columns of a tile. At 4 bytes a block has 16 KiB on their way: enough blocks fit a multiprocessor
/// that they cover the memory's latency.
template <class Word>
inline constexpr std::uint32_t kTile = sizeof(Word) > 4 ? 32 : 64;

/// A block per tile: read along the rows, where x is contiguous,
/// turned in shared memory, and written along the columns.
template <class Word>
__global__ void __launch_bounds__(kBlock) copy_transposed(Transposition call, Word* y, const Word* x) {
  constexpr std::uint32_t tile = kTile<Word>, warps = kBlock / 32;
  constexpr std::uint32_t pitch =
      tile + (sizeof(Word) < 4 ? 4 / sizeof(Word) : 1);  // lanes down: other banks
  Word(&turned)[tile * pitch] = miniparallel::cuda::shared_array<Word, static_cast<int>(tile * pitch)>();
  const std::uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  std::uint32_t index = blockIdx.x, offsets[2] = {};
  const std::uint32_t first_column = call.column_tiles.divide(index) * tile;
  const std::uint32_t first_row = call.row_tiles.divide(index) * tile;
  call.matrices.locate(index, offsets);
  const std::uint32_t height = call.rows - first_row, width = call.columns - first_column;
  x += offsets[1] + first_column * call.x_stride + first_row;
  y += offsets[0] + first_row * call.y_stride + first_column;

  Word words[tile / warps][tile / 32];
  MP_UNROLL
  for (std::uint32_t j = 0; j < tile / warps; ++j) MP_UNROLL
  for (std::uint32_t k = 0; k < tile / 32; ++k) {
    const std::uint32_t column = warp + warps * j, row = lane + 32 * k;
    words[j][k] = column < width && row < height ? x[column * call.x_stride + row] : Word{};
  }
  MP_UNROLL
  for (std::uint32_t j = 0; j < tile / warps; ++j) MP_UNROLL
  for (std::uint32_t k = 0; k < tile / 32; ++k)
    turned[(warp + warps * j) * pitch + lane + 32 * k] = words[j][k];
  __syncthreads();
  MP_UNROLL
  for (std::uint32_t j = 0; j < tile / warps; ++j) MP_UNROLL
  for (std::uint32_t k = 0; k < tile / 32; ++k) {
    const std::uint32_t row = warp + warps * j, column = lane + 32 * k;
    if (row < height && column < width) y[row * call.y_stride + column] = turned[column * pitch + row];
  }
}

// --- launchers

constexpr std::int64_t kSmallestMatrix = 16;  // rows and columns from which a tile, mostly empty there, pays

template <class Word>
void launch_transposed(const ElementwiseArgs& args, int across, Stream stream) {
  const Layout& layout = args.layout;
  const int last = layout.rank - 1;
  const auto narrow = [](std::int64_t value) { return static_cast<std::uint32_t>(value); };
  const auto tiles = [&](int d) { return (narrow(layout.sizes[d]) + kTile<Word> - 1) / kTile<Word>; };
  Layout matrices;
  for (int d = 0; d < last; ++d) {
    if (d == across) continue;
    matrices.sizes[matrices.rank] = layout.sizes[d];
    for (int k = 0; k < 2; ++k) matrices.strides[k][matrices.rank] = layout.strides[k][d];
    ++matrices.rank;
  }
  const Transposition call{.rows = narrow(layout.sizes[across]),
                           .columns = narrow(layout.sizes[last]),
                           .y_stride = narrow(layout.strides[0][across]),
                           .x_stride = narrow(layout.strides[1][last]),
                           .row_tiles = Divider(tiles(across)),
                           .column_tiles = Divider(tiles(last)),
                           .matrices = Offsets<2>(matrices)};
  launch_on(stream, copy_transposed<Word>, narrow(matrices.numel()) * tiles(across) * tiles(last), kBlock,
            call, static_cast<Word*>(args.operands[0]), static_cast<const Word*>(args.operands[1]));
}

template <class Word>
void copy_as(const CopyPlan& plan, Stream stream) {
  for_each_small_part(plan.args, {sizeof(Word), sizeof(Word)}, [&](const ElementwiseArgs& part) {
    const Layout& layout = part.layout;
    if (plan.across >= 0 && layout.sizes[plan.across] >= kSmallestMatrix &&
        layout.sizes[layout.rank - 1] >= kSmallestMatrix)
      return launch_transposed<Word>(part, plan.across, stream);
    const std::int64_t n = layout.numel();
    launch_on(stream, copy_words<Word>, grid_for((n + kBatch<Word> - 1) / kBatch<Word>, stream.device),
              kBlock, static_cast<std::uint32_t>(n), Offsets<2>(layout), static_cast<Word*>(part.operands[0]),
              static_cast<const Word*>(part.operands[1]));
  });
}

}  // namespace

void copy(std::size_t bytes, const ElementwiseArgs& args, Stream stream) {
  const std::int64_t n = args.layout.numel();
  if (n == 0) return;
  if (args.layout.contiguous() && are_aligned(16, args.operands[0], args.operands[1])) {
    const std::int64_t all = n * static_cast<std::int64_t>(bytes);
    return launch_on(stream, map_arrays<16, Identity, std::uint8_t, std::uint8_t>,
                     grid_for((all + 15) / 16, stream.device), kBlock, Identity{}, all, false,
                     static_cast<std::uint8_t*>(args.operands[0]),
                     static_cast<const std::uint8_t*>(args.operands[1]));
  }
  const CopyPlan plan(args, bytes);
  switch (plan.word) {
    case 1:
      return copy_as<std::uint8_t>(plan, stream);
    case 2:
      return copy_as<std::uint16_t>(plan, stream);
    case 4:
      return copy_as<std::uint32_t>(plan, stream);
    case 8:
      return copy_as<std::uint64_t>(plan, stream);
    default:
      return copy_as<Pack<std::uint64_t, 2>>(plan, stream);
  }
}

}  // namespace miniparallel::kernels::cuda
