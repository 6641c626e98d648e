#include <miniparallel/cuda.h>
#include <miniparallel/memory.h>
#include <miniparallel/random.h>

#include "compare.h"
#include "engine/tensor/tensor_impl.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "simulated.h"

#include <algorithm>

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

Tensor product(const Tensors& x) { return matmul(x[0], x[1]); }
Tensor product_with_bias(const Tensors& x) { return linear(x[0], x[1], x[2]); }

TEST_CASE("products over awkward shapes, of transposed and broadcast matrices") {
  const Simulated machine;
  manual_seed(1);
  for (const DType dtype : {float32, float64, bfloat16, float16}) {
    for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{1, 1}, {1, 1}},
                                                                   {{3, 1}, {1, 5}},
                                                                   {{1, 70}, {70, 1}},
                                                                   {{33, 65}, {65, 17}},
                                                                   {{4, 0}, {0, 3}},
                                                                   {{0, 4}, {4, 3}},
                                                                   {{5, 3, 4}, {5, 4, 2}},
                                                                   {{2, 1, 3, 4}, {3, 4, 2}},
                                                                   {{3, 4}, {2, 2, 4, 5}}}) {
      INFO(to_string(a), " times ", to_string(b));
      const Tensors x{random_leaf(a, dtype), random_leaf(b, dtype)};
      check_like_cpu(product, x, gpu);
    }
    const auto transposed = [](const Tensors& x) { return matmul(x[0].t(), x[1].t()); };
    check_like_cpu(transposed, {random_leaf({7, 9}, dtype), random_leaf({4, 7}, dtype)}, gpu);
    const auto cut = [](const Tensors& x) { return matmul(x[0].slice(1, 1, 6), x[1].slice(1, 2, 5)); };
    check_like_cpu(cut, {random_leaf({7, 9}, dtype), random_leaf({5, 8}, dtype)}, gpu);
  }
}

TEST_CASE("products with a bias, in one call, of memory that is aligned and that is not") {
  const Simulated machine;
  manual_seed(2);
  for (const DType dtype : {float32, float64}) {
    for (const auto& [rows, inner, columns] : std::vector<std::array<std::int64_t, 3>>{
             {1, 1, 1}, {5, 3, 2}, {64, 64, 64}, {33, 70, 129}, {4, 0, 3}}) {
      INFO(rows, " rows, ", inner, " inner, ", columns, " columns");
      const Tensors x{random_leaf({rows, inner}, dtype), random_leaf({columns, inner}, dtype),
                      random_leaf({columns}, dtype)};
      check_like_cpu(product_with_bias, x, gpu);
    }
    const auto odd = [](const Tensors& x) {
      return linear(x[0].slice(0, 1, 4), x[1].slice(0, 1, 8), x[2].slice(0, 3, 10));
    };
    check_like_cpu(odd, {random_leaf({4, 5}, dtype), random_leaf({8, 5}, dtype), random_leaf({10}, dtype)},
                   gpu);
  }
  Tensors x;
  for (const Shape& shape : std::vector<Shape>{{5, 3}, {2, 3}, {2}})
    x.push_back(ones(shape, {.device = gpu}));
  product_with_bias(x);
  const auto before = simulator::counters();
  const Tensor y = product_with_bias(x);
  const auto call = simulator::counters() - before;
  CHECK(call.library_calls == 1);
  CHECK(call.kernels == 0);
  CHECK(call.host_synchronizations == 0);
  CHECK(y.to_vector<float>() == std::vector<float>(10, 4));
}

TEST_CASE("products with an activation: one call where cuBLASLt has it, else a pass after it") {
  const Simulated machine;
  manual_seed(5);
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh})
    for (const bool with_bias : {true, false})
      for (const bool records : {true, false})
        for (const DType dtype : {float32, float64})
          for (const auto& [rows, inner, columns] : std::vector<std::array<std::int64_t, 3>>{
                   {1, 1, 1}, {5, 3, 8}, {33, 70, 64}, {33, 70, 129}, {4, 0, 3}, {4, 0, 8}}) {
            INFO(static_cast<int>(activation), " ", dtype, ", ", rows, " rows, ", inner, " inner, ", columns,
                 " columns, bias: ", with_bias, ", records: ", records);
            const auto product = [=](const Tensors& x) {
              return linear(x[0], x[1], with_bias ? x[2] : Tensor(), activation);
            };
            Tensors x{random_leaf({rows, inner}, dtype), random_leaf({columns, inner}, dtype),
                      random_leaf({columns}, dtype)};
            if (!records)
              for (Tensor& leaf : x) leaf = leaf.detach();
            check_like_cpu(product, x, gpu);
            for (Tensor& leaf : x) leaf = leaf.detach().to(gpu).requires_grad_(records);
            const auto before = simulator::counters();
            product(x);
            const auto call = simulator::counters() - before;
            const bool keeps = records && activation == Activation::gelu_tanh;
            const bool inexact = dtype == float64 && activation == Activation::gelu_tanh;
            const std::int64_t passes = inner == 0                               ? 1 + with_bias
                                        : inexact || (keeps && columns % 8 != 0) ? 1
                                                                                 : 0;
            CHECK(call.library_calls == 1);
            CHECK(call.kernels == passes);
          }
}

TEST_CASE("back through an activation and the bias in one pass, with the numbers of two") {
  const Simulated machine;
  manual_seed(6);
  for (const Activation activation : {Activation::relu, Activation::gelu_tanh})
    for (const DType dtype : {float32, float64})
      for (const auto& [rows, columns] : std::vector<std::array<std::int64_t, 2>>{
               {1, 1}, {0, 40}, {7, 5}, {33, 40}, {9, 64}, {3000, 40}, {20000, 3}}) {
        INFO(static_cast<int>(activation), " ", dtype, ", ", rows, " rows, ", columns, " columns");
        const auto leaf = [&](const Shape& shape) { return random_leaf(shape, dtype).detach().to(gpu); };
        const Tensor x = leaf({rows, 6}), g = leaf({rows, columns});
        const Tensors parameters{leaf({columns, 6}), leaf({columns})};
        const auto gradients = [&](bool fused, const Tensors& p) {
          const Activation end = fused ? activation : Activation::none;
          Tensor y = linear(x, p[0], p[1], end);
          if (!fused) y = activation == Activation::relu ? relu(y) : gelu(y, Gelu::tanh);
          const auto before = simulator::counters();
          const Tensors of = autograd::grad({y}, p, {.gradients = {g}});
          return std::pair(of, (simulator::counters() - before).kernels);
        };
        for (Tensor p : parameters) p.requires_grad_();
        const auto [fused, launches] = gradients(true, parameters);
        const auto [plain, of_plain] = gradients(false, parameters);
        for (std::size_t i = 0; i < 2; ++i) CHECK(equal(fused[i].cpu(), plain[i].cpu()));
        CHECK(launches == of_plain - (rows > 0 ? 1 : 0));
      }
}

/// The launcher itself, which takes batches with a bias too.
TEST_CASE("a batch of products with one bias") {
  const Simulated machine;
  manual_seed(3);
  for (const DType dtype : {float32, float64})
    for (const std::int64_t inner : {5, 0}) {
      Tensor c[2];
      for (const bool on_gpu : {false, true}) {
        manual_seed(4);
        const Device device = on_gpu ? gpu : Device::cpu();
        const auto made = [&](const Shape& shape) { return randn(shape, {.dtype = dtype}).to(device); };
        const Tensor a = made({2, 3, 4, inner}), b = made({3, inner, 6}), bias = made({6});
        c[on_gpu] = made({2, 3, 4, 6});
        kernels::MatmulArgs args;
        args.rows = 4, args.columns = 6, args.inner = inner;
        args.a = {raw(a), std::max<std::int64_t>(inner, 1), false};
        args.b = {raw(b), 6, false};
        args.c = raw(c[on_gpu]);
        args.c_stride = 6;
        args.bias = raw(bias);
        args.batch = kernels::make_layout({2, 3}, {{72, 24}, {12 * inner, 4 * inner}, {0, 6 * inner}});
        const auto& backend = on_gpu ? kernels::cuda_backend() : kernels::cpu_backend();
        backend.matmul.multiply(dtype, args, stream(device));
      }
      check_close(c[1].cpu(), c[0]);
    }
}

TEST_CASE("float32 products are exact float32, and TF32 only where it is allowed") {
  const Simulated machine;
  const Tensor x = full({2, 3}, 1 + 1.0 / 4096), w = ones({2, 3}), bias = zeros({2});
  const auto products = [&](Device device) {
    const Tensors in{x.to(device), w.to(device), bias.to(device)};
    return cat({product_with_bias(in), matmul(in[0], in[1].t())}).to_vector<float>();
  };
  const std::vector<float> exact(8, 3 + 3.0f / 4096), rounded(8, 3);
  CHECK(!allow_tf32());
  CHECK(products(gpu) == exact);
  set_allow_tf32(true);
  CHECK(allow_tf32());
  CHECK(products(gpu) == rounded);
  CHECK(products(Device::cpu()) == exact);
  set_allow_tf32(false);
  CHECK(products(gpu) == exact);
}

TEST_CASE("a product that cuBLASLt fails to make is named") {
  const Simulated machine;
  Tensors x;
  for (const Shape& shape : std::vector<Shape>{{5, 3}, {2, 3}, {2}})
    x.push_back(ones(shape, {.device = gpu}));
  simulator::fail_library_call("cublasLtMatmul", 1);
  CHECK_THROWS_WITH_AS(product_with_bias(x),
                       doctest::Contains("cublasLtMatmul failed on device 0: CUBLAS_STATUS_EXECUTION_FAILED"),
                       Error);
  CHECK(product_with_bias(x).to_vector<float>() == std::vector<float>(10, 4));
}

TEST_CASE("products of 16-bit matrices, forward and back, make no float32 copies") {
  const Simulated machine;
  constexpr std::int64_t n = 128, matrix = 2 * n * n;
  const auto leaf = [] { return randn({n, n}, {.dtype = bfloat16, .device = gpu}).requires_grad_(); };
  const Tensor x = leaf(), weight = leaf(), g = randn({n, n}, {.dtype = bfloat16, .device = gpu});
  matmul(x, weight).backward(g);  // the workspace, and what else is made once
  for (const Tensor& tensor : {x, weight}) tensor.set_grad({});
  reset_peak_memory(gpu);
  const std::int64_t before = memory_stats(gpu).used;
  matmul(x, weight).backward(g);
  CHECK(memory_stats(gpu).peak - before <= 3 * matrix);  // the product and two gradients
}

}  // namespace
}  // namespace miniparallel::testing
