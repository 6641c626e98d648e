#include "compare.h"
#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"

#include <array>

// Kernels that take 16 bytes at once where arrays lie so, and their elements one by one: sizes around a pack
// and around a chunk, arrays that begin between packs, and streams of random numbers that do.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

/// Calls run(backend, memory, stream) on both devices for equal memory, which must be equal after it too.
template <class Run>
void compare(DType dtype, std::size_t arrays, std::int64_t elements, Run&& run) {
  Tensors on_cpu, on_gpu;
  for (std::size_t i = 0; i < arrays; ++i) {
    on_cpu.push_back(rand({elements}).to(dtype));
    on_gpu.push_back(on_cpu.back().to(gpu));
  }
  run(kernels::cpu_backend(), on_cpu, kernels::Stream{});
  run(kernels::cuda_backend(), on_gpu, stream(gpu));
  for (std::size_t i = 0; i < arrays; ++i) check_close(on_gpu[i], on_cpu[i]);
}

std::byte* at(const Tensor& memory, std::int64_t i) {
  return raw(memory) + i * static_cast<std::int64_t>(size_of(memory.dtype()));
}

constexpr std::array<std::int64_t, 8> sizes{0, 1, 3, 4, 7, 4096, 4097, 9001};

/// Calls each(dtype, first element, size) for what a row of a call may be.
template <class Each>
void for_each_row(Each&& each) {
  for (const DType dtype : {float32, float64})
    for (const std::int64_t first : {0, 1})
      for (const std::int64_t n : sizes) {
        INFO("dtype ", dtype, ", first element ", first, ", size ", n);
        each(dtype, first, n);
      }
}

TEST_CASE("optimizers update rows of any size and alignment") {
  const Gpus machine;
  manual_seed(1);
  for_each_row([](DType dtype, std::int64_t first, std::int64_t n) {
    for (const bool momentum : {false, true})
      compare(dtype, 3, 9002, [&](auto& backend, const Tensors& x, auto s) {
        const kernels::SgdRow row{
            at(x[0], first), at(x[1], first), momentum ? at(x[2], first) : nullptr, n, 0.1, 0.9, 0.5, 0.01,
            n % 2 == 0};
        backend.optimizer.sgd(dtype, std::array{row}, s);
      });
    compare(dtype, 4, 9002, [&](auto& backend, const Tensors& x, auto s) {
      const kernels::AdamRow row{at(x[0], first),
                                 at(x[1], first),
                                 at(x[2], first),
                                 at(x[3], first),
                                 n,
                                 0.9,
                                 0.99,
                                 1e-3,
                                 0.01,
                                 0.98,
                                 0.1,
                                 0.7};
      backend.optimizer.adam(dtype, std::array{row}, s);
    });
  });
}

TEST_CASE("gradients of any size and alignment are clipped") {
  const Gpus machine;
  manual_seed(2);
  for_each_row([](DType dtype, std::int64_t first, std::int64_t n) {
    compare(dtype, 1, 9002, [&](auto& backend, const Tensors& x, auto s) {
      backend.optimizer.clip_value(dtype, std::array{kernels::GradientRow{at(x[0], first), n}}, 0.5, s);
    });
    for (const double max_norm : {1.0, 1e6}) {
      const Tensor norm = full({1}, 20.0, {.dtype = float64}), norm_on_gpu = norm.to(gpu);
      compare(dtype, 1, 9002, [&](auto& backend, const Tensors& x, auto s) {
        const Tensor& there = s.handle == nullptr ? norm : norm_on_gpu;
        backend.optimizer.clip_norm(dtype, std::array{kernels::GradientRow{at(x[0], first), n}},
                                    reinterpret_cast<const double*>(raw(there)), max_norm, s);
      });
    }
  });
}

/// make(first element, size) for rows of one to three elements.
template <class Row, class Make>
std::vector<Row> rows_of(int count, const Make& make) {
  std::vector<Row> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(make(4 * i, 1 + i % 3));
  return rows;
}

TEST_CASE("optimizers and clipping take hundreds of rows in one launch, and more in several") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const int count : {150, 410}) {
      INFO("dtype ", dtype, ", rows ", count);
      compare(dtype, 4, 4 * count, [&](auto& backend, const Tensors& x, auto s) {
        const auto rows = rows_of<kernels::AdamRow>(count, [&](std::int64_t i, std::int64_t n) {
          return kernels::AdamRow{at(x[0], i), at(x[1], i), at(x[2], i), at(x[3], i), n,   0.9,
                                  0.99,        1e-3,        0.01,        0.98,        0.1, 0.7};
        });
        backend.optimizer.adam(dtype, rows, s);
      });
      compare(dtype, 3, 4 * count, [&](auto& backend, const Tensors& x, auto s) {
        const auto rows = rows_of<kernels::SgdRow>(count, [&](std::int64_t i, std::int64_t n) {
          return kernels::SgdRow{at(x[0], i), at(x[1], i), at(x[2], i), n, 0.1, 0.9, 0.5, 0.01, false};
        });
        backend.optimizer.sgd(dtype, rows, s);
      });
      compare(dtype, 1, 4 * count, [&](auto& backend, const Tensors& x, auto s) {
        const auto rows = rows_of<kernels::GradientRow>(
            count, [&](std::int64_t i, std::int64_t n) { return kernels::GradientRow{at(x[0], i), n}; });
        const Tensor partials =
            zeros({kernels::norm_partials(rows) + 1}, {.dtype = float64, .device = x[0].device()});
        for (const auto kind : {kernels::NormKind::two, kernels::NormKind::infinity}) {
          auto* const norm = reinterpret_cast<double*>(at(partials, kernels::norm_partials(rows)));
          backend.optimizer.norm(dtype, kind, rows, reinterpret_cast<double*>(raw(partials)), norm, s);
          backend.optimizer.clip_norm(dtype, rows, norm, 0.5, s);
        }
        backend.optimizer.clip_value(dtype, rows, 0.01, s);
      });
    }
}

TEST_CASE("random numbers and dropout of any size, alignment and place in the stream") {
  const Gpus machine;
  manual_seed(3);
  for_each_row([](DType dtype, std::int64_t first, std::int64_t n) {
    for (const std::int64_t position : {0, 1, 2, 3, 4}) {
      INFO("position ", position);
      const kernels::RandomKey key{7, 3, position};
      compare(dtype, 1, 9002, [&](auto& backend, const Tensors& x, auto s) {
        backend.random.uniform(dtype, at(x[0], first), n, {-1, 2, 1.5}, key, s);
      });
      compare(dtype, 1, 9002, [&](auto& backend, const Tensors& x, auto s) {
        backend.random.normal(dtype, at(x[0], first), n, 0.5, 2, key, s);
      });
      for (const int beta : {0, 1})
        compare(dtype, 2, 9002, [&](auto& backend, const Tensors& x, auto s) {
          backend.random.dropout(dtype, {at(x[1], first), {at(x[0], first), beta}, n, 0.25, key}, s);
        });
      if (dtype == float32) continue;
      compare(int64, 1, 9002, [&](auto& backend, const Tensors& x, auto s) {
        backend.random.integers(reinterpret_cast<std::int64_t*>(at(x[0], first)), n, -5, 1'000'003, key, s);
      });
    }
  });
}

}  // namespace
}  // namespace miniparallel::testing
