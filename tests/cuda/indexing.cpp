#include "kernels/indexing.h"

#include <miniparallel/random.h>

#include "compare.h"
#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "kernels/cuda/device/check.h"
#include "kernels/cuda/device/sort.h"
#include "simulated.h"
#include "tests/support/error_of.h"

#include <functional>
#include <initializer_list>

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

/// The gradient of a table for indices of its rows, of random gradients.
Tensor embedding_gradient(const Tensor& indices, std::int64_t rows, std::int64_t width, DType dtype,
                          Device device, std::int64_t padding = -1) {
  manual_seed(1);
  const Tensor g = randn({indices.numel(), width}, {.dtype = dtype}).to(device);
  const Tensor table = zeros({rows, width}, {.dtype = dtype, .device = device}).requires_grad_();
  embedding(table, indices.to(device), padding).backward(g);
  return table.grad().cpu();
}

/// Rows are added in float64 and in the order of the indices on both devices, so to the bit.
void check_exact(const Tensor& indices, std::int64_t rows, std::int64_t width, std::int64_t padding = -1) {
  INFO(indices.numel(), " indices of ", rows, " rows of ", width);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    CHECK(bit_equal({embedding_gradient(indices, rows, width, dtype, gpu, padding)},
                    {embedding_gradient(indices, rows, width, dtype, Device::cpu(), padding)}));
}

TEST_CASE("the gradient of an embedding is exact, however often rows repeat") {
  for (const std::uint64_t seed : {0u, 3u}) {
    simulator::Machine one = simulator::machine_with(1);
    one.seed = seed;
    const Simulated machine(one);
    manual_seed(2);
    for (const std::int64_t count : {1, 2, 33, 255, 256, 257, 1100})
      for (const std::int64_t rows : {1, 7, 100'000}) check_exact(randint(0, rows, {count}), rows, 3);
    check_exact(arange(300), 300, 33);
    check_exact(arange(299, -1, -1), 300, 70);
    check_exact(randint(0, 9, {600}).to(int32), 9, 5);
    check_exact(randint(0, 9, {600}), 9, 5, 4);
    check_exact(randint(0, 9, {600}).to(int32), 9, 5, 4);
    check_exact(full({700}, 1, {.dtype = int64}), 3, 5);
    check_exact(full({40}, 2, {.dtype = int64}), 3, 5, 2);
    check_exact(zeros({0}, {.dtype = int64}), 3, 5);
  }
}

TEST_CASE("more indices than are sorted at once: a sort for each 2^20 of them, one sum all the same") {
  const Simulated machine;
  manual_seed(3);
  const Tensor indices = randint(0, 500, {kernels::kMaxScatter + 300}).to(int32);
  const auto before = simulator::counters();
  const Tensor got = embedding_gradient(indices, 500, 1, float32, gpu, 7);
  CHECK((simulator::counters() - before).library_calls == 2);
  CHECK(bit_equal({got}, {embedding_gradient(indices, 500, 1, float32, Device::cpu(), 7)}));
  CHECK(bit_equal({embedding_gradient(indices, 500, 1, bfloat16, gpu)},
                  {embedding_gradient(indices, 500, 1, bfloat16, Device::cpu())}));
}

TEST_CASE("a gradient of 16 bits is added to that of another place") {
  const Simulated machine;
  manual_seed(5);
  const Tensor first = randint(0, 3, {50}), second = randint(0, 3, {50});
  for (const DType dtype : {float16, bfloat16})
    check_like_cpu(
        [&](const Tensors& x) {
          const auto at = [&](const Tensor& indices) { return embedding(x[0], indices.to(x[0].device())); };
          return at(first) + at(second);
        },
        {random_leaf({3, 4}, dtype)}, gpu, 2);
}

TEST_CASE("a step that sorts neither allocates nor waits") {
  const Simulated machine;
  const Tensor table = zeros({40, 3}, {.device = gpu}).requires_grad_();
  const Tensor indices = randint(0, 40, {500}).to(gpu), g = ones({500, 3}, {.device = gpu});
  for (int step = 0; step < 4; ++step) {
    const auto before = simulator::counters();
    embedding(table, indices).backward(g);
    table.set_grad({});
    const auto work = simulator::counters() - before;
    synchronize(gpu);  // as a GPU would have done by the next step
    if (step < 2) continue;
    CHECK(work.library_calls == 1);
    CHECK(work.allocations == 0);
    CHECK(work.host_synchronizations == 0);
  }
}

TEST_CASE("a sort for which the memory does not suffice names what it lacks") {
  const Simulated machine;
  const Tensor keys = arange(1 << 14, {.device = gpu}),
               scratch = zeros({1 << 13}, {.dtype = int64, .device = gpu});
  CHECK_THROWS_WITH_AS(kernels::cuda::sort_keys(reinterpret_cast<std::uint64_t*>(raw(keys)), keys.numel(),
                                                raw(scratch), 1 << 16, stream(gpu)),
                       doctest::Contains("bytes of temporary memory, but 65536 are left"), Error);
}

TEST_CASE("a sort that fails is an error of CUDA's") {
  const Simulated machine;
  const Tensor table = zeros({4, 3}, {.device = gpu}).requires_grad_();
  const Tensor y = embedding(table, tensor({1, 2}).to(gpu));
  simulator::fail_library_call("thrust::sort", 1);
  CHECK_THROWS_WITH_AS(y.backward(ones_like(y)), doctest::Contains("thrust::sort failed on device 0"),
                       cuda::CudaError);
}

TEST_CASE("the gradient of index_select along every dimension") {
  const Simulated machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const int dim : {0, 1, 2}) {
      const auto select = [dim](const Tensors& x) {
        return index_select(x[0], dim, tensor({2, 0, 2, 2, 1, 0}).to(x[0].device()));
      };
      check_like_cpu(select, {random_leaf({3, 4, 37}, dtype)}, gpu);
      check_like_cpu(select, {random_leaf({35, 3, 4}, dtype)}, gpu);
    }
}

TEST_CASE("a bad index is reported, and the others are added") {
  const Simulated machine;
  const Tensor x = zeros({3, 2}, {.device = gpu}).requires_grad_();
  const Tensor y = index_select(x, 0, tensor({2, 5, 2}).to(gpu));
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("index_select: index 5 is out of range"), Error);
  y.backward(ones_like(y));
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("index_select: index 5 is out of range"), Error);
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 0, 0, 0, 2, 2});
  (void)take_along_dim(x, tensor({{0, 2}}).to(gpu), 1);
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("take_along_dim: index 2 is out of range"), Error);
}

TEST_CASE("an index into nothing is told so") {
  const Simulated machine;
  const Tensor index = zeros({1}, {.dtype = int64, .device = gpu});
  for (const auto& read : std::initializer_list<std::function<void()>>{
           [&] { index_select(zeros({0, 2}, {.device = gpu}), 0, index); },
           [&] { gather(zeros({0}, {.device = gpu}), 0, index); }}) {
    read();
    CHECK_THROWS_WITH_AS(
        synchronize(gpu),
        doctest::Contains("index 0 is out of range; the indexed dimension is empty (found by "
                          "cuda:0 after the call had returned)"),
        Error);
  }
}

TEST_CASE("numbers and weights of bincount must be on one device") {
  const Simulated machine;
  CHECK_THROWS_WITH_AS(bincount(tensor({0, 1}), ones({2}, {.device = gpu})),
                       "bincount: tensors are on cpu and on cuda:0; bring them together with to(device)",
                       Error);
}

TEST_CASE("bags of rows: sums, weighted sums and gradients as on the CPU; a bad index is told") {
  const Simulated machine;
  manual_seed(7);
  for (const DType dtype : {float32, float64})
    for (const std::int64_t width : {1, 32, 70}) {
      const Tensor table = randn({9, width}, dtype).requires_grad_();
      const Tensor index = randint(0, 9, {40}), factors = randn({40}, dtype).requires_grad_();
      const Tensor offsets = tensor({0, 0, 1, 3, 3, 8, 20});
      const auto bags = [&](const Tensors& x, const Tensor& each, const Tensor& first, std::int64_t padding) {
        return embedding_bag(x[0], each.to(x[0].device()), first.defined() ? first.to(x[0].device()) : first,
                             {.mode = BagMode::sum,
                              .padding_idx = padding,
                              .per_sample_weights = x.size() > 1 ? x[1].view(each.shape()) : Tensor()});
      };
      check_like_cpu([&](const Tensors& x) { return bags(x, index, offsets, 2); }, {table, factors}, gpu);
      check_like_cpu([&](const Tensors& x) { return bags(x, index.to(int32), offsets, -1); }, {table}, gpu);
      check_like_cpu([&](const Tensors& x) { return bags(x, index.view({8, 5}), {}, -1); }, {table, factors},
                     gpu);
      check_like_cpu(
          [&](const Tensors& x) { return embedding_bag(x[0], index.view({8, 5}).to(x[0].device())); },
          {table}, gpu);
    }
  CHECK(equal(embedding_bag(ones({3, 2}, gpu), zeros({2, 0}, {.dtype = int64, .device = gpu})).cpu(),
              zeros({2, 2})));
  const Tensor bad = tensor({{0, 3}}).to(gpu);
  CHECK(error_of([&] {
          (void)embedding_bag(ones({3, 2}, gpu), bad);
          synchronize(gpu);
        }).find("embedding_bag: index 3") != std::string::npos);
}

}  // namespace
}  // namespace miniparallel::testing
