#include <miniparallel/miniparallel.h>
#include <miniparallel/random.h>

#include "gpus.h"

// Tensors that are made where they are to lie: the same numbers as on the CPU.

namespace miniparallel {
namespace {

using testing::Gpus;

const Device gpu = Device::cuda(0);

void check_same(const Tensor& made, const Tensor& expected) {
  CHECK(made.device() == gpu);
  CHECK(made.dtype() == expected.dtype());
  CHECK(made.shape() == expected.shape());
  CHECK(made.to_vector<double>() == expected.to_vector<double>());
}

TEST_CASE("arange makes the same numbers on a GPU, in every dtype and of every length") {
  const Gpus machine;
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
    for (const int n : {0, 1, 2, 3, 4, 5, 255, 256, 257, 4099}) {
      INFO(n, " of ", dtype);
      const auto check = [dtype](auto... numbers) {
        Tensor expected;
        try {
          expected = arange(numbers..., TensorOptions{.dtype = dtype});
        } catch (const Error& error) {  // numbers that the dtype does not have: refused there, too
          CHECK_THROWS_WITH_AS(arange(numbers..., TensorOptions{.dtype = dtype, .device = gpu}), error.what(),
                               Error);
          return;
        }
        check_same(arange(numbers..., TensorOptions{.dtype = dtype, .device = gpu}), expected);
      };
      check(n);
      check(7, 7 - 3 * n, -3);
      check(0.3, 0.3 + 0.1 * n, 0.1);
    }
}

TEST_CASE("randperm is the same permutation on a GPU, and the generator goes on alike") {
  const Gpus machine;
  for (const std::int64_t n : {0, 1, 2, 3, 31, 256, 257, 1024, 100'003}) {
    CAPTURE(n);
    manual_seed(6);
    const Tensor expected = randperm(n), next = randperm(10);
    manual_seed(6);
    check_same(randperm(n, {.device = gpu}), expected);
    check_same(randperm(10, {.dtype = float32, .device = gpu}), next.to(float32));
  }
}

}  // namespace
}  // namespace miniparallel
