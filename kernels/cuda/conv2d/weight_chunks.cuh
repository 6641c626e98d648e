#pragma once

#include "kernels/cuda/conv2d/conv2d.cuh"
#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/workspace.h"
#include "kernels/half.h"

#include <algorithm>

// The gradient of the weight sums over all positions of the batch. Where its elements alone do not fill a
// GPU, the positions are cut into chunks: each chunk's sums go to the workspace, as weights and then biases,
// and a second kernel adds them in order. The cut depends on the sizes alone.

namespace miniparallel::kernels::cuda {

/// to = sum, or to += sum, rounded once.
template <class T>
MP_INLINE void put_sum(T& to, Summed<T> sum, bool accumulate) {
  to = convert<T>(accumulate ? convert<Summed<T>>(to) + sum : sum);
}

template <class T>
struct ChunkArgs : WeightGradientArgs<T> {
  std::uint32_t positions, chunk;
  Summed<T>* partials;  // of the chunks; null where there is one
  std::int64_t weights_of_chunk, values_of_chunk;
  bool by_taps;      // the sums of a filter are counted tap by tap, each with all channels
  Divider channels;  // then

  /// Where sum i is in dweight.
  MP_INLINE std::int64_t weight_of(std::int64_t i) const {
    if (!by_taps) return i;
    auto filter = static_cast<std::uint32_t>(i);  // there are less than 2^30 weights
    const std::uint32_t channel = channels.divide(filter), tap = this->gemm.taps.divide(filter);
    const int taps = this->gemm.rows.taps * this->gemm.columns.taps;
    return std::int64_t{filter} * this->gemm.depth() + std::int64_t{channel} * taps + tap;
  }

  /// The positions of blockIdx.y.
  __device__ std::uint32_t begin() const { return blockIdx.y * chunk; }
  __device__ std::uint32_t end() const { return begin() + chunk < positions ? begin() + chunk : positions; }

  /// The block's sums of an element.
  __device__ void put_weight(std::int64_t i, Summed<T> sum) const {
    if (partials == nullptr)
      put_sum(this->dweight[weight_of(i)], sum, this->accumulate);
    else
      partials[blockIdx.y * values_of_chunk + i] = sum;
  }
  __device__ void put_bias(std::int64_t i, Summed<T> sum) const {
    if (partials == nullptr)
      put_sum(this->dbias[i], sum, this->accumulate_bias);
    else
      partials[blockIdx.y * values_of_chunk + weights_of_chunk + i] = sum;
  }
};

/// The second stage.
template <class T>
void add_chunks(const ChunkArgs<T>& args, unsigned chunks, Stream stream);

/// Calls launch(args, chunks) for the positions of `args`, then adds the chunks. `blocks`: of one chunk.
template <class T, class Launch>
void in_chunks(const WeightGradientArgs<T>& args, std::int64_t blocks, Stream stream, const Launch& launch,
               bool by_taps = false) {
  constexpr std::int64_t enough_blocks = 1024, least_chunk = 256, max_chunks = 1024;
  const std::int64_t weights = args.dweight == nullptr ? 0 : args.weights();
  const std::int64_t values = weights + (args.dbias == nullptr ? 0 : args.biases());
  if (values == 0) return;
  ChunkArgs<T> first{args,    static_cast<std::uint32_t>(args.gemm.positions()), 0, nullptr, weights, values,
                     by_taps, Divider(std::max(args.gemm.channels, 1u))};
  const std::int64_t room = static_cast<std::int64_t>(kWorkspaceBytes / sizeof(Summed<T>)) / values;
  const std::int64_t wanted =
      std::min({room, enough_blocks / blocks, first.positions / least_chunk, max_chunks});
  const std::int64_t chunk = first.positions / std::max<std::int64_t>(wanted, 1) / 8 * 8 + 8;
  first.chunk = static_cast<std::uint32_t>(chunk);
  const auto chunks = static_cast<unsigned>(std::max<std::int64_t>((first.positions + chunk - 1) / chunk, 1));
  if (chunks > 1) first.partials = static_cast<Summed<T>*>(workspace(stream));
  launch(first, chunks);
  if (chunks > 1) add_chunks(first, chunks, stream);
}

}  // namespace miniparallel::kernels::cuda
