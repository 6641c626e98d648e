#include "channels_last.h"
#include "compare.h"
#include "gpus.h"

// Tensors whose channels are innermost: convolutions, whose results they are, and nets made of these.

namespace miniparallel::testing {
namespace {

TEST_CASE("channels-last: the results of convolutions of whole packs of channels") {
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
    CHECK(is_last(made(dtype, 16, 16, 2)));
    CHECK(is_last(made(dtype, 8, 8, 8)));  // depthwise
    CHECK_FALSE(is_last(made(dtype, 12, 12, 12)));
    CHECK(is_last(made(dtype, 8, 8, 2)));  // 4 in a group
    CHECK_FALSE(is_last(made(dtype, 4, 8, 4)));
  }
  CHECK_FALSE(is_last(made(float32, 8, 16)));
  CHECK_FALSE(is_last(made(float32, 8, 8, 8)));
  CHECK_FALSE(is_last(made(float64, 8, 16)));
  const WithTf32 allowed(true);
  CHECK(is_last(made(float32, 8, 12)));
  CHECK(is_last(made(float32, 12, 12, 12)));
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
    const Tensor column = randn({16, 1, 3, 3}, {.device = gpu}).to(dtype);
    const Tensor depthwise = conv2d(x, column, {}, {.groups = 16});
    CHECK(bit_equal({conv2d(last(x), column, {}, {.groups = 16})}, {depthwise}));
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

}  // namespace
}  // namespace miniparallel::testing
