#pragma once

#include "kernels/by_dtype.h"
#include "kernels/conv2d.h"
#include "kernels/macros.h"

#include <algorithm>

namespace miniparallel::kernels::cpu {

/// How many units of so many products a thread takes at least.
MP_INLINE std::int64_t conv2d_grain(std::int64_t products_per_unit, std::int64_t products = 1 << 18) {
  return std::max<std::int64_t>(1, products / std::max<std::int64_t>(1, products_per_unit));
}

/// Parts of a batch with separate sums, of so many values each, for the gradient of the weight: whatever the
/// number of threads, as sums would depend on it.
MP_INLINE std::int64_t conv2d_chunks(std::int64_t images, std::int64_t values) {
  constexpr std::int64_t kMost = 16, kMostValues = 1 << 22;  // of all parts together
  return std::clamp<std::int64_t>(kMostValues / values, 1, std::clamp<std::int64_t>(images, 1, kMost));
}

/// The launchers of `Conv2d`, of one dtype.
struct Conv2dLoops {
  void (*forward)(const Conv2dGeometry& geometry, const void* x, const void* weight, const void* bias,
                  void* y);
  void (*data_gradient)(const Conv2dGeometry& geometry, const void* g, const void* weight,
                        const Destination& dx);
  void (*weight_gradient)(const Conv2dGeometry& geometry, const void* g, const void* x,
                          const Destination& dweight, const Destination& dbias);
};

/// With vectors along rows: where there are so few channels that they fill no vector.
const ByDType<Conv2dLoops>& conv2d_rows();

/// With fewer products: kernels of 3 x 3 at stride 1, padded by at most 2.
const ByDType<Conv2dLoops>& conv2d_winograd();

}  // namespace miniparallel::kernels::cpu
