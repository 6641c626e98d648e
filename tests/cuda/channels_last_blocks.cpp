#include "channels_last.h"
#include "compare.h"
#include "engine/ops/batch_norm_parts.h"
#include "gpus.h"

#include <optional>

// Tensors whose channels are innermost: nets that need more than convolutions on tensor cores, normalisation
// and pools to keep that layout.

namespace miniparallel::testing {
namespace {

/// As in a MobileNet: a wide depthwise convolution between two of 1 x 1.
struct Inverted {
  nn::Conv2d expand, depthwise, project;
  nn::BatchNorm2d norm_expand, norm_depthwise, norm_project;

  Inverted(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride)
      : expand(in, 2 * in, 1, {.bias = false}),
        depthwise(2 * in, 2 * in, kernel, {.stride = stride, .padding = kernel / 2, .groups = 2 * in}),
        project(2 * in, out, 1, {.bias = false}),
        norm_expand(2 * in),
        norm_depthwise(2 * in),
        norm_project(out) {}
  Tensor operator()(const Tensor& x) {
    const Tensor y = norm_project(project(relu6(norm_depthwise(depthwise(relu6(norm_expand(expand(x))))))));
    return y.shape() == x.shape() ? x + y : y;
  }
  MINIPARALLEL_MEMBERS(expand, depthwise, project, norm_expand, norm_depthwise, norm_project)
};

struct MobileNet {
  nn::Conv2d stem{3, 16, 3, {.stride = 2, .padding = 1, .bias = false}};
  nn::BatchNorm2d norm{16};
  Inverted first{16, 24, 3, 2}, second{24, 24, 5, 1};
  nn::Linear head{24, 10};

  Tensor operator()(const Tensor& x) {
    const Tensor y = second(first(relu6(norm(stem(x)))));
    CHECK(is_last(y) == (y.device().is_cuda() && (y.dtype() != float32 || allow_tf32())));
    return head(adaptive_avg_pool2d(y, 1).flatten(1));
  }
  MINIPARALLEL_MEMBERS(stem, norm, first, second, head)
};

/// As in a DenseNet: what each layer makes is joined to what it got.
struct Dense {
  nn::BatchNorm2d norm_a, norm_b;
  nn::Conv2d a, b;

  explicit Dense(std::int64_t in)
      : norm_a(in), norm_b(32), a(in, 32, 1, {.bias = false}), b(32, 8, 3, {.padding = 1, .bias = false}) {}
  Tensor operator()(const Tensor& x) {
    return cat({x, dropout(b(relu(norm_b(a(relu(norm_a(x)))))), 0.25)}, 1);
  }
  MINIPARALLEL_MEMBERS(norm_a, norm_b, a, b)
};

/// Down and up again as in a U-Net, beside a path that stays large.
struct DenseUNet {
  nn::Conv2d stem{3, 16, 3, {.padding = 1, .bias = false}};
  Dense first{16}, second{24}, third{32};
  nn::ConvTranspose2d up{40, 24, 2, {.stride = 2, .bias = false}};
  nn::Conv2d last{24 + 40 + 32, 16, 3, {.padding = 1, .bias = false}};
  nn::Linear head{16, 10};

  Tensor operator()(const Tensor& x) {
    const Tensor large = second(first(stem(x)));
    const Tensor small = third(max_pool2d(large, 2));
    const Tensor y = last(cat({up(small), upsample(small, 2), large}, 1));
    CHECK(is_last(y) == (y.device().is_cuda() && (y.dtype() != float32 || allow_tf32())));
    return head(adaptive_avg_pool2d(where(y > 0, y, y * 0.25), 1).flatten(1));
  }
  MINIPARALLEL_MEMBERS(stem, first, second, third, up, last, head)
};

/// The copies and conversions of a step in a 16-bit dtype, or in float32 with TF32.
template <class Net>
std::int64_t copies_of_step(std::optional<DType> dtype) {
  manual_seed(21);
  Net net;
  to(net, gpu);
  const WithTf32 allowed(!dtype);
  const Tensor images = randn({4, 3, 32, 32}, {.dtype = dtype.value_or(float32), .device = gpu}),
               labels = randint(0, 10, {4}).to(gpu);
  const auto step = [&] {
    Tensor loss;
    {
      const Autocast guard({.dtype = dtype.value_or(bfloat16), .enabled = dtype.has_value()});
      loss = cross_entropy(net(images), labels);
    }
    loss.backward();
  };
  step();
  return calls_of(step)["elementwise.convert"];
}

/// To 16 bits, and their gradients back: weights and biases of convolutions, and of the last layer. For the
/// loss the logits, in backward once more, and their gradient.
constexpr std::int64_t conversions_with(std::int64_t parameters) { return 2 * parameters + 2 * 2 + 3; }

TEST_CASE("channels-last: a step of a MobileNet copies weights and nothing else") {
  const Gpus machine;
  // Packed: 2 depthwise weights forward, these and 4 of 1 x 1 backward.
  constexpr std::int64_t packed = 2 + 2 + 4;
  CHECK(copies_of_step<MobileNet>({}) == packed);
  for (const DType dtype : {bfloat16, float16})
    CHECK(copies_of_step<MobileNet>(dtype) == packed + conversions_with(7 + 2));
}

TEST_CASE("channels-last: a step of a DenseNet and U-Net copies weights and what is joined") {
  const Gpus machine;
  // Packed: 4 weights of 3 x 3 and the transposed one forward, these and 3 of 1 x 1 backward.
  constexpr std::int64_t packed = 5 + 5 + 3;
  // Both ways: the inputs of cat. Up: one.
  constexpr std::int64_t joined = 2 * (3 * 2 + 3) + 1;
  CHECK(copies_of_step<DenseUNet>({}) == packed + joined);
  for (const DType dtype : {bfloat16, float16})
    CHECK(copies_of_step<DenseUNet>(dtype) == packed + joined + conversions_with(9));
}

/// Loss and gradients.
template <class Net>
Tensor gradients_of(Device device, bool half) {
  manual_seed(22);
  Net net;
  const Tensor images = randn({8, 3, 32, 32}), labels = randint(0, 10, {8});
  to(net, device);
  Tensor loss;
  {
    const Autocast guard({.dtype = bfloat16, .enabled = half});
    loss = cross_entropy(net(images.to(device)), labels.to(device));
  }
  loss.backward();
  Tensors all{loss.detach().cpu().view({1})};
  for (const Tensor& parameter : parameters(net)) all.push_back(parameter.grad().cpu().view({-1}));
  return cat(all);
}

template <class Net>
void check_gradients() {
  const Tensor exact = gradients_of<Net>(Device::cpu(), false),
               half_on_cpu = gradients_of<Net>(Device::cpu(), true);
  const auto distance = [&](const Tensor& x) { return norm(x - exact).template item<double>(); };
  CHECK(distance(half_on_cpu) < 0.2 * norm(exact).template item<double>());
  CHECK(distance(gradients_of<Net>(gpu, true)) < 1.5 * distance(half_on_cpu));
  const WithTf32 allowed(true);
  CHECK(distance(gradients_of<Net>(gpu, false)) < distance(half_on_cpu));
}

TEST_CASE("channels-last: gradients of these nets are those of the CPU up to rounding") {
  const Gpus machine;
  check_gradients<MobileNet>();
  check_gradients<DenseUNet>();
}

TEST_CASE("channels-last: gradients of depthwise convolutions can be differentiated") {
  const Gpus machine;
  manual_seed(24);
  const auto whole = [](const Shape& shape) { return randint(-2, 3, shape).to(float32); };
  const auto function = [](const Tensors& x) {
    return conv2d(conv2d(x[0], x[1], x[2], {.stride = 2, .padding = 1, .groups = 8}), x[3], {},
                  {.groups = 2});
  };
  const Tensors x{whole({1, 8, 5, 4}), whole({8, 1, 3, 3}), whole({8}), whole({8, 4, 1, 1})};
  const Tensors expected = second_derivatives(function, x, Device::cpu());
  const WithTf32 allowed(true);
  const Tensors got = second_derivatives(function, x, gpu);
  for (std::size_t i = 0; i < got.size(); ++i) check_close(got[i], expected[i], 200);
}
/// A batch in one part.
struct Alone : BatchNormMeeting {
  void meet(BatchNormPart& part) override {
    BatchNormPart* const all[]{&part};
    join_parts(all);
  }
};

TEST_CASE("channels-last: a batch_norm that is synchronised, and its gradients") {
  const Gpus machine;
  manual_seed(25);
  Alone meeting;
  for (const DType dtype : kDTypes)
    for (const bool has_end : {false, true}) {
      INFO(static_cast<int>(dtype), has_end);
      const auto function = [&](const Tensors& x) {
        const BatchNormMeetingScope scope(&meeting);
        BatchNormOptions options{.training = true};
        if (has_end) options.activation = Activation::relu, options.residual = last(x[3]);
        const Tensor y = batch_norm(last(x[0]), x[1], x[2], {}, {}, options);
        if (x[0].device().is_cuda()) CHECK(is_last(y));
        return y;
      };
      check_like_cpu(function,
                     {random_leaf({3, 16, 5, 7}, dtype), random_leaf({16}, float32),
                      random_leaf({16}, float32), random_leaf({3, 16, 5, 7}, dtype)},
                     gpu, 3);
    }
}

TEST_CASE("channels-last: a batch_norm that is synchronised copies nothing of its input's size") {
  const Gpus machine;
  Alone meeting;
  const Tensor weight = ones({16}, {.device = gpu}).requires_grad_();
  const auto copies = [&](const Tensor& values) {
    const bool channels_last = is_last(values);
    const auto laid = [&](const Tensor& tensor) { return channels_last ? last(tensor) : tensor; };
    const Tensor input = laid(values.detach().requires_grad_());
    const Tensor seed = laid(randn({2, 16, 8, 8}, {.device = gpu}).to(values.dtype()));
    return calls_of([&] {
      Tensor y;
      {
        const BatchNormMeetingScope scope(&meeting);
        y = batch_norm(input, weight, {}, {}, {}, {.training = true});
      }
      autograd::grad({relu(y)}, {weight}, {.gradients = {seed}});
    })["elementwise.convert"];
  };
  const Tensor values = randn({2, 16, 8, 8}, {.device = gpu});
  const std::int64_t of_statistics = copies(values);
  for (const DType dtype : kDTypes) CHECK(copies(last(values.to(dtype))) == of_statistics);
}

TEST_CASE("channels-last: DataParallel that synchronises batch_norm in bfloat16 is one model") {
  const Gpus machine(2);
  manual_seed(26);
  const Tensor images = randn({8, 3, 32, 32}, {.device = gpu}), labels = randint(0, 10, {8}).to(gpu);
  const auto gradients = [&](auto& model) {
    Tensor loss;
    {
      const Autocast guard({.dtype = bfloat16});
      loss = cross_entropy(model(images), labels);
    }
    loss.backward();
  };
  const auto flat = [](const auto& parameters) {
    Tensors all;
    for (const Tensor& parameter : parameters) all.push_back(parameter.grad().cpu().view({-1}));
    return cat(all);
  };
  manual_seed(27);
  MobileNet net;
  to(net, gpu);
  DataParallel model{clone(net),
                     {.devices = {gpu, machine.last()}, .batch_norm = BatchNormPolicy::sync, .hints = false}};
  gradients(net);
  gradients(model);
  const Tensor whole = flat(parameters(net));
  CHECK(norm(flat(model.parameters()) - whole).item<double>() < 0.1 * norm(whole).item<double>());
}

}  // namespace
}  // namespace miniparallel::testing
