#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "simulated.h"

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

TEST_CASE("freed memory is used again without asking CUDA") {
  const Simulated machine;
  for (int i = 0; i < 2; ++i) ones({1000}, {.device = gpu}).add_(1);
  synchronize(gpu);
  const auto before = simulator::counters(0);
  for (int i = 0; i < 10; ++i) ones({1000}, {.device = gpu}).add_(1);
  CHECK((simulator::counters(0) - before).allocations == 0);
  CHECK((simulator::counters(0) - before).host_synchronizations == 0);
  CHECK(memory_stats(gpu).used == 0);
  CHECK(memory_stats(gpu).cached >= 4000);
  CHECK(memory_stats(gpu).peak >= 4000);
}

TEST_CASE("empty_cache gives the memory back") {
  const Simulated machine;
  const Tensor kept = ones({1000}, {.device = gpu});
  {
    const Tensor freed = ones({1'000'000}, {.device = gpu});
  }
  const auto before = simulator::counters(0).bytes_in_use;
  empty_cache(gpu);
  CHECK(simulator::counters(0).bytes_in_use <= before - 4'000'000);
  CHECK(memory_stats(gpu).cached == 0);
  CHECK(kept.to_vector<float>() == std::vector<float>(1000, 1));
}

TEST_CASE("memory used by another stream is not overwritten before that stream is done") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    simulator::Machine one = simulator::machine_with(1);
    one.seed = seed;
    const Simulated machine(one);
    Tensor sum = zeros({1000}, {.device = gpu});
    const void* address = nullptr;
    synchronize(gpu);
    {
      const Tensor x = ones({1000}, {.device = gpu});
      address = raw(x);
      synchronize(gpu);
      const StreamScope scope(gpu, StreamKind::copy);
      sum.add_(x);
      x.impl()->storage->record_use(stream(gpu));
    }
    const Tensor y = full({1000}, 5.0, {.device = gpu});
    CHECK(raw(y) == address);
    synchronize(gpu);
    CHECK(sum.to_vector<float>() == std::vector<float>(1000, 1));
  }
}

TEST_CASE("memory that another stream used is taken back without an error after the device has failed") {
  Simulated machine;
  machine.expect_failure();
  Tensor x = ones({1000}, {.device = gpu});
  {
    const StreamScope scope(gpu, StreamKind::copy);
    x.impl()->storage->record_use(stream(gpu));
  }
  simulator::fail_kernel(0, 1);
  x.add_(1);
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("cudaErrorLaunchFailure"), Error);
  x = Tensor();
  CHECK(memory_stats(gpu).used == 0);
}

TEST_CASE("out of memory: the cache is given back, then the error says what was asked and what there is") {
  simulator::Machine small = simulator::machine_with(1);
  small.gpus[0].memory = 64 << 20;
  const Simulated machine(small);
  {
    const Tensor cached = ones({12 << 20}, {.device = gpu});
  }  // 48 MiB, cached
  const Tensor fits = ones({10 << 20}, {.device = gpu});  // 40 MiB: the cache must go
  CHECK_THROWS_WITH_AS(ones({10 << 20}, {.device = gpu}),
                       doctest::Contains("cuda:0: out of memory: 41943040 bytes were asked for, 41943040 are "
                                         "used by tensors, 0 were cached and have been given back, "),
                       OutOfMemoryError);
  CHECK(ones({1 << 20}, {.device = gpu})[5].item() == 1);  // the next call works
}

TEST_CASE("an allocation that fails once is tried again") {
  const Simulated machine;
  {
    const Tensor warm = ones({8}, {.device = gpu});
  }
  simulator::fail_allocation(0, 1);
  CHECK(ones({1 << 20}, {.device = gpu})[5].item() == 1);
}

/// What is found when a kernel works on `n` elements from `x` on.
std::vector<simulator::Report> found_by_kernel(void* x, std::int64_t n) {
  const auto handler = simulator::set_report_handler([](const simulator::Report&) {});
  kernels::ElementwiseArgs args;
  args.layout = kernels::make_layout({n}, {Shape{1}, Shape{1}});
  args.operands[0] = args.operands[1] = x;
  kernels::cuda_backend().elementwise.unary(kernels::Unary::neg, float32, args, stream(gpu));
  CHECK_THROWS_AS(synchronize(gpu), Error);
  simulator::set_report_handler(handler);
  return simulator::take_reports();
}

TEST_CASE("the checker knows where cached blocks end, and when") {
  if (!simulator::machine_with(1).checking) return;
  for (const bool freed : {false, true}) {
    Simulated machine;
    machine.expect_failure();
    Tensor x = ones({10}, {.device = gpu});  // in a block of 512 bytes
    void* const address = raw(x);
    if (freed) x = Tensor();
    const auto found = found_by_kernel(address, freed ? 10 : 11);
    REQUIRE(found.size() == 1);
    CHECK(found[0].finding ==
          (freed ? simulator::Finding::use_after_free : simulator::Finding::out_of_bounds));
  }
}

}  // namespace
}  // namespace miniparallel
