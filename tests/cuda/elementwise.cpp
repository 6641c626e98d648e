#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "kernels/cuda/elementwise/index_ranges.h"

#include <algorithm>
#include <cmath>

// Every launcher of every elementwise function and dtype against the CPU's, on every sort of layout: each
// kernel instantiation is launched.

namespace miniparallel {
namespace {

using kernels::ElementwiseArgs;
using testing::Gpus;

const Device gpu = Device::cuda(0);
constexpr DType all_dtypes[] = {float32, float64, int64, int32, uint8, boolean, float16, bfloat16};

/// Shape and strides of one call; `offset` elements into each operand's memory.
struct Case {
  const char* name;
  Shape shape;
  std::vector<Shape> strides;  // of operand 0 and of the others, the last one repeated
  std::int64_t offset = 0;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {"empty", {0}, {{1}}},
      {"one", {1}, {{1}}},
      {"whole packs", {64}, {{1}}},
      {"with a tail", {1003}, {{1}}},
      {"misaligned", {29}, {{1}}, 1},
      {"transposed", {13, 17}, {{17, 1}, {1, 13}}},
      {"broadcast", {5, 6, 7}, {{42, 7, 1}, {0, 1, 6}, {7, 0, 1}, {0, 0, 0}}},
      {"gaps", {11, 3}, {{8, 2}, {6, 1}}},
      {"rows of packs", {5, 2, 8}, {{40, 8, 1}, {12, 60, 1}, {0, 0, 1}, {1, 5, 0}}},
      {"rows of packs, one across", {6, 8}, {{8, 1}, {1, 6}}},
      {"rows between packs", {6, 8}, {{9, 1}, {8, 1}}},
      {"rows that begin between packs", {6, 8}, {{8, 1}, {12, 1}}, 1},
  };
  return list;
}

/// Memory of one operand on both devices with the same elements.
struct Operand {
  Tensor on_cpu, on_gpu;

  Operand(DType dtype, int position) {
    const std::int64_t n = 1200;
    std::vector<double> values(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const double unit = static_cast<double>((i * 7919 + position * 104729) % 1009) / 1009.0;
      values[static_cast<std::size_t>(i)] = is_floating(dtype) ? 4 * unit - 2 : std::floor(6 * unit);
    }
    on_cpu = from_data(values.data(), {n}, float64).to(dtype);
    on_gpu = on_cpu.to(gpu);
  }
};

void check_equal(const Operand& y) {
  const std::vector<double> expected = y.on_cpu.to_vector<double>(), got = y.on_gpu.to_vector<double>();
  const DType dtype = y.on_cpu.dtype();  // of 16 bits the last may differ
  const double relative = dtype == float64    ? 1e-11
                          : dtype == float16  ? 1e-3
                          : dtype == bfloat16 ? 8e-3
                                              : 1e-5;
  double scale = 1;
  for (const double value : expected)
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const bool same = expected[i] == got[i] || (std::isnan(expected[i]) && std::isnan(got[i])) ||
                      (is_floating(y.on_cpu.dtype()) && std::abs(expected[i] - got[i]) <= relative * scale);
    if (!same && wrong++ == 0) CHECK_MESSAGE(same, "element ", i, ": ", expected[i], " and ", got[i]);
  }
}

/// Runs `call(backend, args, stream)` on both devices over every layout and compares what was written.
template <class Call>
void compare(std::initializer_list<DType> dtypes, Call&& call, bool accumulate = false) {
  for (const Case& one : cases()) {
    CAPTURE(one.name);
    std::vector<Operand> operands;
    std::vector<Shape> strides;
    for (const DType dtype : dtypes) {
      const std::size_t k = operands.size();
      strides.push_back(one.strides[std::min(k, one.strides.size() - 1)]);
      operands.emplace_back(dtype, static_cast<int>(k));
    }
    ElementwiseArgs args;
    args.p = 1.25, args.q = 1.5, args.accumulate = accumulate;
    if (strides.size() == 1) args.layout = kernels::make_layout(one.shape, {strides[0]});
    if (strides.size() == 2) args.layout = kernels::make_layout(one.shape, {strides[0], strides[1]});
    if (strides.size() == 3)
      args.layout = kernels::make_layout(one.shape, {strides[0], strides[1], strides[2]});
    if (strides.size() == 4)
      args.layout = kernels::make_layout(one.shape, {strides[0], strides[1], strides[2], strides[3]});
    const auto run = [&](const kernels::Backend& backend, Tensor Operand::* side, kernels::Stream stream) {
      for (std::size_t k = 0; k < operands.size(); ++k) {
        const Tensor& memory = operands[k].*side;
        args.operands[k] = raw(memory) + one.offset * static_cast<std::int64_t>(size_of(memory.dtype()));
      }
      call(backend.elementwise, args, stream);
    };
    run(kernels::cpu_backend(), &Operand::on_cpu, {});
    run(kernels::cuda_backend(), &Operand::on_gpu, stream(gpu));
    check_equal(operands[0]);
  }
}

TEST_CASE("unary functions and their gradients") {
  const Gpus machine;
  for (int f = 0; f < static_cast<int>(kernels::Unary::count); ++f) {
    const auto function = static_cast<kernels::Unary>(f);
    for (const DType dtype : all_dtypes) {
      CAPTURE(f);
      if (kernels::supported(function, dtype))
        compare({dtype, dtype}, [&](auto& e, auto& args, auto s) { e.unary(function, dtype, args, s); });
      if (is_floating(dtype))
        for (const bool accumulate : {false, true})
          compare(
              {dtype, dtype, dtype},
              [&](auto& e, auto& args, auto s) { e.unary_backward(function, dtype, args, s); }, accumulate);
    }
  }
}

TEST_CASE("binary functions and their gradients") {
  const Gpus machine;
  for (int f = 0; f < static_cast<int>(kernels::Binary::count); ++f) {
    const auto function = static_cast<kernels::Binary>(f);
    for (const DType dtype : all_dtypes) {
      CAPTURE(f);
      if (kernels::supported(function, dtype))
        compare({dtype, dtype, dtype},
                [&](auto& e, auto& args, auto s) { e.binary(function, dtype, args, s); });
      if (is_floating(dtype) && kernels::supported(function, dtype))
        for (const int side : {0, 1})
          compare(
              {dtype, dtype, dtype, dtype},
              [&](auto& e, auto& args, auto s) { e.binary_backward(function, side, dtype, args, s); },
              side == 1);
    }
  }
}

TEST_CASE("ternary functions") {
  const Gpus machine;
  for (int f = 0; f < static_cast<int>(kernels::Ternary::count); ++f)
    for (const DType dtype : {float32, float64, float16, bfloat16}) {
      CAPTURE(f);
      compare({dtype, dtype, dtype, dtype}, [&](auto& e, auto& args, auto s) {
        e.ternary(static_cast<kernels::Ternary>(f), dtype, args, s);
      });
    }
}

TEST_CASE("comparisons and choices") {
  const Gpus machine;
  for (const DType dtype : all_dtypes) {
    for (int f = 0; f < static_cast<int>(kernels::Compare::count); ++f)
      compare({boolean, dtype, dtype}, [&](auto& e, auto& args, auto s) {
        e.compare(static_cast<kernels::Compare>(f), dtype, args, s);
      });
    compare({dtype, boolean, dtype, dtype}, [&](auto& e, auto& args, auto s) { e.where(dtype, args, s); });
  }
}

TEST_CASE("conversions and fills") {
  const Gpus machine;
  for (const DType from : all_dtypes)
    for (const DType to : all_dtypes)
      compare({to, from}, [&](auto& e, auto& args, auto s) { e.convert(from, to, args, s); });
  const std::uint64_t value = 0x3f80'4000'3c00'0001;
  for (const DType dtype : all_dtypes)
    if (dtype != boolean)
      compare({dtype}, [&](auto& e, auto& args, auto s) { e.fill(dtype, args, &value, s); });
}

TEST_CASE("a call whose offsets need more than 31 bits is split into calls that do not") {
  const std::int64_t billion = 1'000'000'000;
  for (const auto& [shape, strides] :
       std::vector<std::pair<Shape, Shape>>{{{5 * billion}, {1}},
                                            {{3, 2}, {4 * billion, 1}},
                                            {{2, 3, 70'000}, {1, billion, 100'000}},
                                            {{0}, {1}}}) {
    ElementwiseArgs args;
    args.layout = kernels::make_layout(shape, {strides});
    std::int64_t elements = 0;
    kernels::cuda::for_each_small_part(args, {1}, [&](const ElementwiseArgs& part) {
      elements += part.layout.numel();
      std::int64_t reach = reinterpret_cast<std::intptr_t>(part.operands[0]);  // from address 0, bytes
      CHECK(reach < 9 * billion);
      for (int d = 0; d < part.layout.rank; ++d)
        reach += (part.layout.sizes[d] - 1) * part.layout.strides[0][d];
      CHECK(reach - reinterpret_cast<std::intptr_t>(part.operands[0]) < std::int64_t{1} << 31);
    });
    CHECK(elements == shape.numel());
  }
}

}  // namespace
}  // namespace miniparallel
