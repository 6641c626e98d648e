#include "compare.h"
#include "gpus.h"

// Shapes for every branch of the kernels behind cumsum, sort and their like.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

TEST_CASE("cumulated sums and products: lines of many tiles, columns, both directions") {
  const Gpus machine;
  manual_seed(2);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape :
         std::vector<Shape>{{1}, {257}, {2, 700}, {300, 3}, {2, 40, 5}, {0, 3}, {3, 0}}) {
      CAPTURE(shape);
      for (int dim = 0; dim < shape.rank(); ++dim) {
        const Tensor x = (rand(shape, dtype) * 0.1 + 0.95).requires_grad_();
        check_like_cpu([dim](const Tensors& a) { return cumsum(a[0], dim); }, {x}, gpu);
        check_like_cpu([dim](const Tensors& a) { return cumprod(a[0], dim); }, {x}, gpu);
        check_like_cpu([dim](const Tensors& a) { return prod(a[0], {dim}); }, {x}, gpu);
      }
    }
  const Tensor whole = randint(-9, 9, {4, 700});
  for (const int dim : {0, 1}) {
    CHECK(equal(cumsum(whole.to(gpu), dim).cpu(), cumsum(whole, dim)));
    CHECK(equal(cumprod(whole.to(gpu), dim).cpu(), cumprod(whole, dim)));
  }
}

TEST_CASE("cumulated sums and products of 16 bits: each rounded once, however long; their gradients") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float16, bfloat16})
    for (const Shape& shape :
         std::vector<Shape>{{}, {1}, {257}, {2, 700}, {300, 3}, {2, 40, 5}, {0, 3}, {3, 0}, {5000}}) {
      INFO(dtype, ", shape ", to_string(shape));
      for (int dim = 0; dim < std::max(shape.rank(), 1); ++dim) {
        const Tensor x = (rand(shape) * 0.1 + 0.95).to(dtype), exact = x.to(float64);
        check_rounded_once(cumsum(x.to(gpu), dim), cumsum(exact, dim));
        check_rounded_once(cumprod(x.to(gpu), dim), cumprod(exact, dim));
        for (const Function& f :
             std::vector<Function>{[dim](const Tensors& a) { return cumsum(a[0], dim); },
                                   [dim](const Tensors& a) { return cumprod(a[0], dim); }})
          check_like_cpu(f, {x.detach().requires_grad_()}, gpu);
      }
    }
  // Its sums of later factors are infinite in float16, the gradient is not.
  const Tensor x = tensor({1e-5, 200.0, 200.0, 200.0}).to(float16).requires_grad_();
  const Tensors results = check_like_cpu([](const Tensors& a) { return cumprod(a[0], 0); }, {x}, gpu);
  CHECK(results[1][1].item<double>() < 10);
  for (const bool product : {false, true})
    check_like_cpu(
        [=](const Tensors& a) {
          const Tensor y = product ? cumprod(a[0], 1) : cumsum(a[0], 1);
          return autograd::grad({sum(sin(y))}, {a[0]}, {.create_graph = true})[0];
        },
        {random_leaf({3, 4}, bfloat16)}, gpu, 2);
}

TEST_CASE("sorted lines: of one element, within a chunk, over many chunks, with equal elements") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
    for (const Shape& shape : std::vector<Shape>{{1},
                                                 {2},
                                                 {3},
                                                 {31, 1},
                                                 {5, 7},
                                                 {3, 1024},
                                                 {1025},
                                                 {2, 2049},
                                                 {3000, 2},
                                                 {2, 40, 3},
                                                 {0, 3},
                                                 {3, 0}}) {
      CAPTURE(shape);
      const Tensor x = randint(0, dtype == boolean ? 2 : 100, shape).to(dtype);
      for (int dim = 0; dim < shape.rank(); ++dim)
        for (const bool descending : {false, true})
          CHECK(equal(argsort(x.to(gpu), dim, descending).cpu(), argsort(x, dim, descending)));
    }
}

TEST_CASE("16 bits of every kind are sorted as the numbers that they are") {
  const Gpus machine;
  std::vector<std::uint16_t> bits{0x8000, 0,      0x7c00, 0xfc00, 0x7c01, 0xffff,
                                  0x7f80, 0xff80, 0x7f81, 1,      0x8001};
  for (std::uint32_t pattern = 0; pattern < 0x10000; pattern += 37)
    bits.push_back(static_cast<std::uint16_t>(pattern));
  for (const DType dtype : {float16, bfloat16}) {
    const Tensor x = from_data(bits.data(), {std::ssize(bits)}, dtype);
    for (const bool descending : {false, true})
      CHECK(equal(argsort(x.to(gpu), 0, descending).cpu(), argsort(x.to(float64), 0, descending)));
  }
}

TEST_CASE("sort, topk and median of 16 bits, and their gradients") {
  const Gpus machine;
  manual_seed(5);
  const std::vector<Function> ops{
      [](const Tensors& x) { return sort(x[0], 0, true).values; },
      [](const Tensors& x) { return topk(x[0], 3, 1).values; },
      [](const Tensors& x) { return median(x[0], 1).values; },
      [](const Tensors& x) { return kthvalue(x[0], 2, 0).values; },
      [](const Tensors& x) { return max(x[0], 1).values; },
  };
  for (const DType dtype : {float16, bfloat16})
    for (const Function& op : ops) check_like_cpu(op, {random_leaf({5, 7}, dtype)}, gpu);
}

TEST_CASE("an index of gather or scatter out of range is an error of the next wait") {
  const Gpus machine;
  const Tensor x = ones({3, 2}, {.device = gpu}), index = full({3, 2}, 2, {.dtype = int64, .device = gpu});
  gather(x, 1, index);
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("gather: index 2"), Error);
  scatter(x, 1, index, 7);
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("scatter: index 2"), Error);
  one_hot(index, 2);
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("one_hot: index 2"), Error);
  synchronize(gpu);
}

}  // namespace
}  // namespace miniparallel::testing
