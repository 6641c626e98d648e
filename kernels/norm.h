#pragma once

#include <miniparallel/dtype.h>

#include "kernels/sizes.h"
#include "kernels/stream.h"

#include <cstdint>

namespace miniparallel::kernels {

/// x (n, channels, inner), row-major; statistics per channel, over n and inner.
struct BatchNormGeometry {
  std::int64_t n, channels, inner;
};
inline Sizes sizes(const BatchNormGeometry& g) { return {"n channels inner", {g.n, g.channels, g.inner}}; }

/// Normalisation, in steps that can be joined over parts of a batch. dtype: float32 or float64; per-channel
/// and per-row numbers have the dtype of x. weight and bias may be null (1 and 0). beta, one per result: 0
/// (the result need not be initialised) or 1 (it is added to).
struct Norm {
  /// Mean and biased variance of each channel, in two passes.
  void (*batch_statistics)(DType dtype, const BatchNormGeometry& geometry, const void* x, void* mean,
                           void* variance, Stream stream);
  /// y = (x - mean) inv_std weight + bias.
  void (*batch_normalize)(DType dtype, const BatchNormGeometry& geometry, const void* x, const void* mean,
                          const void* inv_std, const void* weight, const void* bias, void* y, Stream stream);
  /// Sums per channel: of g, and of g (x - mean) inv_std - the gradients of bias and weight.
  void (*batch_sums)(DType dtype, const BatchNormGeometry& geometry, const void* g, const void* x,
                     const void* mean, const void* inv_std, void* sum_g, void* sum_gx, Stream stream);
  /// dx = beta dx + weight inv_std (g - sum_g / count - (x - mean) inv_std sum_gx / count). With count 0 the
  /// statistics did not come from x: dx = beta dx + weight inv_std g, and x and the sums are not read.
  void (*batch_data_gradient)(DType dtype, const BatchNormGeometry& geometry, const void* g, const void* x,
                              const void* mean, const void* inv_std, const void* weight, const void* sum_g,
                              const void* sum_gx, std::int64_t count, void* dx, int beta, Stream stream);

  /// Rows of x (rows, width): y = (x - mean) inv_std weight + bias, with weight and bias (width). mean and
  /// inv_std (rows) are results.
  void (*layer_forward)(DType dtype, std::int64_t rows, std::int64_t width, const void* x, const void* weight,
                        const void* bias, double eps, void* y, void* mean, void* inv_std, Stream stream);
  void (*layer_data_gradient)(DType dtype, std::int64_t rows, std::int64_t width, const void* g,
                              const void* x, const void* mean, const void* inv_std, const void* weight,
                              void* dx, int beta, Stream stream);
  /// Sums over the rows: dweight of g (x - mean) inv_std, dbias of g; either may be null.
  void (*layer_parameter_gradient)(DType dtype, std::int64_t rows, std::int64_t width, const void* g,
                                   const void* x, const void* mean, const void* inv_std, void* dweight,
                                   int weight_beta, void* dbias, int bias_beta, Stream stream);
};

}  // namespace miniparallel::kernels
