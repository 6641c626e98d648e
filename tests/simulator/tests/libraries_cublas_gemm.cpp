// cuBLAS's matrix products on simulated devices, against loops in double.
#include "libraries_device.h"
#include "libraries_support.h"

#include <cublas_v2.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

/// alpha and beta where the handle looks for them.
template <class T>
class Scalars {
 public:
  Scalars(cublasHandle_t handle, double alpha, double beta, bool on_device)
      : host_{static_cast<T>(alpha), static_cast<T>(beta)}, device_(host_), on_device_(on_device) {
    REQUIRE(cublasSetPointerMode(handle, on_device ? CUBLAS_POINTER_MODE_DEVICE : CUBLAS_POINTER_MODE_HOST) ==
            CUBLAS_STATUS_SUCCESS);
  }
  const T* alpha() const { return on_device_ ? device_.data() : host_.data(); }
  const T* beta() const { return alpha() + 1; }

 private:
  std::vector<T> host_;
  DeviceBuffer<T> device_;
  bool on_device_;
};

struct Case {  // shape first, then what a sweep varies
  std::int64_t m, n, k, padding;
  cublasOperation_t ta, tb;
  double alpha, beta;
  bool device_scalars;
};

/// Every combination of operations, factors and pointer modes, for several shapes or for one.
std::vector<Case> sweep(bool many_shapes) {
  std::vector<Case> shapes{{5, 4, 3, 2, {}, {}, 0, 0, false}};
  if (many_shapes) {
    shapes.insert(shapes.end(), {{5, 4, 3, 0, {}, {}, 0, 0, false},
                                 {1, 4, 3, 2, {}, {}, 0, 0, false},
                                 {5, 1, 3, 0, {}, {}, 0, 0, false},
                                 {1, 1, 1, 0, {}, {}, 0, 0, false},
                                 {5, 4, 1, 1, {}, {}, 0, 0, false},
                                 {5, 4, 0, 1, {}, {}, 0, 0, false}});
  }
  const std::pair<cublasOperation_t, cublasOperation_t> operations[] = {{CUBLAS_OP_N, CUBLAS_OP_N},
                                                                        {CUBLAS_OP_N, CUBLAS_OP_T},
                                                                        {CUBLAS_OP_T, CUBLAS_OP_N},
                                                                        {CUBLAS_OP_T, CUBLAS_OP_T},
                                                                        {CUBLAS_OP_C, CUBLAS_OP_C}};
  const std::pair<double, double> factors[] = {{1, 0}, {0.5, 1}, {-1, -2}, {0, 0}, {0, 1}};
  std::vector<Case> cases;
  for (Case shape : shapes) {
    for (auto [ta, tb] : operations) {
      for (auto [alpha, beta] : factors) {
        for (bool device : {false, true}) {
          cases.push_back({shape.m, shape.n, shape.k, shape.padding, ta, tb, alpha, beta, device});
        }
      }
    }
  }
  return cases;
}

/// Stored so that op() makes it rows x cols.
template <class T>
HostMatrix<T> stored(cublasOperation_t op, std::int64_t rows, std::int64_t cols, std::int64_t padding,
                     std::int64_t batch = 1) {
  return op == CUBLAS_OP_N ? HostMatrix<T>(rows, cols, padding, false, batch)
                           : HostMatrix<T>(cols, rows, padding, false, batch);
}

template <class T>
double element(const HostMatrix<T>& matrix, cublasOperation_t op, std::int64_t i, std::int64_t j,
               std::int64_t index = 0) {
  return op == CUBLAS_OP_N ? matrix.value(i, j, index) : matrix.value(j, i, index);
}

template <class T>
bool equal(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](T x, T y) { return same(convert<double>(x), convert<double>(y)); });
}

/// What C must hold after the product.
template <class In, class Out>
HostMatrix<Out> expected(const Case& c, const HostMatrix<In>& a, const HostMatrix<In>& b,
                         HostMatrix<Out> result) {
  for (std::int64_t index = 0; index < result.batch; ++index) {
    for (std::int64_t i = 0; i < c.m; ++i) {
      for (std::int64_t j = 0; j < c.n; ++j) {
        result.set(i, j,
                   reference(
                       c.k, c.alpha, [&](auto p) { return element(a, c.ta, i, p, index % a.batch); },
                       [&](auto p) { return element(b, c.tb, p, j, index % b.batch); }, c.beta,
                       [&] { return result.value(i, j, index); }),
                   index);
      }
    }
  }
  return result;
}

/// Runs `call(handle, case, alpha, A, lda, B, ldb, beta, C, ldc)` for every case and compares.
template <class In, class Out, class Scale, class Call>
void check_products(Call&& call, bool many_shapes = true) {
  const TestMachine machine(1);
  const CublasHandle cublas;
  for (const Case& c : sweep(many_shapes)) {
    const auto a = stored<In>(c.ta, c.m, c.k, c.padding).fill(1);
    const auto b = stored<In>(c.tb, c.k, c.n, c.padding).fill(2);
    HostMatrix<Out> result(c.m, c.n, c.padding);
    if (c.beta != 0) result.fill(3);  // else C is NaN and must not be read
    const Scalars<Scale> scalars(cublas.handle, c.alpha, c.beta, c.device_scalars);
    const DeviceBuffer<In> device_a(a.data), device_b(b.data);
    const DeviceBuffer<Out> device_c(result.data);
    REQUIRE(call(cublas.handle, c, scalars.alpha(), device_a.data(), a.ld, device_b.data(), b.ld,
                 scalars.beta(), device_c.data(), result.ld) == CUBLAS_STATUS_SUCCESS);
    INFO("m " << c.m << ", n " << c.n << ", k " << c.k << ", padding " << c.padding << ", ops " << c.ta
              << c.tb << ", alpha " << c.alpha << ", beta " << c.beta);
    REQUIRE(equal(device_c.download(), expected(c, a, b, result).data));
  }
}

template <class In, class Out>
void check_gemm_ex(cublasComputeType_t compute) {
  using Scale = std::conditional_t<std::is_same_v<In, double>, double, float>;
  check_products<In, Out, Scale>(
      [&](cublasHandle_t handle, const Case& c, const Scale* alpha, const In* a, std::int64_t lda,
          const In* b, std::int64_t ldb, const Scale* beta, Out* out, std::int64_t ldc) {
        return cublasGemmEx_64(handle, c.ta, c.tb, c.m, c.n, c.k, alpha, a, type_of<In>, lda, b, type_of<In>,
                               ldb, beta, out, type_of<Out>, ldc, compute, CUBLAS_GEMM_DEFAULT);
      },
      false);
}

}  // namespace

TEST_CASE("libraries: cublasSgemm agrees with loops") {
  check_products<float, float, float>([](cublasHandle_t handle, const Case& c, const float* alpha,
                                         const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
                                         const float* beta, float* out, std::int64_t ldc) {
    return cublasSgemm(handle, c.ta, c.tb, static_cast<int>(c.m), static_cast<int>(c.n),
                       static_cast<int>(c.k), alpha, a, static_cast<int>(lda), b, static_cast<int>(ldb), beta,
                       out, static_cast<int>(ldc));
  });
}

TEST_CASE("libraries: cublasDgemm agrees with loops") {
  check_products<double, double, double>(
      [](cublasHandle_t handle, const Case& c, const double* alpha, const double* a, std::int64_t lda,
         const double* b, std::int64_t ldb, const double* beta, double* out, std::int64_t ldc) {
        return cublasDgemm_64(handle, c.ta, c.tb, c.m, c.n, c.k, alpha, a, lda, b, ldb, beta, out, ldc);
      });
}

TEST_CASE("libraries: cublasGemmEx agrees with loops for every combination of types") {
  SUBCASE("float") { check_gemm_ex<float, float>(CUBLAS_COMPUTE_32F); }
  SUBCASE("float, TF32 allowed") { check_gemm_ex<float, float>(CUBLAS_COMPUTE_32F_FAST_TF32); }
  SUBCASE("double") { check_gemm_ex<double, double>(CUBLAS_COMPUTE_64F); }
  SUBCASE("half") { check_gemm_ex<__half, __half>(CUBLAS_COMPUTE_32F); }
  SUBCASE("half to float") { check_gemm_ex<__half, float>(CUBLAS_COMPUTE_32F); }
  SUBCASE("bfloat16") { check_gemm_ex<__nv_bfloat16, __nv_bfloat16>(CUBLAS_COMPUTE_32F_PEDANTIC); }
  SUBCASE("bfloat16 to float") { check_gemm_ex<__nv_bfloat16, float>(CUBLAS_COMPUTE_32F); }
}

TEST_CASE("libraries: TF32 rounds the operands, where the call or the handle allows it") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const float just_above_one = 1 + 1.0f / 4096, one = 1, zero = 0;
  const DeviceBuffer<float> a(std::vector<float>{just_above_one}), b(std::vector<float>{1}),
      c(std::vector<float>{0});
  const auto product = [&](cublasComputeType_t compute) {
    REQUIRE(cublasGemmEx(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a.data(), CUDA_R_32F, 1,
                         b.data(), CUDA_R_32F, 1, &zero, c.data(), CUDA_R_32F, 1, compute,
                         CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    return c.download().front();
  };
  CHECK(product(CUBLAS_COMPUTE_32F) == just_above_one);
  CHECK(product(CUBLAS_COMPUTE_32F_FAST_TF32) == 1);
  REQUIRE(cublasSetMathMode(cublas.handle, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS);
  CHECK(product(CUBLAS_COMPUTE_32F) == 1);
  CHECK(product(CUBLAS_COMPUTE_32F_PEDANTIC) == just_above_one);
}

TEST_CASE("libraries: empty products touch nothing, and k = 0 only scales C") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const float one = 1, fraction = 0.5f;
  const DeviceBuffer<float> a(std::vector<float>{1, 2}), c(std::vector<float>{4, 6});
  const auto gemm = [&](int m, int n, int k) {
    return cublasSgemm(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, a.data(), 2, a.data(), 2,
                       &fraction, c.data(), 2);
  };
  CHECK(gemm(0, 1, 2) == CUBLAS_STATUS_SUCCESS);
  CHECK(gemm(2, 0, 2) == CUBLAS_STATUS_SUCCESS);
  CHECK(c.download() == std::vector<float>{4, 6});
  CHECK(gemm(2, 1, 0) == CUBLAS_STATUS_SUCCESS);
  CHECK(c.download() == std::vector<float>{2, 3});
}

TEST_CASE_TEMPLATE("libraries: strided batches, also of one repeated matrix", T, float, double) {
  const TestMachine machine(1);
  const CublasHandle cublas;
  for (std::int64_t repeat : {0, 1}) {  // 1: all products share A
    const Case c{3, 4, 5, 1, CUBLAS_OP_T, CUBLAS_OP_N, 2, 1, false};
    const auto a = stored<T>(c.ta, c.m, c.k, c.padding, repeat == 1 ? 1 : 3).fill(1);
    const auto b = stored<T>(c.tb, c.k, c.n, c.padding, 3).fill(2);
    const auto out = HostMatrix<T>(c.m, c.n, c.padding, false, 3).fill(3);
    const DeviceBuffer<T> device_a(a.data), device_b(b.data), device_c(out.data);
    const Scalars<T> scalars(cublas.handle, c.alpha, c.beta, false);
    const auto stride_a = repeat == 1 ? 0 : a.stride();
    if constexpr (std::is_same_v<T, float>) {
      REQUIRE(cublasSgemmStridedBatched(cublas.handle, c.ta, c.tb, 3, 4, 5, scalars.alpha(), device_a.data(),
                                        static_cast<int>(a.ld), stride_a, device_b.data(),
                                        static_cast<int>(b.ld), b.stride(), scalars.beta(), device_c.data(),
                                        static_cast<int>(out.ld), out.stride(), 3) == CUBLAS_STATUS_SUCCESS);
    } else {
      REQUIRE(cublasGemmStridedBatchedEx_64(cublas.handle, c.ta, c.tb, 3, 4, 5, scalars.alpha(),
                                            device_a.data(), CUDA_R_64F, a.ld, stride_a, device_b.data(),
                                            CUDA_R_64F, b.ld, b.stride(), scalars.beta(), device_c.data(),
                                            CUDA_R_64F, out.ld, out.stride(), 3, CUBLAS_COMPUTE_64F,
                                            CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    }
    CHECK(equal(device_c.download(), expected(c, a, b, out).data));
  }
}

TEST_CASE("libraries: batches of pointers read the addresses when the work runs") {
  const TestMachine machine(1);
  const CublasHandle cublas;
  const StreamHandle stream;
  REQUIRE(cublasSetStream(cublas.handle, stream.stream) == CUBLAS_STATUS_SUCCESS);
  const Case c{2, 3, 4, 0, CUBLAS_OP_N, CUBLAS_OP_T, 1, 0, false};
  const auto a = stored<float>(c.ta, c.m, c.k, 0, 2).fill(1), b = stored<float>(c.tb, c.k, c.n, 0, 2).fill(2);
  const HostMatrix<float> out(c.m, c.n, 0, false, 2);
  const DeviceBuffer<float> device_a(a.data), device_b(b.data), device_c(out.data.size());
  const std::vector<float*> addresses{device_a.data(), device_a.data() + a.stride(),
                                      device_b.data(), device_b.data() + b.stride(),
                                      device_c.data(), device_c.data() + out.stride()};
  const DeviceBuffer<float*> pointers(addresses.size());
  REQUIRE(cudaMemcpyAsync(pointers.data(), addresses.data(), addresses.size() * sizeof(float*),
                          cudaMemcpyHostToDevice, stream.stream) == cudaSuccess);
  const float one = 1, zero = 0;
  REQUIRE(cublasSgemmBatched(cublas.handle, c.ta, c.tb, 2, 3, 4, &one, pointers.data(),
                             static_cast<int>(a.ld), pointers.data() + 2, static_cast<int>(b.ld), &zero,
                             pointers.data() + 4, static_cast<int>(out.ld), 2) == CUBLAS_STATUS_SUCCESS);
  REQUIRE(cudaStreamSynchronize(stream.stream) == cudaSuccess);
  CHECK(equal(device_c.download(), expected(c, a, b, out).data));
}

TEST_CASE("libraries: a program in the manner of the batched gemm sample, in every order of execution") {
  for (const auto streams : {Streams::lazy, Streams::threaded}) {
    for (std::uint64_t seed = 0; seed < 5; ++seed) {
      const TestMachine machine(1, streams, seed);
      const CublasHandle cublas;
      constexpr int n = 8, batch = 20;
      std::vector<float> a(batch * n * n), b(batch * n * n), c(batch * n * n);
      for (std::size_t i = 0; i < a.size(); ++i) {
        a[i] = static_cast<float>(i % 7) - 3;
        b[i] = static_cast<float>(i % 5) - 2;
      }
      const DeviceBuffer<float> device_a(a.size()), device_b(b.size()), device_c(c.size());
      StreamHandle upload, compute;
      cudaEvent_t uploaded;
      REQUIRE(cudaEventCreateWithFlags(&uploaded, cudaEventDisableTiming) == cudaSuccess);
      cudaMemcpyAsync(device_a.data(), a.data(), a.size() * sizeof(float), cudaMemcpyHostToDevice,
                      upload.stream);
      cudaMemcpyAsync(device_b.data(), b.data(), b.size() * sizeof(float), cudaMemcpyHostToDevice,
                      upload.stream);
      cudaEventRecord(uploaded, upload.stream);
      cudaStreamWaitEvent(compute.stream, uploaded, 0);
      cublasSetStream(cublas.handle, compute.stream);
      const float one = 1, zero = 0;
      REQUIRE(cublasSgemmStridedBatched(cublas.handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, &one,
                                        device_a.data(), n, n * n, device_b.data(), n, n * n, &zero,
                                        device_c.data(), n, n * n, batch) == CUBLAS_STATUS_SUCCESS);
      cudaMemcpyAsync(c.data(), device_c.data(), c.size() * sizeof(float), cudaMemcpyDeviceToHost,
                      compute.stream);
      REQUIRE(cudaStreamSynchronize(compute.stream) == cudaSuccess);
      REQUIRE(cudaEventDestroy(uploaded) == cudaSuccess);
      for (int matrix = 0; matrix < batch; ++matrix) {
        for (int i = 0; i < n; ++i) {
          for (int j = 0; j < n; ++j) {
            float sum = 0;
            for (int p = 0; p < n; ++p) sum += a[matrix * n * n + i + p * n] * b[matrix * n * n + p + j * n];
            REQUIRE(c[matrix * n * n + i + j * n] == sum);
          }
        }
      }
    }
  }
}
