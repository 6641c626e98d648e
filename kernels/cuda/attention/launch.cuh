#pragma once

#include <miniparallel/error.h>

#include "kernels/cuda/attention/head.cuh"
#include "kernels/cuda/device/launch_on.cuh"

#include <algorithm>
#include <string>

namespace miniparallel::kernels::cuda {

inline int attention_size(std::int64_t size) {
  if (size > kMaxRows)
    throw Error("scaled_dot_product_attention: a size of " + std::to_string(size) +
                " is more than its CUDA kernels take (2^30); split the operand");
  return static_cast<int>(size);
}

/// Whether rows of `width` elements of T can be read and written 16 bytes at once.
template <class T>
bool is_packed(const AttentionArgs& args, const MatrixBatch& matrices, std::int64_t width) {
  const auto whole = [](std::int64_t elements) { return elements % kPack<T> == 0; };
  return whole(width) && whole(matrices.stride) && are_aligned(16, static_cast<const T*>(matrices.data)) &&
         std::all_of(matrices.steps, matrices.steps + args.batch_rank, whole);
}

/// Whether those of all matrices can.
template <class T>
bool are_packed(const AttentionArgs& args, const AttentionGradients& gradients) {
  const auto& [g, dq, dk, dv, row_products] = gradients;
  return is_packed<T>(args, args.q, args.e) && is_packed<T>(args, args.k, args.e) &&
         is_packed<T>(args, args.v, args.ev) && is_packed<T>(args, args.out, args.ev) &&
         is_packed<T>(args, g, args.ev) && is_packed<T>(args, dq, args.e) && is_packed<T>(args, dk, args.e) &&
         is_packed<T>(args, dv, args.ev);
}

/// The blocks that results of `rows` rows, `width` wide, are made by: tiles of rows, in chunks of columns.
template <class Tile>
struct AttentionBlocks {
  std::int64_t rows, width, matrices;

  std::int64_t chunks() const { return std::max<std::int64_t>((width + Tile::kWidth - 1) / Tile::kWidth, 1); }
  std::int64_t count() const { return (rows + Tile::kRows - 1) / Tile::kRows * matrices * chunks(); }
};

template <class Tile>
void launch_tiles(void (*kernel)(AttentionCall), const AttentionArgs& args,
                  const AttentionGradients& gradients, std::int64_t rows, std::int64_t width, Stream stream) {
  const AttentionBlocks<Tile> blocks{rows, width, args.matrices};
  const AttentionCall call{args,
                           gradients,
                           attention_size(args.n),
                           attention_size(args.m),
                           attention_size(args.e),
                           attention_size(args.ev),
                           static_cast<unsigned>(blocks.chunks())};
  if (const std::int64_t count = blocks.count(); count > 0)
    launch_blocks(stream, kernel, dim3(static_cast<unsigned>(count)), dim3(Tile::kThreads), call);
}

}  // namespace miniparallel::kernels::cuda
