#pragma once

#include <miniparallel/dtype.h>

#include "kernels/destination.h"
#include "kernels/math.h"
#include "kernels/random.h"
#include "kernels/running_statistics.h"
#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// x (n, channels, inner), row-major; statistics per channel, over n and inner.
struct BatchNormGeometry {
  std::int64_t n = 0, channels = 0, inner = 1;
};
inline Sizes sizes(const BatchNormGeometry& g) { return {"n channels inner", {g.n, g.channels, g.inner}}; }

/// y = (x - mean) inv_std weight + bias + residual, or relu of that. x and the residual have the geometry's
/// shape, the others are per channel.
struct BatchNormArgs {
  BatchNormGeometry geometry;
  const void* x = nullptr;
  const void* mean = nullptr;
  const void* inv_std = nullptr;
  const void* weight = nullptr;    ///< null: 1
  const void* bias = nullptr;      ///< null: 0; the gradients read it where they go back through relu
  const void* residual = nullptr;  ///< null: 0; the gradients do not read it
  bool relu = false;
  /// Where it is not 0, of a group normalisation, whose n is 1: mean, inv_std and, in the data
  /// gradient, the sums are those of so many neighbouring channels, and channel c has weight and bias number
  /// c % parameters. Channels are then fewer than 2^32.
  std::int64_t group = 0;
  std::int64_t parameters = 0;
};
inline Sizes sizes(const BatchNormArgs& args) { return sizes(args.geometry); }

/// Per channel.
struct BatchMoments {
  void* mean = nullptr;
  void* variance = nullptr;  ///< biased
  void* inv_std = nullptr;   ///< 1 / sqrt(variance + eps); null: not asked for
  double eps = 0;
};

template <class T>
MP_INLINE T inverse_std(T variance, double eps) {
  return T(1) / math::sqrt(variance + static_cast<T>(eps));
}

/// x normalised by its channel's numbers, before the end of the op; `scale` is inv_std weight.
template <class T>
MP_INLINE T normalized(T x, T mean, T scale, T bias) {
  return (x - mean) * scale + bias;
}

/// Where the args have relu, g is masked on its way in: by y, or without it by what relu was given, which
/// is computed again.
struct BatchNormGradients {
  const void* g = nullptr;  ///< that of y
  void* sum_g = nullptr;    ///< per channel, of g: the gradient of bias
  void* sum_gx = nullptr;   ///< per channel, of g (x - mean) inv_std: the gradient of weight
  std::int64_t count = 0;   ///< elements per channel, or 0: the statistics did not come from x
  Destination dx;
  const void* y = nullptr;  ///< null: there was no residual
  void* masked = nullptr;   ///< `batch_sums` writes the masked g there, which is the residual's; may be g
};

/// y = (x - mean) inv_std weight + bias for each row of x (rows, width); with a residual of residual +
/// dropout(x), which is written to `sum`, in place of x. Without centring the mean is 0, and inv_std
/// 1 / sqrt(mean of x^2 + eps).
struct LayerNormArgs {
  std::int64_t rows = 0, width = 0;
  const void* x = nullptr;
  const void* weight = nullptr;  ///< (width); null: 1
  const void* bias = nullptr;    ///< (width); null: 0; the gradients do not read it
  double eps = 0;
  void* mean = nullptr;            ///< (rows), written by `layer_forward`, read by the gradients
  void* inv_std = nullptr;         ///< likewise
  const void* residual = nullptr;  ///< the gradients do not read it: x is the sum there
  void* sum = nullptr;
  DropoutMask mask = {};
  bool centers = true;
};
inline Sizes sizes(const LayerNormArgs& args) { return {"rows width", {args.rows, args.width}}; }

/// dtype: float32 or float64, CUDA also 16 bits; numbers per channel, row, column: the same, or float32.
struct Norm {
  // Batch normalisation comes in steps that can be joined over parts of a batch.

  /// In two passes.
  void (*batch_statistics)(DType dtype, const BatchNormGeometry& geometry, const void* x,
                           const BatchMoments& moments, Stream stream);
  void (*batch_normalize)(DType dtype, const BatchNormArgs& args, void* y, Stream stream);
  /// Writes sum_g and sum_gx.
  void (*batch_sums)(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients,
                     Stream stream);
  /// dx = beta dx + weight inv_std (g - sum_g / count - (x - mean) inv_std sum_gx / count). With count 0:
  /// dx = beta dx + weight inv_std g, and x and the sums are not read. Of groups, whose sums are those of g
  /// weight: dx = beta dx + inv_std (g weight - sum_g / count - (x - mean) inv_std sum_gx / count).
  void (*batch_data_gradient)(DType dtype, const BatchNormArgs& args, const BatchNormGradients& gradients,
                              Stream stream);
  /// Brings the running statistics of layers up to date.
  void (*update_running)(DType dtype, const RunningArgs& args, Stream stream);

  void (*layer_forward)(DType dtype, const LayerNormArgs& args, void* y, Stream stream);
  /// From the gradient g of y. `dropped`, if not null, receives the new dx through the mask.
  void (*layer_data_gradient)(DType dtype, const LayerNormArgs& args, const void* g, Destination dx,
                              void* dropped, Stream stream);
  /// Sums over the rows: dweight of g (x - mean) inv_std, dbias of g.
  void (*layer_parameter_gradient)(DType dtype, const LayerNormArgs& args, const void* g, Destination dweight,
                                   Destination dbias, Stream stream);
};

/// The names of its launchers.
#define MP_NORM(X)       \
  X(batch_statistics)    \
  X(batch_normalize)     \
  X(batch_sums)          \
  X(batch_data_gradient) \
  X(update_running)      \
  X(layer_forward)       \
  X(layer_data_gradient) \
  X(layer_parameter_gradient)

}  // namespace miniparallel::kernels
