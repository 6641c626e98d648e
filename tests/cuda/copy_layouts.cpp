#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "tests/support/copy_cases.h"

// Copies of any layout and size of element against the CPU's.

namespace miniparallel {
namespace {

using testing::CopyCase;
using testing::Gpus;

TEST_CASE("copies of any layout and size of element") {
  const Gpus machine;
  const Device gpu = Device::cuda(0);
  manual_seed(4);
  const Tensor x = randint(0, 256, {testing::kCopyBytes}, {.dtype = uint8}), x_on_gpu = x.to(gpu);
  for (const CopyCase& one : testing::copy_cases())
    for (const DType dtype : {uint8, float16, float32, int64}) {
      CAPTURE(one.name);
      const std::int64_t bytes = static_cast<std::int64_t>(size_of(dtype));
      CAPTURE(bytes);
      const Tensor y = zeros_like(x), y_on_gpu = zeros_like(x_on_gpu);
      kernels::ElementwiseArgs args;
      args.layout = kernels::make_layout(one.shape, {one.y, one.x});
      args.operands[0] = raw(y) + one.y_first * bytes, args.operands[1] = raw(x) + one.x_first * bytes;
      kernels::cpu_backend().elementwise.convert(dtype, dtype, args, {});
      args.operands[0] = raw(y_on_gpu) + one.y_first * bytes;
      args.operands[1] = raw(x_on_gpu) + one.x_first * bytes;
      kernels::cuda_backend().elementwise.convert(dtype, dtype, args, stream(gpu));
      CHECK(equal(y_on_gpu.cpu(), y));
    }
}

}  // namespace
}  // namespace miniparallel
