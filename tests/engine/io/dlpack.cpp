#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

using testing::error_of;
using Values = std::vector<double>;

TEST_CASE("dlpack: there and back, every dtype, strides and all, without a copy") {
  for (const DType dtype : {float32, float64, float16, bfloat16, int64, int32, uint8, boolean}) {
    CAPTURE(dtype);
    const Tensor x = arange(12).view({3, 4}).to(dtype).slice(1, 1, 4, 2).t();
    dlpack::ManagedTensor* const managed = to_dlpack(x);
    CHECK(managed->version.major == 1);
    CHECK(managed->tensor.dtype.bits == 8 * size_of(dtype));
    CHECK(managed->tensor.strides[0] == 2);
    const Tensor y = from_dlpack(managed);
    CHECK(y.dtype() == dtype);
    CHECK(y.strides() == x.strides());
    CHECK(equal(y.to(float64), x.to(float64)));
    Tensor(y).zero_();
    CHECK(x.to(float32).sum().item() == 0);
  }
}

TEST_CASE("dlpack: a description keeps the elements, and its deleter lets them go") {
  Tensor x = ones({1000, 1000});
  const std::int64_t used = memory_stats().used;
  dlpack::ManagedTensor* managed = to_dlpack(x);
  x = Tensor();
  CHECK(memory_stats().used == used);
  CHECK(static_cast<const float*>(managed->tensor.data)[999] == 1);
  managed->deleter(managed);
  CHECK(memory_stats().used < used - 3'000'000);
}

/// A tensor of another library.
struct Foreign {
  std::vector<float> memory = {0, 1, 2, 3, 4, 5, 6};
  std::vector<std::int64_t> shape = {2, 3}, strides = {3, 1};
  int deleted = 0;
  dlpack::ManagedTensor managed{
      .version = {1, 1},
      .manager_ctx = this,
      .deleter = [](dlpack::ManagedTensor* self) { ++static_cast<Foreign*>(self->manager_ctx)->deleted; },
      .flags = 0,
      .tensor = {.data = memory.data(),
                 .device = {dlpack::DeviceType::cpu, 0},
                 .ndim = 2,
                 .dtype = {dlpack::TypeCode::floating, 32, 1},
                 .shape = shape.data(),
                 .strides = nullptr,
                 .byte_offset = 4}};
};

TEST_CASE("dlpack: another library's tensor, released with the last handle") {
  Foreign foreign;
  {
    const Tensor x = from_dlpack(&foreign.managed);
    CHECK(x.to_vector<double>() == Values{1, 2, 3, 4, 5, 6});
    const Tensor view = x[1];
    foreign.memory[4] = 40;
    CHECK(view[0].item() == 40);
    CHECK(foreign.deleted == 0);
  }
  CHECK(foreign.deleted == 1);
  foreign.managed.flags = dlpack::kReadOnly;
  foreign.managed.tensor.strides = foreign.strides.data();
  foreign.strides = {1, 2};
  const Tensor copy = from_dlpack(&foreign.managed);
  CHECK(foreign.deleted == 2);
  foreign.memory[1] = 100;
  CHECK(copy.to_vector<double>() == Values{1, 3, 5, 2, 40, 6});
}

TEST_CASE("dlpack: what is not understood stays with the caller") {
  const auto error_after = [](auto change) {
    Foreign foreign;
    change(foreign.managed, foreign);
    std::string text = error_of([&] { from_dlpack(&foreign.managed); });
    CHECK(foreign.deleted == 0);
    return text;
  };
  const auto check_mentions = [](const std::string& text, const char* part) {
    CAPTURE(text);
    CHECK(text.find(part) != std::string::npos);
  };
  check_mentions(error_after([](auto& m, auto&) { m.version = {2, 0}; }), "got version 2.0 of DLPack");
  check_mentions(error_after([](auto& m, auto&) { m.tensor.dtype.bits = 8; }), "code 2 with 8 bits");
  check_mentions(error_after([](auto& m, auto&) { m.tensor.dtype.lanes = 4; }), "4 lanes");
  check_mentions(error_after([](auto& m, auto&) { m.tensor.device.type = dlpack::DeviceType(10); }),
                 "device type 10");
  check_mentions(error_after([](auto& m, auto&) { m.tensor.ndim = 9; }), "got 9 dimensions");
  check_mentions(error_after([](auto& m, auto&) { m.tensor.byte_offset = 3; }), "not aligned");
  check_mentions(error_after([](auto& m, auto& foreign) {
                   foreign.strides = {-3, 1};
                   m.tensor.strides = foreign.strides.data();
                 }),
                 "must be at least 0");
  check_mentions(error_of([] { from_dlpack(nullptr); }), "null pointer");
  check_mentions(error_of([] { to_dlpack(Tensor()); }), "undefined");
}

}  // namespace
}  // namespace miniparallel
