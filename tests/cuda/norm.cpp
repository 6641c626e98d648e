#include <miniparallel/random.h>

#include "compare.h"
#include "gpus.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

/// The sum of two calls, so that gradients are written by one and added to by the other.
Function twice(const Function& function) {
  return [function](const Tensors& x) { return function(x) + function(x) * 0.5; };
}

Tensor batch_norm_training(const Tensors& x) {
  return batch_norm(x[0], x[1], x[2], {}, {}, {.training = true});
}

/// A number whose gradients are sums without cancellation: both devices' are exact to the tolerance.
Function summed(const Function& function) {
  return [function](const Tensors& x) {
    const Tensor y = function(x);
    return sum(y * y * y);
  };
}

Tensor layer_norm_of_last(const Tensors& x) { return layer_norm(x[0], {x[0].size(-1)}, x[1], x[2]); }

TEST_CASE("batch_norm over awkward shapes") {
  const Gpus machine;
  manual_seed(1);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{2, 1},
                                                 {1, 1, 2},
                                                 {7, 3},
                                                 {6, 9},
                                                 {130, 33},
                                                 {5, 4, 1},
                                                 {5, 2, 3, 7},
                                                 {3, 40, 5},
                                                 {2, 3, 17, 16},
                                                 {300, 2, 3}}) {
      INFO("shape ", to_string(shape));
      const Shape channels{shape[1]};
      const Tensors x{random_leaf(shape, dtype), random_leaf(channels, dtype), random_leaf(channels, dtype)};
      check_like_cpu(twice(batch_norm_training), x, gpu);
      check_like_cpu(
          twice([](const Tensors& in) { return batch_norm(in[0], {}, {}, {}, {}, {.training = true}); }),
          {x[0]}, gpu);
      const Tensor mean = randn(channels, {.dtype = dtype}), variance = mean * mean + 0.1;
      check_like_cpu(twice([](const Tensors& in) { return batch_norm(in[0], in[1], in[2], in[3], in[4]); }),
                     {x[0], x[1], x[2], mean, variance}, gpu);
    }
}

TEST_CASE("channels that many blocks share, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{2, 2, 130, 129}, {1500, 33}}) {
      INFO("shape ", to_string(shape));
      Tensors first;
      for (const std::uint64_t seed : {0u, 1u, 2u}) {
        const Gpus machine(1, seed);
        manual_seed(2);
        const Shape channels{shape[1]};
        const Tensors x{random_leaf(shape, dtype), random_leaf(channels, dtype),
                        random_leaf(channels, dtype)};
        const Tensors got = check_like_cpu(summed(batch_norm_training), x, gpu);
        if (first.empty()) first = got;
        CHECK(bit_equal(got, first));
      }
    }
}

TEST_CASE("statistics of numbers whose mean is large beside their spread") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{2, 2, 90, 91}, {1000, 8}}) {
      INFO("shape ", to_string(shape));
      const double large = dtype == float32 ? 3e3 : 1e8;
      const Tensor x = randn(shape, {.dtype = dtype}) + large;
      const auto statistics = [large](const Tensors& in) {
        const TensorOptions like{.dtype = in[0].dtype(), .device = in[0].device()};
        const Tensor running_mean = zeros({in[0].size(1)}, like), running_var = zeros({in[0].size(1)}, like);
        batch_norm(in[0], {}, {}, running_mean, running_var, {.training = true, .momentum = 1});
        return cat({running_mean / large, running_var});
      };
      check_like_cpu(statistics, {x}, gpu);
    }
}

TEST_CASE("layer_norm over awkward shapes, long rows and views that are not aligned") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{1, 1},
                                                 {3, 2},
                                                 {9, 31},
                                                 {1, 33},
                                                 {20, 100},  // held in registers by a warp
                                                 {17, 400},
                                                 {9, 1024},
                                                 {2, 2047},
                                                 {3, 2048},  // by a block
                                                 {2, 5000},
                                                 {2, 5001},
                                                 {2, 9000},  // by none
                                                 {0, 4}}) {
      INFO("shape ", to_string(shape));
      const Shape width{shape[1]};
      const Tensors x{random_leaf(shape, dtype), random_leaf(width, dtype), random_leaf(width, dtype)};
      check_like_cpu(twice(layer_norm_of_last), x, gpu);
      check_like_cpu(twice([](const Tensors& in) { return layer_norm(in[0], {in[0].size(-1)}); }), {x[0]},
                     gpu);
      const auto rows_but_first = [](const Tensors& in) {
        return layer_norm(in[0].slice(0, 1, in[0].size(0)), {in[0].size(-1)}, in[1]);
      };
      if (shape[0] > 1) check_like_cpu(rows_but_first, {x[0], x[1]}, gpu);
      const auto at_odd_place = [&](const Tensors& in) {
        return layer_norm(in[0].slice(0, 1, shape.numel() + 1).reshape(shape), {shape[1]}, in[1], in[2]);
      };
      check_like_cpu(twice(at_odd_place), {random_leaf({shape.numel() + 1}, dtype), x[1], x[2]}, gpu);
      const auto far_from_zero = [](const Tensors& in) { return layer_norm(in[0] + 100, {in[0].size(-1)}); };
      check_like_cpu(far_from_zero, {x[0]}, gpu);
    }
}

TEST_CASE("layer_norm's sums over many rows, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64}) {
    Tensors first;
    for (const std::uint64_t seed : {0u, 1u, 2u}) {
      const Gpus machine(1, seed);
      manual_seed(5);
      const Tensors x{random_leaf({1100, 37}, dtype), random_leaf({37}, dtype), random_leaf({37}, dtype)};
      const Tensors got = check_like_cpu(summed(layer_norm_of_last), x, gpu);
      if (first.empty()) first = got;
      CHECK(bit_equal(got, first));
    }
  }
}

}  // namespace
}  // namespace miniparallel::testing
