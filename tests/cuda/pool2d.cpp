#include <miniparallel/random.h>

#include "compare.h"
#include "engine/device/accelerator.h"
#include "engine/tensor/tensor_impl.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"

#include <cmath>
#include <limits>

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

struct Case {
  Shape x;
  Size2 kernel;
  Pool2dOptions options = {};
};

const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {{1, 1, 1, 1}, 1},
      {{0, 3, 4, 4}, 2},
      {{2, 0, 4, 4}, 2},
      {{2, 3, 8, 6}, 2},
      {{2, 3, 9, 7}, 2},
      {{2, 3, 7, 5}, {3, 2}, {.stride = 1}},
      {{2, 3, 7, 8}, 3, {.stride = 2, .padding = 1}},
      {{1, 2, 5, 6}, {2, 4}, {.stride = Size2{1, 3}, .padding = {1, 2}}},
      {{2, 2, 11, 13}, {2, 3}, {.stride = Size2{5, 4}}},
      {{1, 2, 4, 3}, {4, 3}},
      {{3, 2, 6, 6}, 2, {.stride = 9}},
      {{2, 5, 21, 19}, {7, 5}, {.stride = 2, .padding = {3, 1}}},  // a warp for each mean
      {{1, 2, 40, 23},
       {18, 17},
       {.stride = Size2{3, 5}, .padding = {9, 1}}},  // windows that uint8 does not index
      {{40, 30, 4, 5}, {2, 1}},                      // many blocks
  };
  return list;
}

const std::vector<std::pair<Shape, Size2>>& adaptive_cases() {
  static const std::vector<std::pair<Shape, Size2>> list{
      {{1, 1, 1, 1}, 1},        {{0, 3, 4, 4}, 2},
      {{2, 3, 8, 6}, {4, 3}},   {{2, 3, 7, 5}, 1},
      {{2, 3, 7, 11}, {5, 4}},  {{1, 2, 3, 2}, {7, 5}},
      {{2, 3, 13, 15}, {2, 1}}, {{1, 1, 70'000, 1}, {65'537, 1}}};  // bounds of more than 32 bits
  return list;
}

/// Each gradient is written by one call and added to by the other.
Function twice(const std::function<Tensor(const Tensor&)>& pool) {
  return [pool](const Tensors& in) { return pool(in[0]) + pool(in[0]) * 2; };
}

void compare_all(DType dtype) {
  for (const Case& one : cases()) {
    INFO("input ", to_string(one.x), ", kernel ", one.kernel.height, " x ", one.kernel.width);
    const Tensors x{random_leaf(one.x, dtype)};
    check_like_cpu(twice([&](const Tensor& in) { return max_pool2d(in, one.kernel, one.options); }), x, gpu);
    check_like_cpu(twice([&](const Tensor& in) { return avg_pool2d(in, one.kernel, one.options); }), x, gpu);
  }
  for (const auto& [shape, output] : adaptive_cases()) {
    INFO("input ", to_string(shape), ", output ", output.height, " x ", output.width);
    const auto pool = [size = output](const Tensor& in) { return adaptive_avg_pool2d(in, size); };
    check_like_cpu(twice(pool), {random_leaf(shape, dtype)}, gpu);
  }
}

TEST_CASE("pooling and its gradients in 16 bits") {
  const Gpus machine;
  manual_seed(1);
  compare_all(float16);
  compare_all(bfloat16);
}

TEST_CASE("pooling and its gradients over awkward shapes, whatever the order of blocks and threads") {
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    const Gpus machine(1, seed);
    manual_seed(1);
    compare_all(seed == 1 ? float64 : float32);
  }
}

TEST_CASE("2 x 2 pooling of views that begin at odd places, and gradients written there") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{2, 3, 4, 6}, {130, 2, 2, 2}, {1, 5, 10, 4}}) {
      INFO("input ", to_string(shape));
      const auto pool_rest = [&](const Tensors& in) {
        return max_pool2d(in[0].slice(0, 1, shape.numel() + 1).reshape(shape), 2);
      };
      check_like_cpu(pool_rest, {random_leaf({shape.numel() + 1}, dtype)}, gpu);
      const auto scatter_there = [&](Device device) {
        const Tensor x = ones({shape.numel() + 1}, {.dtype = dtype, .device = device});
        const Tensor g = arange(shape.numel() / 4, {.dtype = dtype, .device = device});
        const Tensor index =
            (arange(shape.numel() / 4) - arange(shape.numel() / 4) / 4 * 4).to(uint8).to(device);
        const kernels::PoolAxis rows{shape[2], shape[2] / 2, 2, 2, 0},
            columns{shape[3], shape[3] / 2, 2, 2, 0};
        const kernels::Backend& backend = device.is_cuda() ? kernels::cuda_backend() : kernels::cpu_backend();
        backend.pool2d.max_scatter(dtype, {shape[0] * shape[1], rows, columns}, raw(g), {raw(index), uint8},
                                   {raw(x) + size_of(dtype), 1},
                                   device.is_cuda() ? stream(device) : kernels::Stream{});
        return x.cpu();
      };
      check_close(scatter_there(gpu), scatter_there(Device::cpu()));
    }
}

TEST_CASE("the gradient of max_pool2d's gradient picks the same elements") {
  const Gpus machine;
  manual_seed(2);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const Case& one : cases()) {
      INFO("input ", to_string(one.x), ", kernel ", one.kernel.height, " x ", one.kernel.width);
      const auto second = [&](const Tensors& in) {
        const Tensor x = in[0].detach().requires_grad_();
        const Tensor y = max_pool2d(x, one.kernel, one.options);
        const Tensor g = in[1].slice(0, 0, y.numel()).reshape(y.shape());
        return autograd::grad({y}, {x}, {.gradients = {g}, .create_graph = true})[0];
      };
      const Tensors x{randn(one.x, {.dtype = dtype}), random_leaf({one.x.numel() * 2 + 40}, dtype)};
      check_like_cpu(second, x, gpu);
    }
}

TEST_CASE("the first of equal elements, the last NaN, and windows of -infinity") {
  const Gpus machine;
  const double nan = std::nan(""), infinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : {float32, float64})
    for (const std::vector<double>& window : {std::vector<double>{1, 3, 3, 2},
                                              {nan, 3, nan, 4},
                                              {-infinity, -infinity, -infinity, -infinity},
                                              {5, 5, 5, 5}}) {
      const Tensor x = from_data(window.data(), {1, 1, 2, 2}, float64).to(dtype).requires_grad_();
      check_like_cpu([](const Tensors& in) { return max_pool2d(in[0], 2); }, {x}, gpu);
      check_like_cpu([](const Tensors& in) { return max_pool2d(in[0], 2, {.stride = 1, .padding = 1}); }, {x},
                     gpu);
    }
}

}  // namespace
}  // namespace miniparallel::testing
