#include <miniparallel/random.h>

#include "compare.h"
#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"

// Reductions of every dtype, in one stage and in two; norms of gradients; rows of every dtype picked.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

/// Numbers of few values, so that maxima are not alone.
Tensor numbers(const Shape& shape, DType dtype) {
  const Tensor x = randint(0, dtype == boolean ? 2 : 50, shape);
  return (is_floating(dtype) || dtype == int64 || dtype == int32 ? x - 25 : x).to(dtype);
}

TEST_CASE("reductions of every dtype, over few elements and over so many that blocks share them") {
  const Gpus machine;
  manual_seed(1);
  const std::vector<Function> reductions{
      [](const Tensors& x) { return sum(x[0]); },       [](const Tensors& x) { return sum(x[0], {1}); },
      [](const Tensors& x) { return amax(x[0], {0}); }, [](const Tensors& x) { return amin(x[0], {0}); },
      [](const Tensors& x) { return amax(x[0]); },      [](const Tensors& x) { return amin(x[0]); },
      [](const Tensors& x) { return argmax(x[0], 1); }, [](const Tensors& x) { return argmax(x[0]); },
      [](const Tensors& x) { return argmax(x[0], 0); }, [](const Tensors& x) { return sum(x[0], {0}); },
  };
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16})
    for (const Shape& shape : std::vector<Shape>{{1, 1}, {5, 7}, {2, 50'001}, {20'000, 3}, {1'037, 45}}) {
      INFO("dtype ", dtype, ", shape ", to_string(shape));
      const Tensors x{numbers(shape, dtype)};
      for (const Function& reduction : reductions) check_like_cpu(reduction, x, gpu);
      if (is_floating(dtype) && shape.numel() > 1)
        check_like_cpu([](const Tensors& in) { return var(in[0]); }, x, gpu);
    }
}

TEST_CASE("products, over few elements and over so many that blocks share them, and their gradients") {
  const Gpus machine;
  manual_seed(2);
  const auto near_one = [](const Shape& shape, DType dtype) {
    const Tensor x = numbers(shape, float64);
    return dtype == int64 ? where(x > 0, 1, -1).to(int64) : (1 + x * 1e-4).to(dtype).requires_grad_();
  };
  for (const DType dtype : {float32, float64, int64})
    for (const Shape& shape : std::vector<Shape>{{1, 1}, {5, 7}, {2, 50'001}, {20'000, 3}}) {
      INFO("dtype ", dtype, ", shape ", to_string(shape));
      const Tensors x{near_one(shape, dtype)};
      check_like_cpu([](const Tensors& in) { return prod(in[0]); }, x, gpu);
      check_like_cpu([](const Tensors& in) { return prod(in[0], {0}); }, x, gpu);
      check_like_cpu([](const Tensors& in) { return prod(in[0], {1}); }, x, gpu);
    }
}

TEST_CASE("sums over dimensions that do not lie together, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{7, 5, 9}, {40, 33, 60}, {60, 2, 300}}) {
      INFO("dtype ", dtype, ", shape ", to_string(shape));
      Tensors first;
      for (const std::uint64_t seed : {0u, 1u, 2u}) {
        const Gpus machine(1, seed);
        manual_seed(4);
        const Tensors got =
            check_like_cpu([](const Tensors& x) { return cat({sum(x[0], {0, 2}), sum(x[0], {0, 1})}); },
                           {randn(shape, {.dtype = dtype})}, gpu);
        if (first.empty()) first = got;
        CHECK(bit_equal(got, first));
      }
    }
}

TEST_CASE("sums of so many outputs that their blocks alone keep a GPU busy") {
  const Gpus machine;
  manual_seed(6);
  check_like_cpu([](const Tensors& x) { return sum(x[0], {0}); }, {randn({513, 16'401})}, gpu);
}

TEST_CASE("cross_entropy of items that blocks share, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64})
    for (const DType target_dtype : {int64, int32, uint8})
      for (const std::int64_t items : {0, 1, 1000, 20'001}) {
        if (items > 1000 && target_dtype != int64) continue;
        INFO("dtype ", dtype, ", targets ", target_dtype, ", items ", items);
        Tensors first;
        for (const std::uint64_t seed : {0u, 1u}) {
          const Gpus machine(1, seed);
          manual_seed(5);
          const Tensor targets = randint(0, 3, {items}).to(target_dtype);
          const auto loss = [&](const Tensors& x) {
            return cross_entropy(x[0], targets.to(x[0].device()), {.ignore_index = 2});
          };
          const Tensors got = check_like_cpu(loss, {random_leaf({items, 3}, dtype)}, gpu);
          if (first.empty()) first = got;
          if (items > 1) CHECK(bit_equal(got, first));
        }
      }
}

TEST_CASE("cross_entropy: small losses write their gradient, which is that of a backward kernel") {
  const Gpus machine;
  manual_seed(9);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : {Shape{32, 10},
                               {1, 1},
                               {1024, 3},
                               {1025, 3},
                               {70, 256},
                               {70, 257},
                               {5, 33, 7},
                               {40, 4, 0},
                               {33, 2, 31},
                               {33, 2, 32}})
      for (const CrossEntropyOptions& options : {CrossEntropyOptions{},
                                                 {.ignore_index = 0},
                                                 {.reduction = Reduction::sum, .label_smoothing = 0.1}}) {
        INFO("dtype ", dtype, ", shape ", shape, ", ignored ", options.ignore_index);
        Shape items = shape;
        items.erase(1);
        const Tensor target = randint(0, shape[1], items, {.device = gpu});
        const Tensor x = randn(shape, {.dtype = dtype}).to(gpu);
        const auto loss_and_gradient = [&](Device device, double upstream) {
          const Tensor leaf = x.detach().to(device).requires_grad_();
          const Tensor loss = cross_entropy(leaf, target.to(device), options);
          loss.backward(upstream == 1 ? Tensor() : full({}, upstream, {.dtype = dtype, .device = device}));
          return Tensors{nan_to_num(loss.detach()), leaf.grad()};  // NaN: the mean of none
        };
        const Tensors once = loss_and_gradient(gpu, 1), twice = loss_and_gradient(gpu, 2);
        const Tensors expected{nan_to_num(cross_entropy(x, target, options)), twice[1] / 2};  // no rounding
        CHECK(bit_equal(once, expected));
        check_close(once[1], loss_and_gradient(Device::cpu(), 1)[1]);
      }
}

TEST_CASE("norms of gradients of every kind") {
  const Gpus machine;
  manual_seed(2);
  for (const DType dtype : {float32, float64})
    for (const kernels::NormKind kind :
         {kernels::NormKind::one, kernels::NormKind::two, kernels::NormKind::infinity}) {
      const Tensors gradients{randn({3}, {.dtype = dtype}), randn({10'001}, {.dtype = dtype}),
                              randn({0}, {.dtype = dtype})};
      const auto norm = [&](const kernels::Backend& backend, Device device, kernels::Stream stream) {
        Tensors there;
        std::vector<kernels::GradientRow> rows;
        for (const Tensor& g : gradients) {
          there.push_back(g.to(device));
          rows.push_back({raw(there.back()), g.numel()});
        }
        const Tensor partials = zeros({kernels::norm_partials(rows)}, {.dtype = float64, .device = device});
        Tensor result = zeros({1}, {.dtype = float64, .device = device});
        backend.optimizer.norm(dtype, kind, rows, reinterpret_cast<double*>(raw(partials)),
                               reinterpret_cast<double*>(raw(result)), stream);
        return result.cpu();
      };
      check_close(norm(kernels::cuda_backend(), gpu, stream(gpu)),
                  norm(kernels::cpu_backend(), Device::cpu(), {}));
    }
}

TEST_CASE("rows of every dtype are picked") {
  const Gpus machine;
  manual_seed(3);
  const auto select = [](const Tensors& x) {
    return index_select(x[0], 0, tensor({2, 0, 2, 1}).to(x[0].device()));
  };
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16}) {
    const Tensors x{numbers({3, 7}, float32).to(dtype)};
    CHECK(select(Tensors{x[0].to(gpu)}).to_vector<double>() == select(x).to_vector<double>());
  }
}

}  // namespace
}  // namespace miniparallel::testing
