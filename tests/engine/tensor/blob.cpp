#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <numeric>

namespace miniparallel {
namespace {

using Values = std::vector<double>;

TEST_CASE("from_blob: shares the memory, and tells when the last view is gone") {
  std::vector<float> memory = {0, 1, 2, 3, 4, 5};
  int released = 0;
  {
    Tensor row;
    {
      const Tensor whole = from_blob(memory.data(), {2, 3}, {.deleter = [&](void* pointer) {
                                       CHECK(pointer == memory.data());
                                       ++released;
                                     }});
      CHECK(whole.dtype() == float32);
      CHECK(whole.data<float>() == memory.data());
      row = whole[1];
      row.add_(10);
      memory[4] = 40;
    }
    CHECK(released == 0);
    CHECK(row.to_vector<double>() == Values{13, 40, 15});
    CHECK(memory[3] == 13);
  }
  CHECK(released == 1);
}

TEST_CASE("from_blob: strides, other dtypes, gradients") {
  std::vector<std::int64_t> whole(12);
  std::iota(whole.begin(), whole.end(), 0);
  const Tensor columns = from_blob(whole.data(), {3, 2}, {.strides = Shape{1, 6}});
  CHECK(columns.to_vector<double>() == Values{0, 6, 1, 7, 2, 8});
  CHECK_FALSE(columns.is_contiguous());
  CHECK(from_blob(static_cast<void*>(whole.data()), {12}, {.dtype = int64}).sum().item() == 66);
  double number = 3;
  Tensor x = from_blob(&number, {}).requires_grad_();
  (x * x).backward();
  CHECK(x.grad().item() == 6);
  CHECK(from_blob(static_cast<float*>(nullptr), {0, 3}).sum().item() == 0);
}

TEST_CASE("from_blob: what does not fit is refused, and the memory stays the caller's") {
  using testing::error_of;
  std::vector<float> memory(4);
  const auto deleter = [](void*) { FAIL("the caller still owns the memory"); };
  CHECK(error_of([&] { from_blob(static_cast<void*>(memory.data()), {4}, {.deleter = deleter}); }) ==
        "from_blob: a void* has no dtype; name one, {.dtype = float32}");
  CHECK(error_of([&] { from_blob(memory.data(), {4}, {.dtype = float64, .deleter = deleter}); }) ==
        "from_blob: the pointer is one to float32, the options say float64; leave the dtype out");
  CHECK(error_of([&] {
          from_blob(memory.data(), {4}, {.strides = Shape{-1}, .deleter = deleter});
        }).find("must be at least 0") != std::string::npos);
  CHECK(error_of([&] {
          from_blob(memory.data(), {4}, {.strides = Shape{1, 1}});
        }).find("one for each dimension") != std::string::npos);
  CHECK(error_of([] { from_blob(static_cast<float*>(nullptr), {4}); }).find("null pointer for 4 elements") !=
        std::string::npos);
  void* const odd = reinterpret_cast<char*>(memory.data()) + 1;
  CHECK(error_of([&] { from_blob(odd, {2}, {.dtype = float32}); }).find("not aligned to 4 bytes") !=
        std::string::npos);
}

}  // namespace
}  // namespace miniparallel
