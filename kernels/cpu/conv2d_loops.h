#pragma once

#include "kernels/by_dtype.h"
#include "kernels/conv2d.h"

namespace miniparallel::kernels::cpu {

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
