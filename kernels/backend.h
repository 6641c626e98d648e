#pragma once

#include "kernels/elementwise.h"
#include "kernels/matmul.h"
#include "kernels/optimizer.h"
#include "kernels/reduce.h"

namespace miniparallel::kernels {

/// The launchers of one kind of device, by family.
struct Backend {
  const Elementwise& elementwise;
  const Matmul& matmul;
  const Optimizer& optimizer;
  const Reduce& reduce;
};

const Backend& cpu_backend();

}  // namespace miniparallel::kernels
