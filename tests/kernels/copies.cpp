#include "kernels/backend.h"
#include "kernels/copy_plan.h"
#include "tests/support/copy_cases.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

// Copies of any layout against element after element.

using namespace miniparallel;
using testing::CopyCase;

namespace {

void copy_one_by_one(const CopyCase& one, std::size_t bytes, std::byte* y, const std::byte* x) {
  for (std::int64_t i = 0; i < one.shape.numel(); ++i) {
    std::int64_t to = one.y_first, from = one.x_first, rest = i;
    for (int d = one.shape.rank() - 1; d >= 0; --d) {
      to += rest % one.shape[d] * one.y[d];
      from += rest % one.shape[d] * one.x[d];
      rest /= one.shape[d];
    }
    std::memcpy(y + to * static_cast<std::int64_t>(bytes), x + from * static_cast<std::int64_t>(bytes),
                bytes);
  }
}

}  // namespace

TEST_CASE("copies: every layout and size of element") {
  for (const CopyCase& one : testing::copy_cases())
    for (const DType dtype : {uint8, float16, float32, int64}) {
      CAPTURE(one.name);
      const std::size_t bytes = size_of(dtype);
      CAPTURE(bytes);
      alignas(16) static std::byte x[testing::kCopyBytes], y[testing::kCopyBytes];
      for (std::size_t i = 0; i < sizeof(x); ++i) x[i] = static_cast<std::byte>(i * 7919 >> 4);
      std::memset(y, 1, sizeof(y));
      std::vector<std::byte> expected(y, y + sizeof(y));
      copy_one_by_one(one, bytes, expected.data(), x);
      kernels::ElementwiseArgs args;
      args.layout = kernels::make_layout(one.shape, {one.y, one.x});
      args.operands[0] = y + one.y_first * static_cast<std::int64_t>(bytes);
      args.operands[1] = x + one.x_first * static_cast<std::int64_t>(bytes);
      kernels::cpu_backend().elementwise.convert(dtype, dtype, args, {});
      CHECK(std::memcmp(y, expected.data(), sizeof(y)) == 0);
    }
}

TEST_CASE("copies: elements are put together to words where both sides hold them") {
  const auto plan = [](const Shape& shape, const Shape& y, const Shape& x, std::int64_t first = 0) {
    alignas(16) static float memory[16];
    kernels::ElementwiseArgs args;
    args.layout = kernels::make_layout(shape, {y, x});
    args.operands[0] = memory, args.operands[1] = memory + first;
    return kernels::CopyPlan(args, sizeof(float));
  };
  const kernels::CopyPlan heads = plan({16, 128, 64}, {8192, 64, 1}, {64, 1024, 1});
  CHECK(heads.word == 16);
  CHECK(heads.args.layout.numel() == 16 * 128 * 16);
  CHECK(plan({4, 6}, {6, 1}, {8, 1}).word == 8);
  CHECK(plan({4, 5}, {5, 1}, {8, 1}).word == 4);
  CHECK(plan({4, 8}, {8, 1}, {12, 1}, 1).word == 4);
  CHECK(plan({4, 8}, {8, 1}, {8, 1}, 2).word == 8);

  const kernels::CopyPlan matrix = plan({3, 40, 50}, {2000, 50, 1}, {2000, 1, 40});
  CHECK(matrix.across == 1);
  CHECK(plan({40, 50}, {1, 40}, {50, 1}).across == 0);
  CHECK(plan({40, 50}, {1, 40}, {1, 40}).args.layout.rank == 1);
  const kernels::CopyPlan pairs = plan({40, 50, 2}, {100, 2, 1}, {2, 80, 1});
  CHECK(pairs.word == 8);
  CHECK(pairs.across == 0);
}
