#include "compare.h"
#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "kernels/half.h"

#include <array>
#include <span>

// Kernels that take 16 bytes at once where arrays lie so, and their elements one by one: sizes around a pack
// and around a chunk, arrays that begin between packs, and streams of random numbers that do.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

/// Calls run(backend, memory, stream) on both devices for equal memory, which must be equal after it too. The
/// CPU's may have another dtype.
template <class Run>
void compare(DType dtype, std::size_t arrays, std::int64_t elements, Run&& run, DType cpu_dtype) {
  Tensors on_cpu, on_gpu;
  for (std::size_t i = 0; i < arrays; ++i) {
    on_gpu.push_back(rand({elements}).to(dtype).to(gpu));
    on_cpu.push_back(on_gpu.back().cpu().to(cpu_dtype));
  }
  run(kernels::cpu_backend(), on_cpu, kernels::Stream{});
  run(kernels::cuda_backend(), on_gpu, stream(gpu));
  for (std::size_t i = 0; i < arrays; ++i) check_close(on_gpu[i], on_cpu[i].to(dtype));
}
template <class Run>
void compare(DType dtype, std::size_t arrays, std::int64_t elements, Run&& run) {
  compare(dtype, arrays, elements, run, dtype);
}
/// The same of updates, which have kernels for 16 bits on GPUs alone.
template <class Run>
void compare_updates(DType dtype, std::size_t arrays, std::int64_t elements, Run&& run) {
  compare(dtype, arrays, elements, run, kernels::is_half(dtype) ? float32 : dtype);
}

std::byte* at(const Tensor& memory, std::int64_t i) {
  return raw(memory) + i * static_cast<std::int64_t>(size_of(memory.dtype()));
}

constexpr std::array<std::int64_t, 8> sizes{0, 1, 3, 4, 7, 4096, 4097, 9001};

constexpr std::array wide_dtypes{float32, float64};
constexpr std::array all_dtypes{float32, float64, float16, bfloat16};

/// Calls each(dtype, first element, size) for what a row of a call may be.
template <class Each>
void for_each_row(Each&& each, std::span<const DType> dtypes = wide_dtypes) {
  for (const DType dtype : dtypes)
    for (const std::int64_t first : {0, 1})
      for (const std::int64_t n : sizes) {
        INFO("dtype ", dtype, ", first element ", first, ", size ", n);
        each(dtype, first, n);
      }
}

/// A row over `first` to `first + n` of the arrays x: parameter, gradient, states.
template <class Formula>
kernels::UpdateRow<Formula> make_row(const Tensors& x, std::int64_t first, std::int64_t n, unsigned present,
                                     const Formula& formula) {
  kernels::UpdateRow<Formula> row;
  row.parameter = at(x[0], first);
  row.gradient = at(x[1], first);
  for (std::size_t k = 0; k < Formula::states; ++k)
    row.state[k] = (present >> k & 1) != 0 ? at(x[2 + k], first) : nullptr;
  row.n = n;
  row.maximize = n % 2 == 0;
  row.weight_decay = 0.01;
  row.decay = 0.98;
  row.formula = formula;
  return row;
}

/// Calls each(launcher, numbers) for every formula.
template <class Each>
void for_each_formula(const Each& each) {
  using namespace kernels::updates;
  using kernels::Optimizer;
  for (const bool nesterov : {false, true})
    each(&Optimizer::sgd, Sgd{.lr = 0.1, .momentum = 0.9, .gradient_scale = 0.5, .nesterov = nesterov});
  each(&Optimizer::adam, Adam{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .step_size = 0.1, .correction = 0.7});
  each(&Optimizer::nadam, NAdam{.beta1 = 0.9,
                                .beta2 = 0.99,
                                .eps = 1e-3,
                                .gradient_size = 0.1,
                                .average_size = 0.2,
                                .correction = 0.7});
  for (const double rectification : {0.0, 0.6})
    each(&Optimizer::radam,
         RAdam{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .step_size = 0.1, .rectification = rectification});
  each(&Optimizer::adamax, Adamax{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-3, .step_size = 0.1});
  for (const double center : {1.0, 0.9})
    each(&Optimizer::rmsprop,
         RmsProp{.lr = 0.1, .alpha = 0.9, .eps = 1e-2, .momentum = 0.5, .center = center});
  each(&Optimizer::adagrad, Adagrad{.lr = 0.1, .eps = 1e-3, .start = 0.2});
  each(&Optimizer::adadelta, Adadelta{.lr = 0.1, .rho = 0.9, .eps = 1e-3});
  each(&Optimizer::rprop, Rprop{.shrink = 0.5, .grow = 1.2, .least = 0.1, .most = 0.8, .start = 0});
  each(&Optimizer::lion, Lion{.lr = 0.1, .beta1 = 0.9, .beta2 = 0.99});
}

/// Brings the first state, an average of squares in some, above the square of every average.
void raise_squares(const Tensors& x) {
  Tensor squares = x[2];
  squares.add_(2);
}

template <class Formula>
constexpr unsigned all_states = (1u << Formula::states) - 1;

TEST_CASE("optimizers update rows of any size and alignment") {
  const Gpus machine;
  manual_seed(1);
  for_each_formula([]<class Formula>(auto launcher, const Formula& formula) {
    const auto check_row = [&](DType dtype, std::int64_t first, std::int64_t n) {
      for (unsigned present = 0; present <= all_states<Formula>; ++present) {
        if ((present | Formula::optional) != all_states<Formula>) continue;
        INFO("states ", present);
        compare_updates(dtype, 2 + Formula::states, 9002, [&](auto& backend, const Tensors& x, auto s) {
          raise_squares(x);
          const std::array rows{make_row(x, first, n, present, formula)};
          (backend.optimizer.*launcher)(x[0].dtype(), rows, s);
        });
      }
    };
    for_each_row(check_row, all_dtypes);
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

/// A row of rounded_adam whose sums and products are exact, so that they are the same wherever they are made.
kernels::UpdateRow<kernels::updates::RoundedAdam> exact_row(const Tensors& x, std::int64_t first,
                                                            std::int64_t n, unsigned present,
                                                            std::int64_t place) {
  auto row =
      make_row(x, first, n, present,
               kernels::updates::RoundedAdam{
                   {.beta1 = 0.5, .beta2 = 0.5, .eps = 0, .step_size = 0x1p-9, .correction = 1}, 7, 3});
  row.weight_decay = 0;
  row.decay = 1;
  row.first = place;
  return row;
}

TEST_CASE("rounded_adam gives the same bits on both devices, whatever a row's size, alignment and place") {
  const Gpus machine;
  manual_seed(8);
  for (const unsigned present : {3u, 7u})
    for (const std::int64_t place : {0, 5, 8})
      for (const std::int64_t first : {0, 1})
        for (const std::int64_t n : sizes) {
          INFO("states ", present, ", place ", place, ", first element ", first, ", size ", n);
          Tensors on_cpu, on_gpu;
          for (int i = 0; i < 5; ++i) {
            on_cpu.push_back((rand({9002}) + 0.5).to(bfloat16));
            on_gpu.push_back(on_cpu.back().to(gpu));
          }
          const Tensor before = on_cpu[0].clone();
          const auto update = [&](const kernels::Backend& backend, const Tensors& x, kernels::Stream s) {
            const std::array rows{exact_row(x, first, n, present, place)};
            backend.optimizer.rounded_adam(bfloat16, rows, s);
          };
          update(kernels::cpu_backend(), on_cpu, {});
          update(kernels::cuda_backend(), on_gpu, stream(gpu));
          if (n >= 4096) CHECK_FALSE(equal(on_cpu[0], before));
          for (int i = 0; i < 5; ++i) CHECK(equal(on_gpu[i].cpu(), on_cpu[i]));
        }
}

/// make(first element, size) for rows of one to three elements.
template <class Make>
auto rows_of(int count, const Make& make) {
  std::vector<decltype(make(0, 0))> rows;
  for (std::int64_t i = 0; i < count; ++i) rows.push_back(make(4 * i, 1 + i % 3));
  return rows;
}

TEST_CASE("optimizers take hundreds of rows in one launch, and more in several") {
  const Gpus machine;
  manual_seed(4);
  for_each_formula([]<class Formula>(auto launcher, const Formula& formula) {
    for (const DType dtype : all_dtypes)
      for (const int count : {150, 410}) {
        INFO("dtype ", dtype, ", rows ", count);
        compare_updates(dtype, 2 + Formula::states, 4 * count, [&](auto& backend, const Tensors& x, auto s) {
          raise_squares(x);
          const auto rows = rows_of(count, [&](std::int64_t i, std::int64_t n) {
            return make_row(x, i, n, all_states<Formula>, formula);
          });
          (backend.optimizer.*launcher)(x[0].dtype(), rows, s);
        });
      }
  });
}

TEST_CASE("rounded_adam takes hundreds of rows in one launch, and more in several") {
  const Gpus machine;
  manual_seed(9);
  for (const int count : {150, 410}) {
    CAPTURE(count);
    Tensors on_cpu, on_gpu;
    for (int i = 0; i < 5; ++i) {
      on_cpu.push_back((rand({4 * count}) + 0.5).to(bfloat16));
      on_gpu.push_back(on_cpu.back().to(gpu));
    }
    const Tensor before = on_cpu[0].clone();
    const auto update = [&](const kernels::Backend& backend, const Tensors& x, kernels::Stream s) {
      const auto rows =
          rows_of(count, [&](std::int64_t i, std::int64_t n) { return exact_row(x, i, n, 7, 3 * i); });
      backend.optimizer.rounded_adam(bfloat16, rows, s);
    };
    update(kernels::cpu_backend(), on_cpu, {});
    update(kernels::cuda_backend(), on_gpu, stream(gpu));
    CHECK_FALSE(equal(on_cpu[0], before));
    for (int i = 0; i < 5; ++i) CHECK(equal(on_gpu[i].cpu(), on_cpu[i]));
  }
}

TEST_CASE("clipping takes hundreds of gradients in one launch, and more in several") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const int count : {150, 410}) {
      INFO("dtype ", dtype, ", rows ", count);
      compare(dtype, 1, 4 * count, [&](auto& backend, const Tensors& x, auto s) {
        const auto rows = rows_of(
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

TEST_CASE("arrays of any floating dtype, size and alignment are added to others") {
  const Gpus machine;
  manual_seed(6);
  for (const DType dtype : all_dtypes)
    for (const std::int64_t first : {0, 1})
      for (const std::int64_t n : sizes) {
        INFO("dtype ", dtype, ", first element ", first, ", size ", n);
        compare(dtype, 2, 9002, [&](auto& backend, const Tensors& x, auto s) {
          backend.optimizer.accumulate(
              std::array{kernels::SumRow{dtype, at(x[0], first), at(x[1], first), n}}, s);
        });
      }
}

TEST_CASE("hundreds of arrays of several dtypes are added to others in one launch, and more in several") {
  const Gpus machine;
  manual_seed(7);
  for (const int count : {80, 410, 900}) {
    CAPTURE(count);
    Tensors on_cpu, on_gpu;  // sums, then what is added to them
    for (int i = 0; i < 8; ++i) {
      on_cpu.push_back(rand({4 * count}).to(all_dtypes[i % 4]));
      on_gpu.push_back(on_cpu.back().to(gpu));
    }
    const auto add = [&](const kernels::Backend& backend, const Tensors& x, kernels::Stream s) {
      std::vector<kernels::SumRow> rows;
      for (int i = 0; i < count; ++i)
        rows.push_back({all_dtypes[i % 4], at(x[i % 4], 4 * i), at(x[4 + i % 4], 4 * i), 1 + i % 3});
      backend.optimizer.accumulate(rows, s);
    };
    const Tensor before = on_cpu[0].clone();
    add(kernels::cpu_backend(), on_cpu, {});
    add(kernels::cuda_backend(), on_gpu, stream(gpu));
    CHECK_FALSE(equal(on_cpu[0], before));
    for (int i = 0; i < 4; ++i) check_close(on_gpu[i], on_cpu[i]);
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
          backend.random.dropout(dtype, {at(x[1], first), {at(x[0], first), beta}, n, {0.25, key}}, s);
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
