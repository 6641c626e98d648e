#include <miniparallel/profiler.h>
#include <miniparallel/random.h>

#include "compare.h"
#include "engine/ops/common.h"
#include "gpus.h"
#include "kernels/map_layout.h"

#include <map>

// Tensors whose channels are innermost (engine/tensor/channels_last.h): which ops keep that layout, that
// results and gradients are those of row-major ones, and that no program sees the difference.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);
constexpr DType kDTypes[] = {float32, float16, bfloat16};

bool is_last(const Tensor& x) { return x.impl()->channels_last; }

/// Channels-last on a GPU; the CPU has no such layout.
Tensor last(const Tensor& x) {
  if (!x.device().is_cuda()) return x;
  const Tensor y = in_channels_last(x);
  CHECK(is_last(y) == can_be_channels_last(x.shape(), x.dtype()));
  return y;
}

std::map<std::string, std::int64_t> calls_of(const std::function<void()>& f) {
  synchronize(gpu);
  Profiler profile({}, {.table_rows = 0});
  f();
  profile.stop();
  std::map<std::string, std::int64_t> calls;
  for (const OpStats& row : profile.key_averages()) calls[row.name] = row.calls;
  return calls;
}

TEST_CASE("channels-last: who can be, and who is") {
  const Gpus machine;
  CHECK(can_be_channels_last({2, 8, 3, 3}, float16));
  CHECK_FALSE(can_be_channels_last({2, 4, 3, 3}, float16));
  CHECK(can_be_channels_last({2, 4, 3, 3}, float32));
  CHECK_FALSE(can_be_channels_last({2, 8, 3, 3}, float64));
  CHECK_FALSE(can_be_channels_last({2, 8, 1, 1}, float16));
  CHECK_FALSE(can_be_channels_last({0, 8, 3, 3}, float16));
  CHECK_FALSE(can_be_channels_last({2, 8, 9}, float16));
  const Tensor x = make_channels_last({2, 8, 3, 5}, bfloat16, gpu);
  CHECK(x.strides() == Shape{120, 1, 40, 8});
  CHECK_FALSE(x.is_contiguous());
  CHECK(make_channels_last({2, 8, 1, 1}, bfloat16, gpu).is_contiguous());
}

TEST_CASE("channels-last: elementwise ops and conversions keep it, as plain arrays") {
  const Gpus machine;
  const Tensor x = randn({2, 16, 3, 5}, {.device = gpu}).to(float16), y = last(x);
  const Tensor number = randn({1, 16, 1, 1}, {.device = gpu}).to(float16);
  for (const auto& [a, b] : std::vector<std::pair<Tensor, Tensor>>{{relu(x), relu(y)},
                                                                   {x + x, y + y},
                                                                   {x * 2, y * 2},
                                                                   {x * number, y * number},
                                                                   {number - x, number - y},
                                                                   {x.to(float32), y.to(float32)},
                                                                   {silu(x), silu(y)}}) {
    CHECK(is_last(b));
    CHECK_FALSE(is_last(a));
    CHECK(bit_equal({a}, {b}));
  }
  CHECK_FALSE(is_last(x + y));
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

// --- convolutions

/// While it lives float32 may be rounded to TF32.
struct WithTf32 {
  explicit WithTf32(bool allow) { set_allow_tf32(allow); }
  ~WithTf32() { set_allow_tf32(false); }
};

TEST_CASE("channels-last: the results of convolutions on tensor cores, of whole packs of channels") {
  const Gpus machine;
  const auto made = [](DType dtype, std::int64_t in, std::int64_t out, std::int64_t groups = 1) {
    const TensorOptions options{.dtype = dtype, .device = gpu};
    return conv2d(ones({1, in, 4, 4}, options), ones({out, in / groups, 3, 3}, options), {},
                  {.padding = 1, .groups = groups});
  };
  for (const DType dtype : {float16, bfloat16}) {
    CHECK(is_last(made(dtype, 8, 16)));
    CHECK(is_last(made(dtype, 3, 8)));
    CHECK_FALSE(is_last(made(dtype, 8, 12)));
    CHECK_FALSE(is_last(made(dtype, 8, 8, 8)));  // depthwise
    CHECK_FALSE(is_last(made(dtype, 8, 8, 2)));  // 4 in a group
    CHECK(is_last(made(dtype, 16, 16, 2)));
  }
  CHECK_FALSE(is_last(made(float32, 8, 16)));
  CHECK_FALSE(is_last(made(float64, 8, 16)));
  const WithTf32 allowed(true);
  CHECK(is_last(made(float32, 8, 12)));
  CHECK_FALSE(is_last(made(float32, 8, 6)));
}

TEST_CASE("channels-last: a convolution is the same whichever way its input lies") {
  const Gpus machine;
  manual_seed(9);
  for (const DType dtype : {float16, bfloat16}) {
    const Tensor x = randn({2, 16, 7, 6}, {.device = gpu}).to(dtype),
                 weight = randn({24, 16, 3, 3}, {.device = gpu}).to(dtype);
    const Tensor permuted = x.permute({0, 2, 3, 1}).contiguous().permute({0, 3, 1, 2});
    const Tensors results{conv2d(x, weight), conv2d(last(x), weight), conv2d(permuted, weight)};
    CHECK(bit_equal({results[1], results[2]}, {results[0], results[0]}));
  }
}

TEST_CASE("channels-last: TF32 that is allowed for forward or backward alone") {
  const Gpus machine;
  manual_seed(10);
  const Tensor x = randint(-3, 4, {2, 8, 5, 5}).to(float32),
               weight = randint(-3, 4, {12, 8, 3, 3}).to(float32);
  const auto run = [&](Device device, bool forward, bool backward) {
    const Tensor a = x.to(device).detach().requires_grad_(), b = weight.to(device).detach().requires_grad_();
    set_allow_tf32(forward);
    const Tensor y = relu(conv2d(a, b));
    set_allow_tf32(backward);
    (y * y).sum().backward();
    set_allow_tf32(false);
    return Tensors{y.detach().cpu(), a.grad().cpu(), b.grad().cpu()};
  };
  const Tensors expected = run(Device::cpu(), false, false);
  CHECK(bit_equal(run(gpu, true, false), expected));
  CHECK(bit_equal(run(gpu, false, true), expected));
  CHECK(bit_equal(run(gpu, true, true), expected));
}

/// Two convolutions as in a ResNet, the first with stride 2, beside a short cut.
struct Block {
  nn::Conv2d a, b, shortcut;
  nn::BatchNorm2d norm_a, norm_b, norm_shortcut;

  Block(std::int64_t in, std::int64_t out)
      : a(in, out, 3, {.stride = 2, .padding = 1, .bias = false}),
        b(out, out, 3, {.padding = 1, .bias = false}),
        shortcut(in, out, 1, {.stride = 2, .bias = false}),
        norm_a(out),
        norm_b(out),
        norm_shortcut(out) {}
  Tensor operator()(const Tensor& x) {
    const Tensor y = relu(norm_a(a(x)));
    return relu(norm_b(b(y)) + norm_shortcut(shortcut(x)));
  }
  MINIPARALLEL_MEMBERS(a, b, shortcut, norm_a, norm_b, norm_shortcut)
};

struct Net {
  nn::Conv2d stem{3, 16, 3, {.padding = 1, .bias = false}};
  nn::BatchNorm2d norm{16};
  Block first{16, 16}, second{16, 32};
  nn::Linear head{32, 10};

  Tensor operator()(const Tensor& x) {
    const Tensor y = second(first(max_pool2d(relu(norm(stem(x))), 3, {.stride = 2, .padding = 1})));
    return head(adaptive_avg_pool2d(y, 1).flatten(1));
  }
  MINIPARALLEL_MEMBERS(stem, norm, first, second, head)
};

TEST_CASE("channels-last: a step of a ResNet in bfloat16 copies weights and nothing else") {
  const Gpus machine;
  manual_seed(11);
  Net net;
  to(net, gpu);
  const Tensor images = randn({4, 3, 32, 32}, {.dtype = bfloat16, .device = gpu}),
               labels = randint(0, 10, {4}).to(gpu);
  const auto step = [&] {
    Tensor loss;
    {
      const Autocast guard({.dtype = bfloat16});
      loss = cross_entropy(net(images), labels);
    }
    loss.backward();
  };
  step();
  const auto calls = calls_of(step);
  // To bfloat16, and their gradients back: 7 weights of convolutions, weight and bias of the last layer. For
  // the loss the logits, in backward once more, and their gradient. Packed: 4 weights of 3 x 3 forward, and
  // these and the 2 of 1 x 1 backward.
  CHECK(calls.at("elementwise.convert") == 2 * 7 + 2 * 2 + 3 + 4 + 6);
}

TEST_CASE("channels-last: a step of a ResNet is that of float32 up to rounding, alone and on two GPUs") {
  const Gpus machine(2);
  const Tensor images = [] {
    manual_seed(12);
    return randn({8, 3, 32, 32});
  }();
  const Tensor labels = randint(0, 10, {8});
  const auto gradients = [&](Device device, bool half) {
    manual_seed(13);
    Net net;
    to(net, device);
    Tensor loss;
    {
      const Autocast guard({.dtype = bfloat16, .enabled = half});
      loss = cross_entropy(net(images.to(device)), labels.to(device));
    }
    loss.backward();
    std::vector<Tensor> all{loss.detach().cpu().view({1})};
    for (const Tensor& parameter : parameters(net)) all.push_back(parameter.grad().cpu().view({-1}));
    return cat(all);
  };
  const Tensor exact = gradients(Device::cpu(), false), half = gradients(gpu, true),
               half_on_cpu = gradients(Device::cpu(), true);
  const auto distance = [&](const Tensor& x) { return norm(x - exact).item<double>(); };
  CHECK(distance(half) < 1.5 * distance(half_on_cpu));
  CHECK(distance(half) < 0.2 * norm(exact).item<double>());
  CHECK(bit_equal({gradients(machine.last(), true)}, {half}));
}

// --- second derivatives, and what a step launches

/// The gradient of a gradient's square, by each input.
Tensors second_derivatives(const Function& function, const Tensors& inputs, Device device) {
  Tensors leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.detach().to(device).requires_grad_());
  const Tensor y = function(leaves);
  const Tensors first = autograd::grad({(y * y).sum()}, leaves, {.create_graph = true});
  Tensor total;
  for (const Tensor& g : first) total = total.defined() ? total + (g * g).sum() : (g * g).sum();
  total.backward();
  Tensors results;
  for (const Tensor& leaf : leaves) results.push_back(leaf.grad().cpu());
  return results;
}

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

TEST_CASE("channels-last: DataParallel in bfloat16 has the same bits on one GPU and on two") {
  const Gpus machine(2);
  manual_seed(15);
  const Tensor images = randn({8, 3, 16, 16}, {.device = gpu}), labels = randint(0, 10, {8}).to(gpu);
  const auto trained = [&](const std::vector<Device>& devices) {
    manual_seed(16);
    DataParallel model{Net{}, {.devices = devices, .replicas = 2, .hints = false}};
    optim::SGD optimizer(model.parameters(), {.lr = 0.1});
    for (int i = 0; i < 2; ++i) {
      Tensor loss;
      {
        const Autocast guard({.dtype = bfloat16});
        loss = cross_entropy(model(images), labels);
      }
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    Tensors all;
    for (const Tensor& parameter : model.parameters()) all.push_back(parameter.detach().cpu());
    return all;
  };
  CHECK(bit_equal(trained({gpu}), trained({gpu, machine.last()})));
}

TEST_CASE("channels-last: a captured step trains as a plain one does") {
  const Gpus machine;
  manual_seed(17);
  const Tensor images = randn({5, 4, 3, 16, 16}, {.device = gpu}), labels = randint(0, 10, {5, 4}).to(gpu);
  const auto trained = [&](bool captures) {
    manual_seed(18);
    Net net;
    to(net, gpu);
    optim::SGD optimizer(parameters(net), {.lr = 0.1, .momentum = 0.9});
    const auto step = [&](const Tensor& x, const Tensor& y) {
      optimizer.zero_grad();
      Tensor loss;
      {
        const Autocast guard({.dtype = bfloat16});
        loss = cross_entropy(net(x), y);
      }
      loss.backward();
      optimizer.step();
      return loss;
    };
    auto captured = capture(step);
    Tensors all;
    for (int i = 0; i < 5; ++i) {
      const Tensor x = images[i], y = labels[i];
      all.push_back((captures ? captured(x, y) : step(x, y)).detach().cpu());
    }
    if (captures) CHECK(captured.counters().replayed > 0);
    for (const Tensor& parameter : parameters(net)) all.push_back(parameter.detach().cpu());
    return all;
  };
  CHECK(bit_equal(trained(true), trained(false)));
}

TEST_CASE("channels-last: what a captured step returns is row-major, and stays with its holders") {
  const Gpus machine;
  manual_seed(19);
  const Tensor weight = randn({8, 3, 3, 3}, {.device = gpu}).to(float16);
  const auto step = [&](const Tensor& x) {
    const NoGradGuard no_grad;
    return relu(conv2d(x, weight));
  };
  auto captured = capture(step);
  Tensors held, expected;
  for (int i = 0; i < 5; ++i) {
    const Tensor x = randn({2, 3, 6, 5}, {.device = gpu}).to(float16);
    held.push_back(captured(x));
    held.push_back(held.back().view({-1}));
    expected.push_back(step(x));
    expected.push_back(expected.back().contiguous().view({-1}));
  }
  CHECK(captured.counters().reason == "");
  CHECK(captured.counters().replayed > 0);
  CHECK(bit_equal(held, expected));
}

TEST_CASE("channels-last: gradients of convolutions can be differentiated") {
  const Gpus machine;
  manual_seed(14);
  const auto whole = [](const Shape& shape) { return randint(-2, 3, shape).to(float32); };
  const auto function = [](const Tensors& x) {
    return conv2d(conv2d(x[0], x[1], x[2], {.stride = 2, .padding = 1}), x[3]);
  };
  const Tensors x{whole({1, 8, 5, 4}), whole({8, 8, 3, 3}), whole({8}), whole({12, 8, 1, 1})};
  const Tensors expected = second_derivatives(function, x, Device::cpu());
  const WithTf32 allowed(true);
  const Tensors got = second_derivatives(function, x, gpu);
  for (std::size_t i = 0; i < got.size(); ++i) check_close(got[i], expected[i], 200);
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
