#pragma once

#include <miniparallel/dtype.h>

#include "kernels/destination.h"
#include "kernels/random_stream.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

namespace miniparallel::kernels {

/// [low, high) in a dtype: `last` is the greatest number below `high` that the dtype has, or `low` where it
/// has none from there on. Rounding may reach `high`, which becomes `last`.
struct HalfOpenInterval {
  double low, high, last;
};

/// Which elements dropout leaves: a `p`, 0 <= p < 1, of 0 leaves all and needs no key.
struct DropoutMask {
  double p = 0;
  RandomKey key;
};

/// The elements of x (n) that a mask leaves, scaled, the others 0: word < p 2^32 ? 0 : x / (1 - p).
struct DropoutArgs {
  const void* x = nullptr;
  Destination y;  ///< may be x
  std::int64_t n = 0;
  DropoutMask mask = {};
  /// Where they are not 0, on GPUs only: x is channels-last, (images, pixels, channels) with whole packs of
  /// 16 bytes of channels, and the mask counts the elements in row-major order, (images, channels, pixels).
  std::int64_t channels = 0, pixels = 0;
};
inline Sizes sizes(const DropoutArgs& args) { return {nullptr, {args.n}}; }

/// Random numbers. Element i of a call takes its words at position key.first + i of the key's stream: word i
/// for float32 and dropout, the pair 2i, 2i + 1 for float64 and integers. Results are the same on every
/// device (normal: to rounding), for any number of threads. float32 or float64, dropout on GPUs 16 bits, too.
struct Random {
  /// low + (high - low) u with u = k / 2^24 (float32) or k / 2^53 (float64), u < 1; at most `last`.
  void (*uniform)(DType dtype, void* y, std::int64_t n, const HalfOpenInterval& interval,
                  const RandomKey& key, Stream stream);
  /// mean + stddev z by the method of Box and Muller: elements 2j and 2j + 1 of the stream are one pair.
  void (*normal)(DType dtype, void* y, std::int64_t n, double mean, double stddev, const RandomKey& key,
                 Stream stream);
  /// Integers in [low, low + range).
  void (*integers)(std::int64_t* y, std::int64_t n, std::int64_t low, std::uint64_t range,
                   const RandomKey& key, Stream stream);
  /// 0 .. n - 1 in the order of `Permutation`.
  void (*permutation)(std::int64_t* y, std::int64_t n, const RandomKey& key, Stream stream);
  /// The backward is the same function of the gradient, with the same key.
  void (*dropout)(DType dtype, const DropoutArgs& args, Stream stream);
};

/// The names of its launchers.
#define MP_RANDOM(X) \
  X(uniform)         \
  X(normal)          \
  X(integers)        \
  X(permutation)     \
  X(dropout)

}  // namespace miniparallel::kernels
