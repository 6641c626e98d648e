// Four small programs in the manner of NVIDIA's public samples behave as documented: overlapping copies and
// kernels in several streams, peer-to-peer copies, a two-stage reduction, a batched matrix product.

#include "kernels/correct.h"
#include "modes.h"

#include <numeric>

using namespace simulator_tests;

TEST_CASE("sample: several streams copy, compute and copy back") {
  in_every_mode(1, [] {
    constexpr int streams = 4, chunk = 256, count = streams * chunk;
    float* host = nullptr;
    REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&host), count * sizeof(float)) == cudaSuccess);
    std::fill(host, host + count, 3.0f);
    const DeviceBuffer<float> x(count), y(std::vector<float>(count, 1.0f));
    {
      const StreamHandle handles[streams];
      for (int i = 0; i < streams; ++i) {
        const cudaStream_t stream = handles[i].stream;
        const int at = i * chunk;
        cudaMemcpyAsync(x.data() + at, host + at, chunk * sizeof(float), cudaMemcpyHostToDevice, stream);
        saxpy(2, x.data() + at, y.data() + at, chunk, stream);
        cudaMemcpyAsync(host + at, y.data() + at, chunk * sizeof(float), cudaMemcpyDeviceToHost, stream);
      }
      REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    }
    CHECK(std::accumulate(host, host + count, 0.0f) == 7.0f * count);
    CHECK(cudaFreeHost(host) == cudaSuccess);
  });
}

TEST_CASE("sample: peer-to-peer copies and a kernel that reads its peer") {
  in_every_mode(2, [] {
    REQUIRE(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
    const DeviceBuffer<float> first(std::vector<float>(100, 4.0f));
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    REQUIRE(cudaDeviceEnablePeerAccess(0, 0) == cudaSuccess);
    const DeviceBuffer<float> second(100);
    REQUIRE(cudaMemcpyPeer(second.data(), 1, first.data(), 0, 400) == cudaSuccess);
    saxpy(1, first.data(), second.data(), 100);  // on device 1, reading device 0
    CHECK(second.download() == std::vector<float>(100, 8.0f));
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
  });
}

TEST_CASE("sample: reduction") {
  in_every_mode(1, [] {
    std::vector<float> values(5000);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 13);
    const DeviceBuffer<float> in(values), out(std::vector<float>{0.0f});
    shuffle_sum(in.data(), out.data(), 5000);
    CHECK(out.download()[0] == std::accumulate(values.begin(), values.end(), 0.0f));
  });
}

TEST_CASE("sample: batched gemm") {
  in_every_mode(1, [] {
    constexpr int n = 4, batch = 3;
    std::vector<float> identities(n * n * batch), values(n * n * batch);
    std::iota(values.begin(), values.end(), 0.0f);
    for (std::size_t i = 0; i < identities.size(); ++i)
      identities[i] = i % (n * n) % (n + 1) == 0 ? 2.0f : 0.0f;
    const DeviceBuffer<float> a(identities), b(values), c(values.size());
    const sim::testing::CublasHandle blas;
    const float one = 1, zero = 0;
    REQUIRE(cublasSgemmStridedBatched(blas.handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one, a.data(), n,
                                      n * n, b.data(), n, n * n, &zero, c.data(), n, n * n,
                                      batch) == CUBLAS_STATUS_SUCCESS);
    const auto result = c.download();
    for (std::size_t i = 0; i < result.size(); ++i) REQUIRE(result[i] == 2 * values[i]);
  });
}
