#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "engine/memory/caching_allocator.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "simulated.h"

#include <cstdlib>

// What the backend refuses, and says why.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

TEST_CASE("matmul: a size that cuBLAS does not take is an error before anything is read") {
  const Simulated machine;
  kernels::MatmulArgs args;
  args.rows = std::int64_t{3} << 30;
  args.columns = args.inner = 1;
  CHECK_THROWS_WITH_AS(
      kernels::cuda_backend().matmul.multiply(float32, args, stream(gpu)),
      "matmul: a size or stride of 3221225472 is more than cuBLAS takes (2^31 - 1); split the operand",
      Error);
}

TEST_CASE("pool2d: a plane that its kernels do not count is an error before anything is read") {
  const Simulated machine;
  const kernels::PoolAxis axis{.size = 1 << 15, .outputs = 1 << 14, .kernel = 2, .stride = 2, .padding = 0};
  const kernels::Pool2dGeometry geometry{.planes = 1, .rows = axis, .columns = axis};
  CHECK_THROWS_WITH_AS(
      kernels::cuda_backend().pool2d.average(float32, geometry, nullptr, nullptr, stream(gpu)),
      doctest::Contains("pool2d: a plane has 1073741824 elements, the CUDA kernels take less than 2^30"),
      Error);
}

TEST_CASE("device_data: a tensor on the CPU or of another dtype has no such elements on a GPU") {
  const Simulated machine;
  const Tensor x = arange(3, {.dtype = int64, .device = gpu});
  std::int64_t second = 0;
  synchronize(gpu);
  CHECK(cudaMemcpy(&second, device_data<std::int64_t>(x) + 1, sizeof second, cudaMemcpyDefault) ==
        cudaSuccess);
  CHECK(second == 1);
  CHECK_THROWS_WITH_AS(device_data<float>(x),
                       "device_data: the tensor is int64, not float32; convert it with to(float32)", Error);
  CHECK_THROWS_WITH_AS(device_data<float>(ones({3})),
                       "device_data: the tensor is on the CPU; bring it to a GPU with to(device)", Error);
}

/// Memory that no stream uses: no marks, nothing to wait for.
class Heap final : public MemorySource {
 public:
  void* take(std::size_t bytes) override { return std::malloc(bytes); }
  void give_back(void* block, std::size_t) override { std::free(block); }
};

TEST_CASE("an allocator of memory that no stream uses hands freed blocks out at once") {
  Heap heap;
  CachingAllocator allocator("heap", heap, 64);
  int other = 0;
  void* const block = allocator.allocate(100, {});
  allocator.deallocate(block, 100, {}, {});
  CHECK(allocator.allocate(100, {}) == block);
  allocator.deallocate(block, 100, {}, {kernels::Stream{&other, 0}});
  CHECK(allocator.allocate(120, {}) == block);
  allocator.deallocate(block, 120, {}, {});
  CHECK(allocator.stats().cached == 128);
  allocator.empty_cache();
  CHECK(allocator.stats().cached == 0);
}

}  // namespace
}  // namespace miniparallel
