#include <miniparallel/random.h>

#include "compare.h"
#include "engine/ops/running_statistics.h"
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
  for (const DType dtype : {float32, float64, float16, bfloat16})
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

TEST_CASE("batch_norm with a residual and relu") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const Shape& shape : std::vector<Shape>{{7, 3}, {130, 33}, {5, 2, 3, 7}, {2, 3, 17, 16}})
      for (const bool with_residual : {false, true})
        for (const bool training : {false, true}) {
          INFO("shape ", to_string(shape), ", residual: ", with_residual, ", training: ", training);
          const Shape channels{shape[1]};
          const Tensor mean = randn(channels, {.dtype = dtype}), variance = mean * mean + 0.1;
          Tensors x{random_leaf(shape, dtype), random_leaf(channels, dtype), random_leaf(channels, dtype),
                    mean, variance};
          if (with_residual) x.push_back(random_leaf(shape, dtype));
          check_like_cpu(twice([=](const Tensors& in) {
                           return batch_norm(in[0], in[1], in[2], in[3].clone(), in[4].clone(),
                                             {.training = training,
                                              .activation = Activation::relu,
                                              .residual = with_residual ? in[5] : Tensor()});
                         }),
                         x, gpu);
        }
}

TEST_CASE("add_layer_norm over rows of all kinds, with and without dropout") {
  const Gpus machine;
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const std::int64_t width : {1, 5, 64, 300, 768, 3000, 4096})
      for (const double p : {0.0, 0.3})
        for (const int used : {1, 2, 3}) {  // y, the sum, both
          INFO(dtype, ", width ", width, ", dropout ", p, ", used: ", used);
          manual_seed(8);
          const Shape shape{3, 4, width};
          check_like_cpu(
              [=](const Tensors& in) {
                manual_seed(9);
                const AddNorm made = add_layer_norm(in[0], in[1], {width}, in[2], in[3], {.dropout = p});
                return used == 1 ? made.y : used == 2 ? made.sum : cat({made.y, made.sum});
              },
              {random_leaf(shape, dtype), random_leaf(shape, dtype), random_leaf({width}, dtype),
               random_leaf({width}, dtype)},
              gpu);
        }
}

TEST_CASE("channels that many blocks share, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64, float16, bfloat16})
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

TEST_CASE("groups that many blocks share, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64, float16, bfloat16}) {
    Tensors first;
    for (const std::uint64_t seed : {0u, 1u, 2u}) {
      const Gpus machine(1, seed);
      manual_seed(2);
      const Tensors x{random_leaf({1, 4, 130, 129}, dtype), random_leaf({4}, dtype), random_leaf({4}, dtype)};
      const auto of_groups = [](const Tensors& in) { return group_norm(in[0], 2, in[1], in[2]); };
      const Tensors got = check_like_cpu(summed(of_groups), x, gpu);
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
  for (const DType dtype : {float32, float64, float16, bfloat16})
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
      check_like_cpu(twice([](const Tensors& in) { return rms_norm(in[0], {in[0].size(-1)}, in[1]); }),
                     {x[0], x[1]}, gpu);
      const auto far_from_zero = [](const Tensors& in) { return layer_norm(in[0] + 100, {in[0].size(-1)}); };
      check_like_cpu(far_from_zero, {x[0]}, gpu);
    }
}

TEST_CASE("group_norm over awkward shapes") {
  const Gpus machine;
  manual_seed(7);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape :
         std::vector<Shape>{{3, 6, 8, 8}, {2, 6, 7, 7}, {65, 24}, {9, 6, 3}, {2, 6, 9000}}) {
      INFO("shape ", to_string(shape));
      const Shape channels{shape[1]};
      // Sums of 18,000 numbers of which little is left.
      const double roundings = shape.rank() == 3 && shape[2] == 9000 ? 10 : 1;
      const Tensors x{random_leaf(shape, dtype), random_leaf(channels, dtype), random_leaf(channels, dtype)};
      for (const int groups : {1, 2, 6})
        check_like_cpu(twice([=](const Tensors& in) { return group_norm(in[0], groups, in[1], in[2]); }), x,
                       gpu, roundings);
      check_like_cpu(twice([](const Tensors& in) { return group_norm(in[0] + 50, 3); }), {x[0]}, gpu);
      check_like_cpu([](const Tensors& in) { return group_norm(in[0], 3, {}, in[1]); }, {x[0], x[1]}, gpu,
                     roundings);
    }
}

TEST_CASE("layer_norm's sums over many rows, whatever the order of blocks and threads") {
  for (const DType dtype : {float32, float64, float16, bfloat16}) {
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

/// Statistics of layers of several widths, in parts, brought up to date twice.
Tensors running_after(Device device, DType dtype, std::size_t layers, std::int64_t parts) {
  manual_seed(4);
  BatchParts division{{}, 0};
  std::int64_t channels = 0;
  for (std::size_t layer = 0; layer < layers; ++layer) channels += static_cast<std::int64_t>(layer % 7) * 47;
  division.stride = 2 * channels;
  double rest = 1;
  for (std::int64_t part = 0; part + 1 < parts; ++part) {
    division.shares.push_back(rest * 0.4);
    rest *= 0.6;
  }
  division.shares.push_back(rest);
  const Tensor means = randn({parts, channels}, {.dtype = dtype}),
               variances = rand({parts, channels}, {.dtype = dtype});
  const Tensor all = cat({means, variances}, 1).to(device);
  std::vector<StatisticsUpdate> updates;
  std::int64_t first = 0;
  for (std::size_t layer = 0; layer < layers; ++layer) {
    const std::int64_t width = static_cast<std::int64_t>(layer % 7) * 47;
    StatisticsUpdate& made = updates.emplace_back();
    made.running = {randn({width}, {.dtype = dtype}).to(device), rand({width}, {.dtype = dtype}).to(device),
                    full({}, static_cast<std::int64_t>(layer), {.dtype = int64}).to(device), 0.1};
    if (layer % 3 == 1) made.running.momentum = std::nullopt;
    if (layer % 3 == 2) made.running.num_batches_tracked = Tensor();
    made.batch = {all[0].narrow(0, first, width), all[0].narrow(0, channels + first, width), 50};
    first += width;
  }
  Tensors running;
  for (int step = 0; step < 2; ++step) update(updates, division);
  for (const StatisticsUpdate& of : updates) {
    running.insert(running.end(), {of.running.mean.cpu(), of.running.var.cpu()});
    if (of.running.num_batches_tracked.defined()) running.push_back(of.running.num_batches_tracked.cpu());
  }
  return running;
}

TEST_CASE("running statistics of few and many layers, of batches in few and many parts") {
  const Gpus machine;
  for (const DType dtype : {float32, float64})
    for (const auto& [layers, parts] : std::vector<std::pair<std::size_t, std::int64_t>>{
             {0, 1}, {1, 1}, {5, 2}, {48, 16}, {49, 3}, {3, 17}, {400, 2}, {2, 896}}) {
      CAPTURE(layers);
      CAPTURE(parts);
      const Tensors here = running_after(Device::cpu(), dtype, layers, parts);
      const Tensors there = running_after(gpu, dtype, layers, parts);
      const double tolerance = dtype == float32 ? 1e-6 : 1e-13;
      for (std::size_t i = 0; i < here.size(); ++i) CHECK(allclose(there[i], here[i], tolerance, tolerance));
    }
  CHECK_THROWS_WITH_AS(running_after(Device::cpu(), float32, 1, 897),
                       "batch_norm: a batch in 897 parts; its statistics can be merged from at most 896",
                       Error);
}

}  // namespace
}  // namespace miniparallel::testing
