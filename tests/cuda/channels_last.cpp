#include "channels_last.h"

#include "engine/ops/dropout.h"
#include "kernels/map_layout.h"

// Tensors whose channels are innermost (engine/tensor/channels_last.h): which ops keep that layout, that
// results and gradients are those of row-major ones, and that no program sees the difference.

namespace miniparallel::testing {
namespace {

TEST_CASE("channels-last: who can be, and who is") {
  const Gpus machine;
  CHECK(can_be_channels_last({2, 8, 3, 3}, float16));
  CHECK_FALSE(can_be_channels_last({2, 4, 3, 3}, float16));
  CHECK(can_be_channels_last({2, 4, 3, 3}, float32));
  CHECK_FALSE(can_be_channels_last({2, 8, 3, 3}, float64));
  CHECK_FALSE(can_be_channels_last({2, 8, 1, 1}, float16));
  CHECK_FALSE(can_be_channels_last({0, 8, 3, 3}, float16));
  CHECK_FALSE(can_be_channels_last({2, 8, 9}, float16));
  CHECK(can_be_channels_last({2, 12, 3, 3}, boolean));
  CHECK_FALSE(can_be_channels_last({2, 8, 3, 3}, int64));
  const Tensor x = make_channels_last({2, 8, 3, 5}, bfloat16, gpu);
  CHECK(x.strides() == Shape{120, 1, 40, 8});
  CHECK_FALSE(x.is_contiguous());
  CHECK(make_channels_last({2, 8, 1, 1}, bfloat16, gpu).is_contiguous());
}

TEST_CASE("channels-last: elementwise ops and conversions keep it, as plain arrays") {
  const Gpus machine;
  const Tensor x = randn({2, 16, 3, 5}, {.device = gpu}).to(float16), y = last(x);
  const Tensor number = randn({1, 16, 1, 1}, {.device = gpu}).to(float16);
  for (const auto& [a, b] :
       std::vector<std::pair<Tensor, Tensor>>{{relu(x), relu(y)},
                                              {x + x, y + y},
                                              {x * 2, y * 2},
                                              {x * number, y * number},
                                              {number - x, number - y},
                                              {x.to(float32), y.to(float32)},
                                              {silu(x), silu(y)},
                                              {x > 0, y > 0},
                                              {x != number, y != number},
                                              {where(x > 0, x, number), where(y > 0, y, number)},
                                              {masked_fill(x, x > 0, 2), masked_fill(y, y > 0, 2)},
                                              {isnan(x), isnan(y)},
                                              {lerp(x, x + x, number), lerp(y, y + y, number)}}) {
    CHECK(is_last(b));
    CHECK_FALSE(is_last(a));
    CHECK(bit_equal({a}, {b}));
  }
  CHECK_FALSE(is_last(x + y));
  CHECK_FALSE(is_last(x > y));
  CHECK_FALSE(is_last(where(x > 0, y, y)));
  CHECK(bit_equal({x + y}, {x + x}));
  CHECK_FALSE(is_last(y.to(float64)));
  CHECK_FALSE(is_last(y.clone()));
  CHECK_FALSE(is_last(y.contiguous()));
  CHECK(kernels::make_map_layout(y.shape(), {y.strides(), y.strides()}).contiguous());
  const kernels::Layout mixed = kernels::make_map_layout(y.shape(), {y.strides(), x.strides()});
  CHECK(mixed.rank == 3);
  CHECK(mixed.strides[0][2] == 1);
}

TEST_CASE("channels-last: a view sees the row-major order, and its writes reach the tensor") {
  const Gpus machine;
  const Tensor values = randn({2, 8, 3, 5}, {.device = gpu});
  const auto each = [&](const char* name, const std::function<Tensor(const Tensor&)>& view) {
    INFO(name);
    Tensor y = last(values);
    const Tensor other = y;  // the same tensor
    const NoGradGuard no_grad;
    Tensor part = view(y);
    CHECK(bit_equal({part}, {view(values)}));
    CHECK_FALSE(is_last(y));
    CHECK(y.is_contiguous());
    part.zero_();
    Tensor expected = values.clone();
    view(expected).zero_();
    CHECK(bit_equal({y, other}, {expected, expected}));
  };
  each("view", [](const Tensor& x) { return x.view({2, -1}); });
  each("reshape", [](const Tensor& x) { return x.reshape({-1}); });
  each("flatten", [](const Tensor& x) { return x.flatten(1); });
  each("permute", [](const Tensor& x) { return x.permute({0, 2, 3, 1}); });
  each("transpose", [](const Tensor& x) { return x.transpose(1, 2); });
  each("slice", [](const Tensor& x) { return x.slice(1, 2, 5); });
  each("select", [](const Tensor& x) { return x[1]; });
  each("unsqueeze", [](const Tensor& x) { return x.unsqueeze(0); });
  each("squeeze", [](const Tensor& x) { return x.squeeze(); });
  each("diagonal", [](const Tensor& x) { return x.diagonal(0, 2, 3); });
  each("chunk", [](const Tensor& x) { return x.chunk(2, 1)[1]; });
  each("detach", [](const Tensor& x) { return x.detach(); });
}

TEST_CASE("channels-last: views of a result in a graph, and writes through them") {
  const Gpus machine;
  const auto function = [](const Tensors& x) {
    Tensor y = relu(last(x[0]));  // which keeps its result for backward
    const Tensor flat = y.view({2, -1});
    Tensor z = last(x[0] * 2);
    z[0].mul_(3);
    return flat.sum() + (z * z).sum() + (y * x[1]).sum();
  };
  check_like_cpu(function, {random_leaf({2, 8, 3, 5}, float32), random_leaf({2, 8, 3, 5}, float32)}, gpu);
}

TEST_CASE("channels-last: gradients meet in either layout") {
  const Gpus machine;
  const auto function = [](const Tensors& x) {
    const Tensor y = last(x[0]);
    const Tensor rows = x[0].contiguous();
    const Tensor both = max_pool2d(y * y, 2) + avg_pool2d(y, 2) + max_pool2d(relu(rows), 2) +
                        batch_norm(max_pool2d(y, 2), {}, {}, {}, {}, {.training = true});
    return both * last(x[1]) + y.slice(2, 0, 2).slice(3, 0, 3);
  };
  for (const DType dtype : kDTypes)
    check_like_cpu(function, {random_leaf({2, 8, 4, 6}, dtype), random_leaf({2, 8, 2, 3}, dtype)}, gpu, 8);
}

TEST_CASE("channels-last: clones, copies between devices and NumPy's order") {
  const Gpus machine(2);
  const Tensor x = randn({2, 8, 3, 5}, {.device = gpu}), y = last(x);
  CHECK(bit_equal({y.to(machine.last()), y.cpu(), y.clone()}, {x, x, x}));
  CHECK(is_last(y));
  CHECK(y.to_vector<float>() == x.to_vector<float>());
  Tensor z = last(zeros({2, 8, 3, 5}, {.device = gpu}));
  z.copy_(x);
  CHECK(bit_equal({z}, {x}));
  z.fill_(2).add_(1);
  CHECK(is_last(z));
  CHECK(bit_equal({z}, {full({2, 8, 3, 5}, 3.0)}));
}

// --- dropout, cat, where, upsample

TEST_CASE("channels-last: dropout draws the numbers of the row-major order, as the CPU") {
  const Gpus machine;
  for (const DType dtype : kDTypes)
    for (const Shape& shape :
         {Shape{2, 16, 4, 6}, Shape{3, 8, 3, 5}, Shape{1, 24, 1, 2}, Shape{2, 40, 5, 1}, Shape{2, 8, 17, 33}})
      for (const std::int64_t before : {0, 3}) {  // positions in the stream
        INFO(shape, before, static_cast<int>(dtype));
        const auto function = [&](const Tensors& x) {
          const kernels::DropoutMask mask{0.3, {.seed = 7, .ordinal = 2, .first = before}};
          const Tensor y = masked_scale(last(x[0]), mask);
          if (x[0].device().is_cuda()) CHECK(is_last(y));
          return y + masked_scale(last(x[0]) * 2, mask);
        };
        check_like_cpu(function, {random_leaf(shape, dtype)}, gpu, 2);
        const kernels::DropoutMask mask{0.5, {.seed = 8, .ordinal = 1, .first = before}};
        const Tensor x = ones(shape, {.dtype = dtype, .device = gpu});
        CHECK(bit_equal({masked_scale(last(x), mask)}, {masked_scale(x, mask)}));
      }
}

TEST_CASE("channels-last: cat along any dimension and its gradient") {
  const Gpus machine;
  manual_seed(28);
  for (const DType dtype : kDTypes)
    for (const int dim : {0, 1, 2, 3})
      for (const bool mixed : {false, true}) {
        INFO(dim, mixed, static_cast<int>(dtype));
        const auto function = [&](const Tensors& x) {
          const Tensor second = mixed ? x[1] * 1 : last(x[1]);
          const Tensor y =
              cat({last(x[0]), zeros({0}, {.dtype = dtype, .device = x[0].device()}), second}, dim);
          if (x[0].device().is_cuda()) CHECK(is_last(y));
          return avg_pool2d(relu(y) + y, 1);  // whose gradient is channels-last, too
        };
        Shape more{2, 16, 3, 5};
        more[dim] = dim == 1 ? 8 : 4;
        check_like_cpu(function, {random_leaf({2, 16, 3, 5}, dtype), random_leaf(more, dtype)}, gpu, 2);
      }
}

TEST_CASE("channels-last: cat of dtypes and of channels that make no packs alone") {
  const Gpus machine;
  manual_seed(29);
  const auto function = [](const Tensors& x) {
    const Tensor half = last(x[0].to(bfloat16));
    const Tensor y = cat({half, x[1], x[2]}, 1);
    if (x[0].device().is_cuda()) CHECK(is_last(y));
    return avg_pool2d(y * y, 1);
  };
  check_like_cpu(function,
                 {random_leaf({2, 8, 3, 4}, float32), random_leaf({2, 3, 3, 4}, float32),
                  random_leaf({2, 5, 3, 4}, float32)},
                 gpu, 700);  // the first gradient passes bfloat16
}

TEST_CASE("channels-last: upsample and where, and their gradients") {
  const Gpus machine;
  manual_seed(30);
  for (const DType dtype : kDTypes)
    for (const Size2 factor : {Size2{2}, Size2{4, 1}, Size2{1, 2}, Size2{3}}) {
      INFO(factor.height, factor.width, static_cast<int>(dtype));
      const auto function = [&](const Tensors& x) {
        const Tensor y = last(x[0]);
        const Tensor z = upsample(where(y > 0, y, y * 0.5), factor);
        CHECK(is_last(interpolate(y, {.size = {3 * factor.height, 5 * factor.width}})) == is_last(z));
        if (x[0].device().is_cuda()) CHECK(is_last(z) == (factor.height != 3));
        return z;
      };
      check_like_cpu(function, {random_leaf({2, 16, 3, 5}, dtype)}, gpu, 2);
    }
}

// --- batch normalisation

struct Norm {
  const char* name;
  Shape shape;
  bool training = true, affine = true, relu = false, residual = false;
};

Function norm_of(const Norm& one) {
  return [one](const Tensors& x) {
    const auto like = [&](double value) {
      return full({one.shape[1]}, value, {.dtype = float32, .device = x[0].device()});
    };
    const Tensor y = batch_norm(last(x[0]), one.affine ? x[2] : Tensor(), one.affine ? x[3] : Tensor(),
                                one.training ? Tensor() : like(0.5), one.training ? Tensor() : like(2),
                                {.training = one.training,
                                 .activation = one.relu ? Activation::relu : Activation::none,
                                 .residual = one.residual ? last(x[1]) : Tensor()});
    if (x[0].device().is_cuda()) CHECK(is_last(y));
    return y;
  };
}

const std::vector<Norm>& norms() {
  static const std::vector<Norm> list{
      {"plain", {3, 16, 5, 7}},
      {"one pack", {2, 8, 3, 3}},
      {"three packs", {2, 24, 3, 3}, true, false},
      {"five packs", {2, 40, 5, 3}, true, true, true},
      {"two blocks of packs", {2, 264, 2, 3}, true, true, false, true},
      {"relu and residual", {3, 32, 9, 5}, true, true, true, true},
      {"many chunks", {4, 16, 40, 41}, true, true, true},
      {"fixed statistics", {3, 16, 5, 7}, false},
      {"fixed statistics, relu", {3, 16, 5, 7}, false, false, true},
      {"fixed statistics, residual", {3, 16, 5, 7}, false, true, false, true},
      {"one image", {1, 16, 2, 1}},
  };
  return list;
}

Tensors inputs_of(const Norm& one, DType dtype) {
  Tensors x{random_leaf(one.shape, dtype), random_leaf(one.shape, dtype)};
  x.push_back(random_leaf({one.shape[1]}, float32));
  x.push_back(random_leaf({one.shape[1]}, float32));
  return x;
}

TEST_CASE("channels-last: batch_norm and its gradients") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : kDTypes)
    for (const Norm& one : norms()) {
      INFO(one.name, ", ", static_cast<int>(dtype));
      check_like_cpu(norm_of(one), inputs_of(one, dtype), gpu, dtype == float32 ? 3 : 1);
    }
}

TEST_CASE("channels-last: statistics far from zero are good, too") {
  const Gpus machine;
  manual_seed(4);
  const Tensor x = randn({4, 8, 33, 31}) + 4096;
  const auto variance = [](const Tensor& in) {
    const TensorOptions options{.dtype = in.dtype(), .device = in.device()};
    const Tensor mean = zeros({8}, options), spread = zeros({8}, options);
    batch_norm(in, {}, {}, mean, spread, {.training = true, .momentum = 1});
    return spread.to(float32).cpu();
  };
  check_close(variance(last(x.to(gpu))), variance(x.to(float64)));
}

TEST_CASE("channels-last: batch_norm's sums do not depend on the order of threads and blocks") {
  const Norm one{"many chunks", {4, 16, 40, 41}, true, true, true, true};
  Tensors first;
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    const Gpus machine(1, seed);
    manual_seed(5);
    const Tensors got = value_and_gradients(norm_of(one), inputs_of(one, bfloat16), gpu);
    if (first.empty()) first = got;
    CHECK(bit_equal(got, first));
  }
}

// --- pools

struct Pool {
  const char* name;
  Shape shape;
  std::function<Tensor(const Tensor&)> function;
};

const std::vector<Pool>& pools() {
  static const std::vector<Pool> list{
      {"max 2", {2, 16, 6, 8}, [](const Tensor& x) { return max_pool2d(x, 2); }},
      {"max 3, stride 2, padding 1",
       {2, 24, 7, 9},
       [](const Tensor& x) { return max_pool2d(x, 3, {.stride = 2, .padding = 1}); }},
      {"max 3 x 1, stride 1 x 2",
       {1, 8, 5, 6},
       [](const Tensor& x) { return max_pool2d(x, {3, 1}, {.stride = Size2{1, 2}}); }},
      {"max of all", {3, 8, 5, 4}, [](const Tensor& x) { return max_pool2d(x, {5, 4}); }},
      {"max of more than 256", {1, 8, 17, 18}, [](const Tensor& x) { return max_pool2d(x, 17); }},
      {"average 3, padding 1",
       {2, 16, 7, 6},
       [](const Tensor& x) { return avg_pool2d(x, 3, {.stride = 2, .padding = 1}); }},
      {"average of large windows", {2, 8, 14, 13}, [](const Tensor& x) { return avg_pool2d(x, {7, 6}); }},
      {"average of all", {3, 16, 9, 7}, [](const Tensor& x) { return avg_pool2d(x, {9, 7}); }},
      {"adaptive", {2, 16, 7, 9}, [](const Tensor& x) { return adaptive_avg_pool2d(x, {3, 4}); }},
      {"adaptive to more", {2, 8, 3, 2}, [](const Tensor& x) { return adaptive_avg_pool2d(x, {5, 4}); }},
      {"adaptive to one", {3, 64, 7, 7}, [](const Tensor& x) { return adaptive_avg_pool2d(x, 1); }},
      {"mean", {3, 16, 5, 7}, [](const Tensor& x) { return mean(x, {2, 3}); }},
  };
  return list;
}

TEST_CASE("channels-last: pools and their gradients") {
  const Gpus machine;
  manual_seed(6);
  for (const DType dtype : kDTypes)
    for (const Pool& one : pools()) {
      INFO(one.name, ", ", static_cast<int>(dtype));
      const auto function = [&](const Tensors& x) {
        const Tensor y = one.function(last(x[0]));
        return y + one.function(last(x[0]) * 2);
      };
      check_like_cpu(function, {random_leaf(one.shape, dtype)}, gpu, 2);
    }
}

TEST_CASE("channels-last: pools find NaN and the first of equal elements as row-major ones do") {
  const Gpus machine;
  manual_seed(7);
  Tensor x = randint(0, 3, {2, 8, 6, 6}).to(float32);
  x = where(x == 2, std::nan(""), x).to(gpu);
  const auto pooled = [&](bool channels_last) {
    const Tensor leaf = x.detach().requires_grad_();
    const Tensor y = max_pool2d(channels_last ? last(leaf) : leaf, 3, {.stride = 1, .padding = 1});
    y.sum().backward();
    return Tensors{isnan(y).to(float32), where(isnan(y), 0, y), leaf.grad()};
  };
  CHECK(bit_equal(pooled(true), pooled(false)));
}

// --- second derivatives, and what is launched

TEST_CASE("channels-last: gradients can be differentiated") {
  const Gpus machine;
  manual_seed(8);
  const auto function = [](const Tensors& x) {
    const Tensor y = batch_norm(last(x[0]), {}, {}, {}, {},
                                {.training = true, .activation = Activation::relu, .residual = last(x[1])});
    return avg_pool2d(max_pool2d(y * y, 2), 2) + adaptive_avg_pool2d(y, 1);
  };
  const Tensors x{random_leaf({2, 8, 4, 4}, float32), random_leaf({2, 8, 4, 4}, float32)};
  const Tensors expected = second_derivatives(function, x, Device::cpu()),
                got = second_derivatives(function, x, gpu);
  for (std::size_t i = 0; i < got.size(); ++i) check_close(got[i], expected[i], 20);
}

TEST_CASE("channels-last: the gradient of a maximum's gradient, in each dtype") {
  const Gpus machine;
  manual_seed(20);
  for (const DType dtype : kDTypes) {
    const Tensor x = randn({2, 8, 5, 7}).to(dtype), v = randn({2, 8, 3, 4}).to(dtype);
    const auto run = [&](Device device) {
      const Tensor leaf = x.to(device).detach().requires_grad_(),
                   seed = v.to(device).detach().requires_grad_();
      const Tensor y = max_pool2d(last(leaf), 3, {.stride = 2, .padding = 1});
      const Tensor g = autograd::grad({y}, {leaf}, {.gradients = {seed}, .create_graph = true})[0];
      return autograd::grad({(g * g).sum()}, {seed})[0].cpu();
    };
    check_close(run(gpu), run(Device::cpu()), 2);
  }
}

TEST_CASE("channels-last: normalisation, sums and pools copy nothing") {
  const Gpus machine;
  const Tensor weight = ones({16}, {.device = gpu}).requires_grad_(), bias = weight.detach().requires_grad_();
  for (const DType dtype : kDTypes) {
    const Tensor x = last(randn({2, 16, 8, 8}, {.device = gpu}).to(dtype)).requires_grad_();
    const Tensor seed = last(randn({2, 16, 4, 4}, {.device = gpu}).to(dtype));
    const auto calls = calls_of([&] {
      const Tensor y =
          batch_norm(x, weight, bias, {}, {}, {.training = true, .activation = Activation::relu});
      const Tensor z = batch_norm(y, weight, bias, {}, {}, {.training = true, .residual = y});
      autograd::grad({max_pool2d(relu(z + y), 2)}, {weight}, {.gradients = {seed}});
    });
    CHECK(calls.count("elementwise.convert") == 0);
    CHECK(calls.at("norm.batch_statistics") == 2);
  }
}

}  // namespace
}  // namespace miniparallel::testing
