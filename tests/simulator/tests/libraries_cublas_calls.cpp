// Handles, settings, refusals, asynchrony and findings of the simulated cuBLAS.
#include "libraries_device.h"

#include <cublasLt.h>
#include <doctest/doctest.h>

#include <cstring>
#include <thread>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

const float one = 1, zero = 0;

/// The 2 x 2 product C = A * A with every argument replaceable.
struct Call {
  cublasHandle_t handle;
  float *a, *c;
  cublasOperation_t ta = CUBLAS_OP_N, tb = CUBLAS_OP_N;
  int m = 2, n = 2, k = 2, lda = 2, ldb = 2, ldc = 2;
  const float *alpha = &one, *beta = &zero;

  cublasStatus_t operator()() const {
    return cublasSgemm(handle, ta, tb, m, n, k, alpha, a, lda, a, ldb, beta, c, ldc);
  }
};

}  // namespace

TEST_CASE("libraries: a cuBLAS handle keeps its settings") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const StreamHandle stream;
  int version = 0;
  CHECK(cublasGetVersion(cublas.handle, &version) == CUBLAS_STATUS_SUCCESS);
  CHECK(version == CUBLAS_VERSION);

  cudaStream_t kept = stream.stream;
  CHECK(cublasGetStream(cublas.handle, &kept) == CUBLAS_STATUS_SUCCESS);
  CHECK(kept == nullptr);
  CHECK(cublasSetStream(cublas.handle, stream.stream) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasGetStream(cublas.handle, &kept) == CUBLAS_STATUS_SUCCESS);
  CHECK(kept == stream.stream);

  cublasPointerMode_t pointers;
  CHECK(cublasGetPointerMode(cublas.handle, &pointers) == CUBLAS_STATUS_SUCCESS);
  CHECK(pointers == CUBLAS_POINTER_MODE_HOST);
  CHECK(cublasSetPointerMode(cublas.handle, CUBLAS_POINTER_MODE_DEVICE) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasGetPointerMode(cublas.handle, &pointers) == CUBLAS_STATUS_SUCCESS);
  CHECK(pointers == CUBLAS_POINTER_MODE_DEVICE);

  cublasMath_t math;
  CHECK(cublasSetMathMode(cublas.handle, CUBLAS_PEDANTIC_MATH) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasGetMathMode(cublas.handle, &math) == CUBLAS_STATUS_SUCCESS);
  CHECK(math == CUBLAS_PEDANTIC_MATH);

  cublasAtomicsMode_t atomics;
  CHECK(cublasGetAtomicsMode(cublas.handle, &atomics) == CUBLAS_STATUS_SUCCESS);
  CHECK(atomics == CUBLAS_ATOMICS_NOT_ALLOWED);
  CHECK(cublasSetAtomicsMode(cublas.handle, CUBLAS_ATOMICS_ALLOWED) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasGetAtomicsMode(cublas.handle, &atomics) == CUBLAS_STATUS_SUCCESS);
  CHECK(atomics == CUBLAS_ATOMICS_ALLOWED);

  const DeviceBuffer<char> workspace(std::size_t{512});
  CHECK(cublasSetWorkspace(cublas.handle, workspace.data(), 512) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasSetWorkspace(cublas.handle, workspace.data() + 8, 256) == CUBLAS_STATUS_INVALID_VALUE);
}

TEST_CASE("libraries: cuBLAS refuses dead handles and NULL") {
  const TestMachine machine(1);
  cublasHandle_t handle = nullptr;
  CHECK(cublasCreate(nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasSetStream(handle, nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cublasDestroy(handle) == CUBLAS_STATUS_NOT_INITIALIZED);
  REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
  REQUIRE(cublasDestroy(handle) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasSetStream(handle, nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 0, 0, 0, &one, nullptr, 1, nullptr, 1, &zero, nullptr,
                    1) == CUBLAS_STATUS_NOT_INITIALIZED);
}

TEST_CASE("libraries: cuBLAS names its statuses as NVIDIA does") {
  CHECK(std::strcmp(cublasGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED), "CUBLAS_STATUS_NOT_SUPPORTED") == 0);
  CHECK(std::strcmp(cublasGetStatusName(CUBLAS_STATUS_SUCCESS), "CUBLAS_STATUS_SUCCESS") == 0);
  CHECK(std::strlen(cublasGetStatusString(CUBLAS_STATUS_INVALID_VALUE)) > 0);
}

TEST_CASE("libraries: cublasSgemm answers wrong arguments as documented") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const DeviceBuffer<float> a(std::vector<float>(8, 1)), c(std::vector<float>(8, 1));
  const Call good{cublas.handle, a.data(), c.data()};
  REQUIRE(good() == CUBLAS_STATUS_SUCCESS);
  const auto with = [&](auto change) {
    Call call = good;
    change(call);
    return call();
  };
  CHECK(with([](Call& call) { call.ta = CUBLAS_OP_CONJG; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.m = -1; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.n = -1; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.k = -1; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.lda = 1; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.ldb = 1; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.ldc = 1; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.lda = 0, call.m = 0; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.ta = CUBLAS_OP_T, call.lda = 1, call.k = 1; }) == CUBLAS_STATUS_SUCCESS);
  CHECK(with([](Call& call) { call.alpha = nullptr; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.beta = nullptr; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.a = nullptr; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.c = nullptr; }) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(with([](Call& call) { call.c = reinterpret_cast<float*>(reinterpret_cast<char*>(call.c) + 2); }) ==
        CUBLAS_STATUS_NOT_SUPPORTED);
  const auto types = [&](cudaDataType_t in, cudaDataType_t out, cublasComputeType_t compute) {
    return cublasGemmEx(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), in, 1, a.data(), in,
                        1, &zero, c.data(), out, 1, compute, CUBLAS_GEMM_DEFAULT);
  };
  CHECK(types(CUDA_R_16F, CUDA_R_16BF, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(types(CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_64F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(types(CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F_FAST_TF32) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(types(CUDA_C_32F, CUDA_C_32F, CUBLAS_COMPUTE_32F) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
}

TEST_CASE("libraries: cuBLAS's work waits for somebody to wait for it") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const StreamHandle stream;
  cublasSetStream(cublas.handle, stream.stream);
  float* shared = nullptr;  // the host may look into pinned memory at any time
  REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&shared), sizeof(float)) == cudaSuccess);
  *shared = -1;
  const DeviceBuffer<float> a(std::vector<float>{3}), c(std::vector<float>{0});
  const auto before = counters();
  REQUIRE(cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), 1, a.data(), 1, &zero,
                      c.data(), 1) == CUBLAS_STATUS_SUCCESS);
  cudaMemcpyAsync(shared, c.data(), sizeof(float), cudaMemcpyDeviceToHost, stream.stream);
  CHECK((counters() - before).library_calls == 1);
  CHECK((counters() - before).host_synchronizations == 0);
  CHECK(*shared == -1);
  CHECK(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(*shared == 9);
  cudaFreeHost(shared);
}

TEST_CASE("libraries: host factors are read at the call, device factors when the work runs") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const StreamHandle stream;
  cublasSetStream(cublas.handle, stream.stream);
  const DeviceBuffer<float> a(std::vector<float>{1}), c(std::vector<float>{0}),
      factors(std::vector<float>{1, 0});
  float alpha = 2;
  const auto gemm = [&](const float* by, const float* keep) {
    return cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, by, a.data(), 1, a.data(), 1, keep,
                       c.data(), 1);
  };
  REQUIRE(gemm(&alpha, &zero) == CUBLAS_STATUS_SUCCESS);
  alpha = 100;
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(c.download() == std::vector<float>{2});

  cublasSetPointerMode(cublas.handle, CUBLAS_POINTER_MODE_DEVICE);
  const float later = 7;
  cudaMemcpyAsync(factors.data(), &later, sizeof(float), cudaMemcpyHostToDevice, stream.stream);
  REQUIRE(gemm(factors.data(), factors.data() + 1) == CUBLAS_STATUS_SUCCESS);
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(c.download() == std::vector<float>{7});
}

TEST_CASE("libraries: vectors: axpy, scal, dot, nrm2, gemv with increments") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const float two = 2;
  const DeviceBuffer<float> x(std::vector<float>{1, 9, 2, 9, 3}), y(std::vector<float>{10, 20, 30});
  CHECK(cublasSaxpy(cublas.handle, 3, &two, x.data(), 2, y.data(), 1) == CUBLAS_STATUS_SUCCESS);
  CHECK(y.download() == std::vector<float>{12, 24, 36});
  CHECK(cublasSaxpy(cublas.handle, 3, &two, x.data(), 2, y.data(), -1) == CUBLAS_STATUS_SUCCESS);
  CHECK(y.download() == std::vector<float>{18, 28, 38});
  CHECK(cublasSscal_64(cublas.handle, 2, &two, y.data(), 2) == CUBLAS_STATUS_SUCCESS);
  CHECK(y.download() == std::vector<float>{36, 28, 76});
  float result = -1;
  CHECK(cublasSdot(cublas.handle, 3, x.data(), 2, y.data(), 1, &result) == CUBLAS_STATUS_SUCCESS);
  CHECK(result == 36 + 2 * 28 + 3 * 76);
  CHECK(cublasSnrm2(cublas.handle, 0, x.data(), 1, &result) == CUBLAS_STATUS_SUCCESS);
  CHECK(result == 0);

  const DeviceBuffer<double> a(std::vector<double>{1, 2, -99, 3, 4, -99}), v(std::vector<double>{5, 7});
  const DeviceBuffer<double> product(std::size_t{2}), norm(std::size_t{1});  // unwritten: beta is 0
  const double unit = 1, none = 0;
  CHECK(cublasDgemv(cublas.handle, CUBLAS_OP_N, 2, 2, &unit, a.data(), 3, v.data(), 1, &none, product.data(),
                    1) == CUBLAS_STATUS_SUCCESS);
  CHECK(product.download() == std::vector<double>{26, 38});
  CHECK(cublasDgemv_64(cublas.handle, CUBLAS_OP_T, 2, 2, &unit, a.data(), 3, v.data(), 1, &unit,
                       product.data(), 1) == CUBLAS_STATUS_SUCCESS);
  CHECK(product.download() == std::vector<double>{26 + 19, 38 + 43});
  CHECK(cublasDgemv(cublas.handle, CUBLAS_OP_N, 2, 2, &unit, a.data(), 1, v.data(), 1, &none, product.data(),
                    1) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasDgemv(cublas.handle, CUBLAS_OP_N, 2, 2, &unit, a.data(), 3, v.data(), 0, &none, product.data(),
                    1) == CUBLAS_STATUS_INVALID_VALUE);
  cublasSetPointerMode(cublas.handle, CUBLAS_POINTER_MODE_DEVICE);
  CHECK(cublasDnrm2(cublas.handle, 2, v.data(), 1, norm.data()) == CUBLAS_STATUS_SUCCESS);
  CHECK(norm.download()[0] == doctest::Approx(8.602325267));
}

TEST_CASE("libraries: a handle used on another device is reported") {
  const TestMachine machine(2);
  const CublasHandle cublas;
  const DeviceBuffer<float> a(std::vector<float>(4, 1));
  cudaSetDevice(1);
  CHECK(Call{cublas.handle, a.data(), a.data()}() == CUBLAS_STATUS_EXECUTION_FAILED);
  const auto text = only_report(Finding::library);
  CHECK(contains(text, "cublasSgemm"));
  CHECK(contains(text, "device 0"));
  CHECK(contains(text, "cudaSetDevice(0)"));
  cudaSetDevice(0);
}

TEST_CASE("libraries: a stream of another device is reported") {
  const TestMachine machine(2);
  const CublasHandle cublas;
  const DeviceBuffer<float> a(std::vector<float>(4, 1)), c(std::size_t{4});
  cudaSetDevice(1);
  const StreamHandle stream;
  cudaSetDevice(0);
  cublasSetStream(cublas.handle, stream.stream);
  CHECK(Call{cublas.handle, a.data(), c.data()}() == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(contains(only_report(Finding::wrong_stream), "cublasSgemm"));
  cublasSetStream(cublas.handle, nullptr);
}

TEST_CASE("libraries: cuBLAS's reads and writes are checked, column by column") {
  const TestMachine machine(2);
  const CublasHandle cublas;
  const DeviceBuffer<float> a(std::vector<float>(4, 1)), c(std::size_t{4}), wide(std::size_t{8});
  const Call call{cublas.handle, a.data(), c.data()};
  const auto fails_with = [](Finding finding) {
    CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    return only_report(finding);
  };
  SUBCASE("the gaps of a leading dimension need not be written") {
    const std::vector<float> values(4, 1);
    REQUIRE(cudaMemcpy2D(wide.data(), 16, values.data(), 8, 8, 2, cudaMemcpyHostToDevice) == cudaSuccess);
    CHECK(cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, wide.data(), 4, a.data(), 2,
                      &zero, c.data(), 2) == CUBLAS_STATUS_SUCCESS);
    CHECK(cudaDeviceSynchronize() == cudaSuccess);
  }
  SUBCASE("unwritten operand") {
    CHECK(cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, wide.data(), 2, a.data(), 2,
                      &zero, c.data(), 2) == CUBLAS_STATUS_SUCCESS);
    CHECK(contains(fails_with(Finding::unwritten_read), "cublasSgemm"));
  }
  SUBCASE("unwritten C with a beta that reads it") {
    auto reading = call;
    reading.beta = &one;
    CHECK(reading() == CUBLAS_STATUS_SUCCESS);
    fails_with(Finding::unwritten_read);
  }
  SUBCASE("result past the end of its memory") {
    auto large = call;
    large.ldc = 3;
    CHECK(large() == CUBLAS_STATUS_SUCCESS);
    fails_with(Finding::out_of_bounds);
  }
  SUBCASE("operand in host memory") {
    std::vector<float> host(4, 1);
    auto wrong = call;
    wrong.a = host.data();
    CHECK(wrong() == CUBLAS_STATUS_SUCCESS);
    fails_with(Finding::host_memory);
  }
  SUBCASE("operand on another device without peer access") {
    cudaSetDevice(1);
    const DeviceBuffer<float> far(std::vector<float>(4, 1));
    cudaSetDevice(0);
    auto wrong = call;
    wrong.a = far.data();
    CHECK(wrong() == CUBLAS_STATUS_SUCCESS);
    CHECK(contains(fails_with(Finding::peer_access), "device 1"));
  }
  SUBCASE("operand freed while the work waits") {
    const StreamHandle stream;
    cublasSetStream(cublas.handle, stream.stream);
    auto freed = DeviceBuffer<float>(std::vector<float>(4, 1));
    auto late = call;
    late.a = freed.data();
    CHECK(late() == CUBLAS_STATUS_SUCCESS);
    {
      const auto gone = std::move(freed);
    }
    cudaDeviceSynchronize();
    CHECK_FALSE(take_reports().empty());
    cublasSetStream(cublas.handle, nullptr);
  }
  cudaGetLastError();
}

TEST_CASE("libraries: a missing event wait before a product is found in every seed") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const TestMachine machine(1, Streams::lazy, seed);
    const CublasHandle cublas;
    const StreamHandle upload, compute;
    cublasSetStream(cublas.handle, compute.stream);
    const DeviceBuffer<float> a(std::vector<float>(4, 0)), c(std::size_t{4});
    const std::vector<float> values(4, 1);
    cudaMemcpyAsync(a.data(), values.data(), 16, cudaMemcpyHostToDevice, upload.stream);
    CHECK(Call{cublas.handle, a.data(), c.data()}() == CUBLAS_STATUS_SUCCESS);
    cudaDeviceSynchronize();
    CHECK_FALSE(take_reports().empty());
    cudaGetLastError();
  }
}

TEST_CASE("libraries: injected faults and earlier faults make cuBLAS fail") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const DeviceBuffer<float> a(std::vector<float>(4, 1)), c(std::size_t{4});
  const Call call{cublas.handle, a.data(), c.data()};
  fail_library_call("cublasSgemm", 2);
  CHECK(call() == CUBLAS_STATUS_SUCCESS);
  CHECK(call() == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(call() == CUBLAS_STATUS_SUCCESS);
  fail_library_call("cublasCreate", 1);
  cublasHandle_t another = nullptr;
  CHECK(cublasCreate(&another) == CUBLAS_STATUS_ALLOC_FAILED);
  fail_copy(0, 1);
  cudaMemcpyAsync(c.data(), a.data(), 16, cudaMemcpyDeviceToDevice, nullptr);
  CHECK(cudaDeviceSynchronize() == cudaErrorLaunchFailure);
  CHECK(call() == CUBLAS_STATUS_EXECUTION_FAILED);
  cudaGetLastError();
}

TEST_CASE("libraries: threads with a handle each run side by side") {
  const TestMachine machine(2, Streams::threaded);
  std::vector<std::thread> threads;
  std::vector<int> right(2);
  for (int device = 0; device < 2; ++device) {
    threads.emplace_back([device, &right] {
      cudaSetDevice(device);
      cublasHandle_t handle = nullptr;
      cublasCreate(&handle);
      float *a = nullptr, *c = nullptr;
      cudaMalloc(reinterpret_cast<void**>(&a), 16);
      cudaMalloc(reinterpret_cast<void**>(&c), 16);
      const std::vector<float> values{1, 2, 3, 4};
      std::vector<float> result(4);
      cudaMemcpy(a, values.data(), 16, cudaMemcpyHostToDevice);
      for (int i = 0; i < 50; ++i) right[device] += Call{handle, a, c}() == CUBLAS_STATUS_SUCCESS;
      cudaMemcpy(result.data(), c, 16, cudaMemcpyDeviceToHost);
      right[device] += result == std::vector<float>{7, 10, 15, 22};
      cudaFree(a);
      cudaFree(c);
      cublasDestroy(handle);
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == std::vector<int>{51, 51});
}
