#include "kernels/collective.h"

#include <miniparallel/miniparallel.h>

#include "compare.h"
#include "engine/ops/common.h"
#include "gpus.h"

#include <cstdlib>
#include <cstring>
#include <tuple>

namespace miniparallel {
namespace {

using testing::Gpus;
using Tensors = std::vector<Tensor>;

/// The sum of those of the arrays that are defined.
Tensor sum_of(const Tensors& x, const Shape& shape, DType to, Device device) {
  Tensor y = full(shape, 7.0, {.dtype = to, .device = device});
  kernels::TreeSumArgs args{.n = y.numel()};
  DType from = to;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (!x[i].defined()) continue;
    from = x[i].dtype();
    args.x[i] = raw(x[i]);
  }
  backend(device).collective.sum(from, to, args, raw(y), stream(device));
  return y;
}

/// One element of the tree, from its definition: over ranks, absent ones left out.
double tree(std::vector<std::optional<double>> values, bool in_float) {
  while (values.size() > 1) {
    std::vector<std::optional<double>> sums;
    for (std::size_t i = 0; i < values.size(); i += 2) {
      const std::optional<double> left = values[i],
                                  right = i + 1 < values.size() ? values[i + 1] : std::nullopt;
      if (left && right)
        sums.push_back(in_float ? static_cast<double>(static_cast<float>(*left) + static_cast<float>(*right))
                                : *left + *right);
      else
        sums.push_back(left ? left : right);
    }
    values = sums;
  }
  return *values[0];
}

constexpr DType kPairs[][2] = {{float32, float32},  {float64, float64}, {float16, float16},
                               {float16, float32},  {float32, float16}, {bfloat16, bfloat16},
                               {bfloat16, float32}, {float32, bfloat16}};

TEST_CASE("collective: sums in a tree over the places, on the CPU and on GPUs, in every dtype") {
  const Gpus machine;
  for (const auto& pair : kPairs)
    for (const unsigned present : {1u, 0b10u, 0b11u, 0b101u, 0b1111u, 0b11010110u, 0b11111111u})
      for (const std::int64_t n : {1, 7, 64, 1000, 4099}) {
        const DType from = pair[0], to = pair[1];
        CAPTURE(from);
        CAPTURE(to);
        CAPTURE(present);
        CAPTURE(n);
        manual_seed(present);
        Tensors x(8), on_gpu(8);
        for (unsigned i = 0; i < 8; ++i)
          if ((present >> i) % 2 == 1)
            x[i] = (randn({n}) * 1000).to(from), on_gpu[i] = x[i].to(machine.last());
        const Tensor expected = sum_of(x, {n}, to, Device::cpu());
        CHECK(expected.to_vector<double>() == sum_of(on_gpu, {n}, to, machine.last()).to_vector<double>());
        for (const std::int64_t at : {std::int64_t{0}, n - 1}) {
          std::vector<std::optional<double>> values(8);
          for (unsigned i = 0; i < 8; ++i)
            if (x[i].defined()) values[i] = x[i].select(0, at).item();
          const double sum = tree(values, from != float64);
          CHECK(expected.select(0, at).item() == tensor({sum}, {1}, {.dtype = float64}).to(to).item());
        }
      }
}

TEST_CASE("collective: arrays that do not start at multiples of 16 bytes, and a sum that is one of them") {
  const Gpus machine;
  for (const DType dtype : {float32, float64, float16}) {
    const Device gpu = machine.last();
    const Tensor a = randn({100}).to(dtype), b = randn({101}).to(dtype);
    const Tensors odd{a, b.narrow(0, 1, 100)};
    Tensors moved{a.to(gpu), b.to(gpu).narrow(0, 1, 100)};
    const std::vector<double> expected = sum_of(odd, {100}, dtype, Device::cpu()).to_vector<double>();
    CHECK(sum_of(moved, {100}, dtype, gpu).to_vector<double>() == expected);
    for (const std::size_t which : {0u, 1u}) {
      const Tensor y = moved[which];
      kernels::TreeSumArgs args{.n = 100, .x = {raw(moved[0]), raw(moved[1])}};
      backend(y).collective.sum(dtype, dtype, args, raw(y), stream(y));
      CHECK(y.to_vector<double>() == expected);
      moved[which].copy_(odd[which]);
    }
    CHECK(sum_of({empty({0}, {.dtype = dtype, .device = gpu})}, {0}, dtype, gpu).numel() == 0);
  }
}

TEST_CASE("collective: rows of every length and alignment are copied by one launch") {
  const Gpus machine;
  for (const Device device : {Device::cpu(), machine.last()}) {
    const Tensor from = arange(0, 70'000, 1, {.dtype = int32}).to(device);
    const auto bytes = [](const Tensor& x) { return reinterpret_cast<std::byte*>(raw(x)); };
    Tensor to = zeros({75'000}, {.dtype = int32, .device = device});
    std::vector<std::byte> expected(75'000 * sizeof(std::int32_t));
    std::vector<std::byte> source(70'000 * sizeof(std::int32_t));
    const std::vector<std::int32_t> values = from.to_vector<std::int32_t>();
    std::memcpy(source.data(), values.data(), source.size());
    std::vector<kernels::CopyRow> rows;
    std::int64_t read = 0, written = 0;
    // Bytes, and how far the two addresses are from a multiple of 16.
    for (const auto& [n, skip_from, skip_to] : {std::tuple{0, 0, 0},
                                                {1, 0, 0},
                                                {16, 0, 0},
                                                {65'536, 0, 0},
                                                {65'543, 0, 0},
                                                {4'000, 4, 4},
                                                {4'000, 4, 12},
                                                {4'003, 8, 0},
                                                {33, 1, 1},
                                                {33, 3, 0},
                                                {15, 0, 0}}) {
      rows.push_back({bytes(to) + written + skip_to, bytes(from) + read + skip_from, n});
      std::memcpy(expected.data() + written + skip_to, source.data() + read + skip_from,
                  static_cast<std::size_t>(n));
      read += (n + skip_from + 15) / 16 * 16;
      written += (n + skip_to + 31) / 16 * 16;
    }
    backend(device).collective.copy(rows, stream(device));
    const std::vector<std::int32_t> result = to.to_vector<std::int32_t>();
    CHECK(std::memcmp(result.data(), expected.data(), expected.size()) == 0);
    backend(device).collective.copy({}, stream(device));
  }
}

TEST_CASE("collective: more rows than fit in a small argument are copied") {
  const Gpus machine;
  const Device gpu = machine.last();
  const Tensor from = arange(0, 1000, 1, {.dtype = int32}).to(gpu);
  const Tensor to = zeros({1000}, {.dtype = int32, .device = gpu});
  std::vector<kernels::CopyRow> rows;
  for (std::int64_t i = 0; i < 1000; ++i) rows.push_back({raw(to) + 4 * i, raw(from) + 4 * (999 - i), 4});
  backend(gpu).collective.copy(rows, stream(gpu));
  CHECK(equal(to.cpu(), flip(from.cpu(), {0})));
}

}  // namespace
}  // namespace miniparallel
