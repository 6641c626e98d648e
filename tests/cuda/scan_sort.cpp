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

TEST_CASE("sorted lines: of one element, within a chunk, over many chunks, with equal elements") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean})
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
