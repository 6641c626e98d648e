// cuBLASLt on simulated devices: every epilogue against loops in double, orders, batches, refusals.
#include "libraries_device.h"
#include "libraries_support.h"

#include <cublasLt.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <numbers>
#include <vector>

using namespace miniparallel::simulator;
using namespace miniparallel::simulator::testing;

namespace {

/// A matmul's descriptors, made of what the test says and destroyed with it.
struct Lt {
  explicit Lt(cublasComputeType_t compute = CUBLAS_COMPUTE_32F, cudaDataType_t scale = CUDA_R_32F) {
    REQUIRE(cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulDescCreate(&desc, compute, scale) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasLtMatmulPreferenceCreate(&preference) == CUBLAS_STATUS_SUCCESS);
  }
  ~Lt() {
    for (auto layout : {a, b, c, d}) cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulPreferenceDestroy(preference);
    cublasLtMatmulDescDestroy(desc);
    cublasLtDestroy(handle);
  }
  Lt(const Lt&) = delete;
  Lt& operator=(const Lt&) = delete;

  template <class T>
  void set(cublasLtMatmulDescAttributes_t id, T value) const {
    REQUIRE(cublasLtMatmulDescSetAttribute(desc, id, &value, sizeof(value)) == CUBLAS_STATUS_SUCCESS);
  }
  template <class T>
  static void set(cublasLtMatrixLayout_t layout, cublasLtMatrixLayoutAttribute_t id, T value) {
    REQUIRE(cublasLtMatrixLayoutSetAttribute(layout, id, &value, sizeof(value)) == CUBLAS_STATUS_SUCCESS);
  }
  template <class T>
  static cublasLtMatrixLayout_t layout(const HostMatrix<T>& matrix) {
    cublasLtMatrixLayout_t made = nullptr;
    REQUIRE(cublasLtMatrixLayoutCreate(&made, type_of<T>, static_cast<std::uint64_t>(matrix.rows),
                                       static_cast<std::uint64_t>(matrix.cols),
                                       matrix.ld) == CUBLAS_STATUS_SUCCESS);
    if (matrix.row_major) set(made, CUBLASLT_MATRIX_LAYOUT_ORDER, std::int32_t{CUBLASLT_ORDER_ROW});
    if (matrix.batch > 1) {
      set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(matrix.batch));
      set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, matrix.stride());
    }
    return made;
  }
  void epilogue(cublasLtEpilogue_t kind, const void* bias = nullptr, const void* aux = nullptr,
                std::int64_t aux_ld = 0) const {
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, kind);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, aux_ld);
  }

  cublasStatus_t heuristic() const {
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    return cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, c, d, preference, 1, &result, &found);
  }
  /// With the heuristic's algorithm where there is one.
  template <class Scale>
  cublasStatus_t run(Scale alpha, const void* at_a, const void* at_b, Scale beta, const void* at_c,
                     void* at_d) const {
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    cublasLtMatmulAlgoGetHeuristic(handle, desc, a, b, c, d, preference, 1, &result, &found);
    return cublasLtMatmul(handle, desc, &alpha, at_a, a, at_b, b, &beta, at_c, c, at_d, d,
                          found == 1 ? &result.algo : nullptr, nullptr, 0, nullptr);
  }

  cublasLtHandle_t handle = nullptr;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatmulPreference_t preference = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr, d = nullptr;
};

double gelu(double x) {
  return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}

/// The slope of gelu, from its values.
double gelu_slope(double x) { return (gelu(x + 1e-5) - gelu(x - 1e-5)) / 2e-5; }

template <class T>
constexpr double tolerance = std::is_same_v<T, double>          ? 1e-8
                             : std::is_same_v<T, float>         ? 1e-5
                             : std::is_same_v<T, __half>        ? 2e-3
                             : std::is_same_v<T, __nv_bfloat16> ? 1.6e-2
                                                                : 0;

template <class T>
bool near(double expected, T got) {
  return std::abs(expected - convert<double>(got)) <= tolerance<T> * (1 + std::abs(expected));
}

/// A 10 x 6 product of two batches with everything that epilogues read and write.
template <class T>
struct EpilogueTest {
  static constexpr std::int64_t m = 10, n = 6, k = 4, batch = 2;
  using Scale = std::conditional_t<std::is_same_v<T, double>, double, float>;

  HostMatrix<T> a = HostMatrix<T>(m, k, 1, false, batch).fill(1),
                b = HostMatrix<T>(n, k, 0, false, batch).fill(2),
                c = HostMatrix<T>(m, n, 2, false, batch).fill(3), d = HostMatrix<T>(m, n, 0, false, batch);
  HostMatrix<T> bias = HostMatrix<T>(m, 1, 6, false, batch).fill(4);    // stride 16
  HostMatrix<T> inputs = HostMatrix<T>(m, n, 6, false, batch).fill(5);  // GELU's, leading dimension 16
  std::vector<std::uint8_t> bits =
      std::vector<std::uint8_t>(batch * n * 16, 0xA5);  // ReLU's, leading dimension 128
  static constexpr float alpha = 0.5f, beta = -1;

  TestMachine machine{1};
  Lt lt{std::is_same_v<T, double> ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F,
        std::is_same_v<T, double> ? CUDA_R_64F : CUDA_R_32F};
  DeviceBuffer<T> device_a{a.data}, device_b{b.data}, device_c{c.data}, device_d{d.data.size()},
      device_bias{bias.data}, device_inputs{inputs.data};
  DeviceBuffer<std::uint8_t> device_bits{bits};

  void run(cublasLtEpilogue_t kind, bool uses_bits = false) {
    lt.a = Lt::layout(a), lt.b = Lt::layout(b), lt.c = Lt::layout(c), lt.d = Lt::layout(d);
    lt.set(CUBLASLT_MATMUL_DESC_TRANSB, std::int32_t{CUBLAS_OP_T});
    lt.epilogue(kind, device_bias.data(),
                uses_bits ? static_cast<void*>(device_bits.data()) : device_inputs.data(),
                uses_bits ? 128 : 16);
    lt.set(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, std::int64_t{16});
    lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE, uses_bits ? n * 128 : n * 16);
    REQUIRE(lt.heuristic() == CUBLAS_STATUS_SUCCESS);
    REQUIRE(lt.run<Scale>(alpha, device_a.data(), device_b.data(), beta, device_c.data(), device_d.data()) ==
            CUBLAS_STATUS_SUCCESS);
    d.data = device_d.download();
    bias.data = device_bias.download();
    inputs.data = device_inputs.download();
    bits = device_bits.download();
  }

  double sum(std::int64_t i, std::int64_t j, std::int64_t index) const {
    return reference(
        k, alpha, [&](auto p) { return a.value(i, p, index); }, [&](auto p) { return b.value(j, p, index); },
        beta, [&] { return c.value(i, j, index); });
  }
  bool bit(std::int64_t i, std::int64_t j, std::int64_t index) const {
    return (bits[static_cast<std::size_t>((index * n + j) * 16 + i / 8)] >> (i % 8) & 1) != 0;
  }
  template <class F>
  void for_each(F&& f) const {
    for (std::int64_t index = 0; index < batch; ++index) {
      for (std::int64_t j = 0; j < n; ++j) {
        for (std::int64_t i = 0; i < m; ++i) f(i, j, index);
      }
    }
  }
  template <class F>
  void check_d(F&& expected) const {
    for_each([&](auto i, auto j, auto index) {
      REQUIRE(near(expected(i, j, index), d.data[static_cast<std::size_t>(d.at(i, j, index))]));
    });
  }
  /// Row sums of `value`.
  template <class F>
  void check_bias(std::int64_t columns, F&& value) const {
    for (std::int64_t index = 0; index < batch; ++index) {
      for (std::int64_t i = 0; i < m; ++i) {
        double total = 0;
        for (std::int64_t j = 0; j < columns; ++j) total += value(i, j, index);
        REQUIRE(near(total, bias.data[static_cast<std::size_t>(bias.at(i, 0, index))]));
      }
    }
  }
};

#define EVERY_TYPE float, double, __half, __nv_bfloat16

}  // namespace

TEST_CASE_TEMPLATE("libraries: cublasLtMatmul without an epilogue, C apart from D", T, EVERY_TYPE) {
  EpilogueTest<T> test;
  test.run(CUBLASLT_EPILOGUE_DEFAULT);
  test.check_d([&](auto i, auto j, auto index) { return test.sum(i, j, index); });
}

TEST_CASE_TEMPLATE("libraries: epilogues with bias and ReLU", T, EVERY_TYPE) {
  for (const auto kind : {CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_RELU, CUBLASLT_EPILOGUE_RELU_BIAS,
                          CUBLASLT_EPILOGUE_RELU_AUX, CUBLASLT_EPILOGUE_RELU_AUX_BIAS}) {
    INFO("epilogue " << kind);
    EpilogueTest<T> test;
    const auto before = test.bias;
    test.run(kind, true);
    const auto input = [&](auto i, auto j, auto index) {
      return test.sum(i, j, index) + ((kind & CUBLASLT_EPILOGUE_BIAS) != 0 ? before.value(i, 0, index) : 0);
    };
    test.check_d([&](auto i, auto j, auto index) {
      return (kind & CUBLASLT_EPILOGUE_RELU) != 0 ? std::max(0.0, input(i, j, index)) : input(i, j, index);
    });
    if ((kind & 128) == 0) continue;
    test.for_each(
        [&](auto i, auto j, auto index) { REQUIRE(test.bit(i, j, index) == (input(i, j, index) >= 0)); });
    CHECK((test.bits[1] & 0xFC) == (0xA5 & 0xFC));  // bits past the last row stay
    CHECK(test.bits[2] == 0xA5);
  }
}

TEST_CASE_TEMPLATE("libraries: epilogues with GELU", T, EVERY_TYPE) {
  for (const auto kind : {CUBLASLT_EPILOGUE_GELU, CUBLASLT_EPILOGUE_GELU_BIAS, CUBLASLT_EPILOGUE_GELU_AUX,
                          CUBLASLT_EPILOGUE_GELU_AUX_BIAS}) {
    INFO("epilogue " << kind);
    EpilogueTest<T> test;
    const auto bias = test.bias;
    test.run(kind);
    const auto input = [&](auto i, auto j, auto index) {
      return test.sum(i, j, index) + ((kind & CUBLASLT_EPILOGUE_BIAS) != 0 ? bias.value(i, 0, index) : 0);
    };
    test.check_d([&](auto i, auto j, auto index) { return gelu(input(i, j, index)); });
    if ((kind & 128) == 0) continue;
    test.for_each(
        [&](auto i, auto j, auto index) { REQUIRE(test.inputs.value(i, j, index) == input(i, j, index)); });
  }
}

TEST_CASE_TEMPLATE("libraries: epilogues of the backward pass", T, EVERY_TYPE) {
  for (const auto kind : {CUBLASLT_EPILOGUE_DRELU, CUBLASLT_EPILOGUE_DRELU_BGRAD, CUBLASLT_EPILOGUE_DGELU,
                          CUBLASLT_EPILOGUE_DGELU_BGRAD}) {
    INFO("epilogue " << kind);
    EpilogueTest<T> test;
    const bool relu = (kind & 8) != 0;
    const auto before = test.bias;
    test.run(kind, relu);
    const auto gradient = [&](auto i, auto j, auto index) {
      const double slope =
          relu ? (test.bit(i, j, index) ? 1.0 : 0.0) : gelu_slope(test.inputs.value(i, j, index));
      return slope * test.sum(i, j, index);
    };
    test.check_d(gradient);
    if ((kind & 16) != 0) {
      test.check_bias(test.n, gradient);
    } else {
      test.check_bias(1, [&](auto i, auto, auto index) { return before.value(i, 0, index); });
    }
  }
}

TEST_CASE_TEMPLATE("libraries: epilogues that sum A or B over k, not scaled", T, EVERY_TYPE) {
  {
    EpilogueTest<T> test;
    test.run(CUBLASLT_EPILOGUE_BGRADA);
    test.check_d([&](auto i, auto j, auto index) { return test.sum(i, j, index); });
    test.check_bias(test.k, [&](auto i, auto p, auto index) { return test.a.value(i, p, index); });
  }
  EpilogueTest<T> test;
  test.run(CUBLASLT_EPILOGUE_BGRADB);
  for (std::int64_t index = 0; index < 2; ++index) {
    for (std::int64_t j = 0; j < test.n; ++j) {
      double total = 0;
      for (std::int64_t p = 0; p < test.k; ++p) total += test.b.value(j, p, index);
      CHECK(test.bias.value(j, 0, index) == total);
    }
  }
}

TEST_CASE("libraries: row-major and column-major matrices mix") {
  const TestMachine machine(1);
  for (int orders = 0; orders < 8; ++orders) {
    INFO("orders " << orders);
    Lt lt;
    const auto a = HostMatrix<float>(3, 4, 1, (orders & 1) != 0).fill(1);
    const auto b = HostMatrix<float>(4, 5, 0, (orders & 2) != 0).fill(2);
    HostMatrix<float> d(3, 5, 2, (orders & 4) != 0);
    lt.a = Lt::layout(a), lt.b = Lt::layout(b), lt.d = Lt::layout(d);  // no layout for C: it is D's
    const DeviceBuffer<float> device_a(a.data), device_b(b.data), device_d(d.data);
    REQUIRE(lt.run(1.f, device_a.data(), device_b.data(), 0.f, device_d.data(), device_d.data()) ==
            CUBLAS_STATUS_SUCCESS);
    d.data = device_d.download();
    for (std::int64_t i = 0; i < 3; ++i) {
      for (std::int64_t j = 0; j < 5; ++j) {
        CHECK(d.value(i, j) == reference(
                                   4, 1, [&](auto p) { return a.value(i, p); },
                                   [&](auto p) { return b.value(p, j); }, 0, [] { return 0.0; }));
      }
    }
  }
}

TEST_CASE("libraries: a leading dimension of 0 repeats one column of C") {
  const TestMachine machine(1);
  Lt lt;
  const auto a = HostMatrix<float>(3, 4).fill(1), b = HostMatrix<float>(4, 2).fill(2);
  auto c = HostMatrix<float>(3, 2);
  HostMatrix<float> d(3, 2);
  c.ld = 0;
  lt.a = Lt::layout(a), lt.b = Lt::layout(b), lt.c = Lt::layout(c), lt.d = Lt::layout(d);
  const DeviceBuffer<float> device_a(a.data), device_b(b.data), device_c(std::vector<float>{10, 20, 30}),
      device_d(std::size_t{6});
  REQUIRE(lt.run(0.f, device_a.data(), device_b.data(), 1.f, device_c.data(), device_d.data()) ==
          CUBLAS_STATUS_SUCCESS);
  CHECK(device_d.download() == std::vector<float>{10, 20, 30, 10, 20, 30});
}

TEST_CASE("libraries: cuBLASLt takes factors from device memory when it runs") {
  const TestMachine machine(1);
  Lt lt;
  const HostMatrix<float> one(1, 1);
  lt.a = Lt::layout(one), lt.b = Lt::layout(one), lt.d = Lt::layout(one);
  lt.set(CUBLASLT_MATMUL_DESC_POINTER_MODE, std::int32_t{CUBLASLT_POINTER_MODE_DEVICE});
  const DeviceBuffer<float> x(std::vector<float>{3}), factors(std::vector<float>{0.5f, 0}), d(std::size_t{1});
  REQUIRE(cublasLtMatmul(lt.handle, lt.desc, factors.data(), x.data(), lt.a, x.data(), lt.b,
                         factors.data() + 1, nullptr, lt.c, d.data(), lt.d, nullptr, nullptr, 0,
                         nullptr) == CUBLAS_STATUS_SUCCESS);
  CHECK(d.download() == std::vector<float>{4.5f});
}

TEST_CASE("libraries: cuBLASLt's descriptors keep their attributes and refuse wrong sizes") {
  const TestMachine machine(1);
  const Lt lt;
  std::int32_t small = 0;
  std::int64_t large = -1;
  std::size_t written = 0;
  CHECK(cublasLtMatmulDescGetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &small, 4, &written) ==
        CUBLAS_STATUS_SUCCESS);
  CHECK(small == CUBLASLT_EPILOGUE_DEFAULT);
  CHECK(written == 4);
  CHECK(cublasLtMatmulDescGetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, nullptr, 0, &written) ==
        CUBLAS_STATUS_SUCCESS);
  CHECK(written == 8);
  CHECK(cublasLtMatmulDescGetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, nullptr, 0, nullptr) ==
        CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatmulDescGetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &small, 4, &written) ==
        CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatmulDescSetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &small, 4) ==
        CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatmulDescSetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, nullptr, 8) ==
        CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatmulDescSetAttribute(lt.desc, static_cast<cublasLtMatmulDescAttributes_t>(60), &small, 4) ==
        CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatmulDescGetAttribute(lt.desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, &small, 4,
                                       &written) == CUBLAS_STATUS_SUCCESS);
  CHECK(small == -1);
  CHECK(cublasLtMatmulPreferenceGetAttribute(lt.preference, CUBLASLT_MATMUL_PREF_IMPL_MASK, &large, 8,
                                             &written) == CUBLAS_STATUS_SUCCESS);
  CHECK(large == -1);
  cublasLtMatrixLayoutOpaque_t in_place;
  CHECK(cublasLtMatrixLayoutInit(&in_place, CUDA_R_16F, 3, 4, 5) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasLtMatrixLayoutGetAttribute(&in_place, CUBLASLT_MATRIX_LAYOUT_LD, &large, 8, &written) ==
        CUBLAS_STATUS_SUCCESS);
  CHECK(large == 5);
  CHECK(cublasLtMatrixLayoutCreate(nullptr, CUDA_R_32F, 1, 1, 1) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasLtMatrixLayoutDestroy(nullptr) == CUBLAS_STATUS_SUCCESS);
  CHECK(cublasLtGetVersion() == CUBLAS_VERSION);
}

TEST_CASE("libraries: cuBLASLt refuses what does not fit, in the heuristic and in the matmul") {
  const TestMachine machine(1);
  const DeviceBuffer<float> memory(std::vector<float>(4096, 1));
  const auto answer = [&](cublasStatus_t heuristic, cublasStatus_t matmul, auto change) {
    Lt lt;
    HostMatrix<float> a(8, 3), b(3, 4), d(8, 4);
    lt.a = Lt::layout(a), lt.b = Lt::layout(b), lt.c = Lt::layout(d), lt.d = Lt::layout(d);
    change(lt);
    CHECK(lt.heuristic() == heuristic);
    CHECK(lt.run(1.f, memory.data(), memory.data(), 0.f, memory.data() + 1024, memory.data() + 1024) ==
          matmul);
  };
  constexpr auto success = CUBLAS_STATUS_SUCCESS, invalid = CUBLAS_STATUS_INVALID_VALUE,
                 unsupported = CUBLAS_STATUS_NOT_SUPPORTED;
  void* const aux = memory.data() + 2048;
  answer(success, success, [](Lt&) {});
  answer(invalid, invalid, [](Lt& lt) { Lt::set(lt.a, CUBLASLT_MATRIX_LAYOUT_COLS, std::uint64_t{4}); });
  answer(invalid, invalid, [](Lt& lt) { Lt::set(lt.d, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{7}); });
  answer(invalid, invalid,
         [](Lt& lt) { Lt::set(lt.a, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, std::int32_t{2}); });
  answer(invalid, invalid, [](Lt& lt) { lt.set(CUBLASLT_MATMUL_DESC_TRANSA, std::int32_t{9}); });
  answer(unsupported, unsupported,
         [](Lt& lt) { lt.set(CUBLASLT_MATMUL_DESC_TRANSC, std::int32_t{CUBLAS_OP_T}); });
  answer(unsupported, unsupported, [](Lt& lt) { lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE, std::uint32_t{3}); });
  answer(unsupported, unsupported,
         [](Lt& lt) { Lt::set(lt.a, CUBLASLT_MATRIX_LAYOUT_ORDER, std::int32_t{CUBLASLT_ORDER_COL32}); });
  answer(unsupported, unsupported,
         [](Lt& lt) { Lt::set(lt.a, CUBLASLT_MATRIX_LAYOUT_TYPE, std::uint32_t{CUDA_R_16F}); });
  answer(success, unsupported, [](Lt& lt) { lt.set(CUBLASLT_MATMUL_DESC_POINTER_MODE, std::int32_t{2}); });

  answer(invalid, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_RELU_AUX, nullptr, aux, 64); });
  answer(invalid, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_RELU_AUX, nullptr, aux, 0); });
  answer(success, unsupported,
         [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_RELU_AUX, nullptr, nullptr, 128); });
  answer(invalid, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_GELU_AUX, nullptr, aux, 7); });
  answer(invalid, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_GELU_AUX, nullptr, aux, 12); });
  answer(success, unsupported, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_GELU_AUX, nullptr, nullptr, 8); });
  answer(success, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_DGELU, nullptr, nullptr, 8); });
  answer(success, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_DRELU_BGRAD, nullptr, aux, 128); });
  answer(success, invalid, [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_BIAS); });
  answer(invalid, invalid, [&](Lt& lt) {
    lt.epilogue(CUBLASLT_EPILOGUE_GELU_AUX, nullptr, aux, 8);
    lt.set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, std::int32_t{CUDA_R_16F});
  });
  answer(unsupported, unsupported,
         [&](Lt& lt) { lt.epilogue(CUBLASLT_EPILOGUE_BGRADB, aux); });  // B not transposed
}

TEST_CASE("libraries: cuBLASLt refuses NULL, dead handles, unknown algorithms and unaligned workspaces") {
  const TestMachine machine(1);
  Lt lt;
  HostMatrix<float> one(1, 1);
  lt.a = Lt::layout(one), lt.b = Lt::layout(one), lt.d = Lt::layout(one);
  const DeviceBuffer<float> x(std::vector<float>(128, 1));
  const float alpha = 1, beta = 1;
  const auto matmul = [&](cublasLtHandle_t handle, const float* by, const void* a, const void* c,
                          const cublasLtMatmulAlgo_t* algorithm, void* workspace) {
    return cublasLtMatmul(handle, lt.desc, by, a, lt.a, x.data(), lt.b, &beta, c, nullptr, x.data(), lt.d,
                          algorithm, workspace, 0, nullptr);
  };
  const cublasLtMatmulAlgo_t unknown{};
  CHECK(matmul(lt.handle, &alpha, x.data(), x.data(), nullptr, nullptr) == CUBLAS_STATUS_SUCCESS);
  CHECK(matmul(nullptr, &alpha, x.data(), x.data(), nullptr, nullptr) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(matmul(lt.handle, nullptr, x.data(), x.data(), nullptr, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(matmul(lt.handle, &alpha, nullptr, x.data(), nullptr, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(matmul(lt.handle, &alpha, x.data(), nullptr, nullptr, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(matmul(lt.handle, &alpha, x.data(), x.data(), &unknown, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(matmul(lt.handle, &alpha, x.data(), x.data(), nullptr, x.data() + 1) == CUBLAS_STATUS_INVALID_VALUE);
  const CublasHandle cublas;  // stands for a cuBLASLt handle too
  CHECK(matmul(reinterpret_cast<cublasLtHandle_t>(cublas.handle), &alpha, x.data(), x.data(), nullptr,
               nullptr) == CUBLAS_STATUS_SUCCESS);
}
