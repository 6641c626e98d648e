// What libraries ask of the virtual clock.
#include "libraries_nccl_support.h"
#include "miniparallel/simulator_clock.h"

#include <doctest/doctest.h>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

constexpr Speeds slow{.memory = 100,
                      .float32 = 10,
                      .tf32 = 20,
                      .half = 40,
                      .float64 = 5,
                      .link = 50,
                      .bus = 20,
                      .launch = 1,
                      .link_latency = 0.5,
                      .call = 0.125};

}  // namespace

TEST_CASE("libraries: a product takes its operations, in the unit that does them, or its operands") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const DeviceBuffer<float> a(std::vector<float>(64, 1)), b(std::vector<float>(64, 1)),
      c(std::vector<float>(64, 0));
  const float one = 1, zero = 0;
  const auto multiply = [&](int m, int n, int k) {
    const double before = host_time();
    REQUIRE(cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, a.data(), m, b.data(), k,
                        &zero, c.data(), m) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    return host_time() - before;
  };
  start_clock(slow);
  CHECK(multiply(4, 3, 5) == 0.125 + 1 + 2 * 4 * 3 * 5 / 10.0);
  CHECK(multiply(8, 1, 1) == doctest::Approx(0.125 + 1 + 2 * 8 / 10.0));
  REQUIRE(cublasSetMathMode(cublas.handle, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS);
  CHECK(multiply(4, 3, 5) == doctest::Approx(0.125 + 1 + 2 * 4 * 3 * 5 / 20.0));
  Speeds quick = slow;
  quick.float32 = quick.tf32 = 1e9;
  start_clock(quick);
  CHECK(multiply(4, 3, 5) == doctest::Approx(0.125 + 1 + 4 * (4 * 5 + 5 * 3 + 4 * 3) / 100.0));
}

TEST_CASE("libraries: a collective takes what each rank receives, over its link") {
  const TestMachine machine(2);
  const Ranks ranks(2);
  const RankBuffers<float> x(2, 100, [](int, std::size_t) { return 1.f; });
  for (int rank = 0; rank < 2; ++rank) {
    cudaSetDevice(rank);
    cudaDeviceSynchronize();
  }
  cudaSetDevice(0);
  start_clock(slow);
  REQUIRE(ranks.grouped([&](int rank, ncclComm_t comm, cudaStream_t stream) {
    REQUIRE(ncclAllReduce(x[rank], x[rank], 100, ncclFloat, ncclSum, comm, stream) == ncclSuccess);
  }) == ncclSuccess);
  REQUIRE(ranks.synchronize() == cudaSuccess);
  // Of two ranks each sends and receives as much as the array has; two calls of each are
  // enqueued before the end.
  CHECK(host_time() == doctest::Approx(4 * 0.125 + 1 + 400 / 50.0 + 0.5));
}
