#include <miniparallel/optim.h>
#include <miniparallel/random.h>

#include "compare.h"
#include "gpus.h"
#include "tests/support/scaled_training.h"

// Kernels that read and write float16 and bfloat16 themselves: against the CPU, which converts. That their
// parameters may be float32, packs of 8 elements, views that lie between packs, no elements.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);
constexpr DType halves[] = {float16, bfloat16};

Tensor mixed_batch_norm(const Tensors& x) { return batch_norm(x[0], x[1], x[2], {}, {}, {.training = true}); }

/// Of x (elements + 1) all but the first, so that nothing is aligned to a pack.
Tensor at_odd_place(const Tensor& x, const Shape& shape) {
  return x.slice(0, 1, shape.numel() + 1).reshape(shape);
}

TEST_CASE("batch_norm of 16 bits with float32 parameters, in packs of 8, of 4 and in none") {
  const Gpus machine;
  manual_seed(1);
  for (const DType dtype : halves)
    for (const Shape& shape :
         std::vector<Shape>{{3, 5, 8, 8}, {2, 3, 14, 14}, {3, 5, 7, 7}, {65, 24}, {9, 1, 3}})
      for (const bool aligned : {true, false}) {
        INFO(dtype, ", shape ", to_string(shape), ", aligned: ", aligned);
        const Shape channels{shape[1]};
        const Tensor x = random_leaf(aligned ? shape : Shape{shape.numel() + 1}, dtype),
                     weight = random_leaf(channels, float32), bias = random_leaf(channels, float32),
                     residual = random_leaf(shape, dtype);
        const auto input = [=](const Tensors& in) { return aligned ? in[0] : at_odd_place(in[0], shape); };
        check_like_cpu([&](const Tensors& in) { return mixed_batch_norm({input(in), in[1], in[2]}); },
                       {x, weight, bias}, gpu);
        for (const bool training : {false, true}) {
          const auto statistics = [&](double value) {
            return [=](const Tensor& like) { return full(channels, value, {.device = like.device()}); };
          };
          const auto fused = [&](const Tensors& in) {
            return batch_norm(input(in), in[1], in[2], statistics(0.1)(in[0]), statistics(1.5)(in[0]),
                              {.training = training, .activation = Activation::relu, .residual = in[3]});
          };
          check_like_cpu(fused, {x, weight, bias, residual}, gpu);
          check_like_cpu(fused, {x.detach(), weight.detach(), bias.detach(), residual.detach()}, gpu);
        }
      }
}

TEST_CASE("batch_norm of 16 bits moves running statistics of float32 and of 16 bits") {
  const Gpus machine;
  manual_seed(2);
  for (const DType dtype : halves)
    for (const DType kept : {float32, dtype}) {
      const Tensor x = randn({4, 3, 5}, {.dtype = dtype}) + 2;
      check_like_cpu(
          [=](const Tensors& in) {
            const TensorOptions like{.dtype = kept, .device = in[0].device()};
            const Tensor mean = zeros({3}, like), variance = ones({3}, like);
            batch_norm(in[0], {}, {}, mean, variance, {.training = true});
            return cat({mean, variance});
          },
          {x}, gpu);
    }
}

TEST_CASE("layer_norm of 16 bits with float32 parameters") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : halves)
    for (const std::int64_t width : {1, 8, 200, 250, 1000, 4096, 8192, 9000}) {
      INFO(dtype, ", width ", width);
      const Tensors x{random_leaf({3, width}, dtype), random_leaf({width}, float32),
                      random_leaf({width}, float32)};
      check_like_cpu([=](const Tensors& in) { return layer_norm(in[0], {width}, in[1], in[2]); }, x, gpu);
      for (const double p : {0.0, 0.4})  // the GPU normalises the sum as it is rounded, so within 16 bits
        check_like_cpu(
            [=](const Tensors& in) {
              manual_seed(5);
              const AddNorm made = add_layer_norm(in[0], in[3], {width}, in[1], in[2], {.dropout = p});
              return cat({made.y, made.sum});
            },
            {x[0], x[1].detach(), x[2].detach(), random_leaf({3, width}, dtype)}, gpu);
    }
}

TEST_CASE("rms_norm of 16 bits with parameters of both kinds") {
  const Gpus machine;
  manual_seed(9);
  for (const DType dtype : halves)
    for (const DType of_weight : {float32, dtype})
      for (const std::int64_t width : {1, 8, 200, 250, 1000, 4096, 8192, 9000, 30'000}) {
        INFO(dtype, ", width ", width);
        const Tensors x{random_leaf({3, width}, dtype), random_leaf({width}, of_weight)};
        check_like_cpu([=](const Tensors& in) { return rms_norm(in[0], {width}, in[1]); }, x, gpu);
        check_like_cpu([=](const Tensors& in) { return rms_norm(in[0], {width}, {}, 0.1); }, {x[0]}, gpu);
      }
}

TEST_CASE("group_norm and instance_norm of 16 bits, in packs of 8, of 4 and in none") {
  const Gpus machine;
  manual_seed(10);
  for (const DType dtype : halves)
    for (const Shape& shape : std::vector<Shape>{
             {3, 6, 8, 8}, {2, 6, 14, 14}, {3, 6, 7, 7}, {65, 24}, {9, 6, 3}, {2, 6, 40, 32}, {0, 6, 2}})
      for (const bool aligned : {true, false}) {
        INFO(dtype, ", shape ", to_string(shape), ", aligned: ", aligned);
        const Shape channels{shape[1]};
        const Tensor x = random_leaf(aligned ? shape : Shape{shape.numel() + 1}, dtype);
        const auto input = [=](const Tensors& in) { return aligned ? in[0] : at_odd_place(in[0], shape); };
        for (const DType of_parameters : {float32, dtype}) {
          const Tensors all{x, random_leaf(channels, of_parameters), random_leaf(channels, of_parameters)};
          for (const int groups : {1, 2, 3, 6})
            check_like_cpu([=](const Tensors& in) { return group_norm(input(in), groups, in[1], in[2]); },
                           all, gpu);
          if (shape.rank() > 2)
            check_like_cpu([=](const Tensors& in) { return instance_norm(input(in), in[1], in[2]); }, all,
                           gpu);
        }
        check_like_cpu([=](const Tensors& in) { return group_norm(input(in), 2); }, {x}, gpu);
      }
}

TEST_CASE("the gradients of 16-bit ops are differentiated once more") {
  const Gpus machine;
  manual_seed(4);
  const std::vector<Function> ops{
      [](const Tensors& x) { return mixed_batch_norm(x); },
      [](const Tensors& x) {
        const TensorOptions like{.device = x[0].device()};
        return batch_norm(x[0], x[1], x[2], zeros({6}, like), ones({6}, like));
      },
      [](const Tensors& x) { return layer_norm(x[0], {6}, x[1], x[2]); },
      [](const Tensors& x) { return add_layer_norm(x[0], x[0], {6}, x[1], x[2]).y; },
      [](const Tensors& x) { return rms_norm(x[0], {6}, x[1]); },
      [](const Tensors& x) { return group_norm(x[0], 3, x[1], x[2]); },
      [](const Tensors& x) { return var(x[0], {1}); },
      [](const Tensors& x) { return softmax(x[0], 1); },
      [](const Tensors& x) { return log_softmax(x[0], 0); },
      [](const Tensors& x) { return huber_loss(x[0], x[0] * 2, {.delta = 0.7}); },
      [](const Tensors& x) { return kl_div(x[0], x[0] * 2, {.log_target = true}); },
      [](const Tensors& x) { return soft_margin_loss(x[0], x[0] * 2, Reduction::none); },
      [](const Tensors& x) { return mse_loss(x[0], x[0] * 2); },
      [](const Tensors& x) { return bce_with_logits(x[0], x[0] * 2, Reduction::none); },
      [](const Tensors& x) { return cross_entropy(x[0], tensor({1, 0, 5, 2}).to(x[0].device())); },
      [](const Tensors& x) { return amax(x[0], {1}) * 3; },
      [](const Tensors& x) { return scaled_dot_product_attention(x[0], x[0], x[0], x[0].detach()[0][0]); },
  };
  for (const DType dtype : halves)
    for (std::size_t i = 0; i < ops.size(); ++i) {
      INFO(dtype, ", op ", i);
      const auto second = [&](const Tensors& in) {
        const Tensor y = ops[i](in);
        const Tensor g = autograd::grad({sum(sin(y))}, {in[0]}, {.create_graph = true})[0];
        CHECK(g.dtype() == dtype);
        return g;
      };
      check_like_cpu(second, {random_leaf({4, 6}, dtype), randn({6}), randn({6})}, gpu);
    }
}

TEST_CASE("reductions and softmax of 16 bits, between packs and of nothing") {
  const Gpus machine;
  manual_seed(5);
  const std::vector<Function> ops{
      [](const Tensors& x) { return sum(x[0], {1}); },
      [](const Tensors& x) { return mean(x[0], {0}); },
      [](const Tensors& x) { return sum(x[0]); },
      [](const Tensors& x) { return mean(x[0], {0, 1}); },
      [](const Tensors& x) { return var(x[0], {1}, false); },
      [](const Tensors& x) { return var(x[0] + 100, {0}, false); },
      [](const Tensors& x) { return var_mean(x[0], {0, 1}, false).first; },
      [](const Tensors& x) { return std(x[0], {1}, false); },
      [](const Tensors& x) { return softmax(x[0], 1); },
      [](const Tensors& x) { return softmax(x[0], 0); },
      [](const Tensors& x) { return log_softmax(x[0], 1); },
      [](const Tensors& x) { return log_softmax(x[0], 0); },
  };
  const std::vector<Function> choices{
      [](const Tensors& x) { return amax(x[0], {1}); }, [](const Tensors& x) { return amin(x[0], {0}); },
      [](const Tensors& x) { return amin(x[0]); },      [](const Tensors& x) { return argmax(x[0], 1); },
      [](const Tensors& x) { return argmax(x[0]); },
  };
  for (const DType dtype : halves)
    for (const Shape& shape : std::vector<Shape>{{5, 7}, {0, 3}, {3, 0}, {40, 333}}) {
      INFO(dtype, ", shape ", to_string(shape));
      const auto check_each = [&](const std::vector<Function>& functions) {
        for (const Function& f : functions)
          check_like_cpu([&](const Tensors& in) { return f({at_odd_place(in[0], shape)}); },
                         {random_leaf({shape.numel() + 1}, dtype)}, gpu);
      };
      check_each(ops);
      if (shape.numel() > 0) check_each(choices);
    }
}

TEST_CASE("a sum of many small numbers of 16 bits is that of float32, rounded once") {
  const Gpus machine;
  for (const DType dtype : halves) {
    const Tensor x = ones({5000}, {.dtype = dtype, .device = gpu});
    CHECK(sum(x).item<double>() == full({}, 5000, {.dtype = dtype}).item<double>());
    CHECK(mean(x).item<double>() == 1);
  }
}

TEST_CASE("losses of 16 bits") {
  const Gpus machine;
  manual_seed(6);
  for (const DType dtype : halves)
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none})
      for (const Shape& shape : std::vector<Shape>{{3, 5}, {0, 5}, {30, 37}, {4, 6, 9}, {2, 300}}) {
        INFO(dtype, ", shape ", to_string(shape), ", reduction ", static_cast<int>(reduction));
        if (reduction == Reduction::mean && shape[0] == 0) continue;  // NaN of both
        Shape items = shape;
        items.erase(1);
        const Tensor targets = randint(0, shape[1], items), weight = rand({shape[1]}, {.dtype = dtype});
        const auto on = [](const Tensor& x, const Tensors& in) { return x.to(in[0].device()); };
        const std::vector<Function> losses{
            [&](const Tensors& x) { return mse_loss(x[0], x[1], reduction); },
            [&](const Tensors& x) { return l1_loss(x[0], x[1], reduction); },
            [&](const Tensors& x) { return bce_with_logits(x[0], x[1], reduction); },
            [&](const Tensors& x) {
              return smooth_l1_loss(x[0], x[1], {.reduction = reduction, .beta = 0.4});
            },
            [&](const Tensors& x) { return huber_loss(x[0], x[1], {.reduction = reduction, .delta = 0.6}); },
            [&](const Tensors& x) { return kl_div(x[0], square(x[1]), {.reduction = reduction}); },
            [&](const Tensors& x) {
              return kl_div(x[0], x[1], {.reduction = reduction, .batch_mean = true, .log_target = true});
            },
            [&](const Tensors& x) { return soft_margin_loss(x[0], x[1], reduction); },
            [&](const Tensors& x) { return cross_entropy(x[0], on(targets, x), {.reduction = reduction}); },
            [&](const Tensors& x) {
              return cross_entropy(x[0], on(targets, x),
                                   {.reduction = reduction, .label_smoothing = 0.1, .weight = on(weight, x)});
            },
            [&](const Tensors& x) { return nll_loss(x[0], on(targets, x), {.reduction = reduction}); },
        };
        for (const Function& loss : losses)
          check_like_cpu(loss, {random_leaf(shape, dtype), random_leaf(shape, dtype)}, gpu);
      }
}

TEST_CASE("pointwise losses of every reduction in float32 and float64") {
  const Gpus machine;
  manual_seed(11);
  for (const DType dtype : {float32, float64})
    for (const Reduction reduction : {Reduction::mean, Reduction::sum, Reduction::none}) {
      INFO(dtype, ", reduction ", static_cast<int>(reduction));
      const std::vector<Function> losses{
          [&](const Tensors& x) { return huber_loss(x[0], x[1], {.reduction = reduction, .delta = 0.6}); },
          [&](const Tensors& x) { return kl_div(x[0], square(x[1]), {.reduction = reduction}); },
          [&](const Tensors& x) { return kl_div(x[0], x[1], {.reduction = reduction, .log_target = true}); },
          [&](const Tensors& x) { return soft_margin_loss(x[0], x[1], reduction); },
      };
      for (const Function& loss : losses)
        check_like_cpu(loss, {random_leaf({30, 37}, dtype), random_leaf({30, 37}, dtype)}, gpu);
    }
}

TEST_CASE("cross_entropy of so many items that blocks share their sum") {
  const Gpus machine;
  manual_seed(7);
  const Tensor targets = randint(0, 2, {17'000});
  for (const DType dtype : halves)
    check_like_cpu([&](const Tensors& x) { return cross_entropy(x[0], targets.to(x[0].device())); },
                   {random_leaf({17'000, 2}, dtype)}, gpu);
}

TEST_CASE("a gradient of a scaled float16 loss does not vanish") {
  const Gpus machine;
  const Tensor x = zeros({1000, 2}, {.dtype = float16, .device = gpu});
  x.narrow(1, 0, 1).fill_(8.5);  // the gradient of the mean is 2e-7
  const Tensor leaf = x.detach().requires_grad_();
  const Tensor loss = cross_entropy(leaf, zeros({1000}, {.dtype = int64, .device = gpu}));
  loss.backward(full({}, 32768, {.dtype = float16, .device = gpu}));
  const double expected = 32768.0 / 1000 / (1 + std::exp(8.5));
  CHECK(leaf.grad()[0][1].item<double>() == doctest::Approx(expected).epsilon(1e-3));
}

TEST_CASE("optimizers step parameters of 16 bits as on the CPU") {
  const Gpus machine;
  for (const DType dtype : halves)
    for (const OptimizerCase& of : optimizer_cases()) {
      INFO(of.name, " in ", dtype);
      const auto trained = [&](Device device) {
        manual_seed(8);
        Tensors parameters, values;
        for (const Shape& shape : std::vector<Shape>{{33}, {4, 5}, {0}, {8}})
          parameters.push_back(randn(shape, {.dtype = dtype}).to(device).requires_grad_());
        const auto optimizer = of.make(parameters);
        for (int step = 0; step < 3; ++step) {
          for (const Tensor& p : parameters) p.set_grad(randn(p.shape(), {.dtype = dtype}).to(device));
          optimizer->step();
        }
        for (const Tensor& p : parameters) values.push_back(p.detach().cpu());
        for (const auto& [name, state] : optimizer->state_dict()) values.push_back(state.cpu());
        return values;
      };
      const Tensors expected = trained(Device::cpu()), got = trained(gpu);
      REQUIRE(got.size() == expected.size());
      for (std::size_t i = 0; i < got.size(); ++i) check_close(got[i], expected[i]);
    }
}

/// Gradients of 16 bits for parameters on the device, `many` of 3 elements among them.
Tensors with_gradients(DType dtype, Device device, int many) {
  manual_seed(13);
  std::vector<Shape> shapes{{33}, {0}, {4, 5}, {8}, {4099}};
  shapes.insert(shapes.end(), static_cast<std::size_t>(many), Shape{3});
  Tensors parameters;
  for (const Shape& shape : shapes) {
    parameters.push_back(zeros(shape, {.dtype = dtype, .device = device}).requires_grad_());
    parameters.back().set_grad(randn(shape, {.dtype = dtype}).to(device));
  }
  return parameters;
}

TEST_CASE("gradients of 16 bits are clipped as on the CPU") {
  const Gpus machine;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  using Clip = std::function<Tensor(const Tensors&)>;
  std::vector<Clip> clips{[](const Tensors& parameters) {
    nn::utils::clip_grad_value_(parameters, 0.3);
    return Tensor(zeros({}));
  }};
  for (const double kind : {1.0, 2.0, infinity})
    for (const double limit : {0.7, 1e6})
      clips.push_back([=](const Tensors& parameters) {
        return nn::utils::clip_grad_norm_(parameters, limit, kind).cpu();
      });
  for (const DType dtype : halves)
    for (const int many : {0, 200})
      for (const Clip& clip : clips) {
        const Tensors expected = with_gradients(dtype, Device::cpu(), many),
                      got = with_gradients(dtype, gpu, many);
        const double norm = clip(expected).item<double>();
        CHECK(clip(got).item<double>() == norm);
        for (std::size_t i = 0; i < got.size(); ++i)
          CHECK(bit_equal({got[i].grad().cpu()}, {expected[i].grad()}));
      }
}

TEST_CASE("adaptive_max_pool of 16 bits") {
  const Gpus machine;
  manual_seed(15);
  for (const DType dtype : halves) {
    check_like_cpu([](const Tensors& x) { return adaptive_max_pool1d(x[0], 3); },
                   {random_leaf({2, 3, 7}, dtype)}, gpu);
    for (const Size2 size :
         {Size2{1, 1}, Size2{2, 3}, Size2{5, 7}, Size2{9, 2}})  // windows that overlap, too
      check_like_cpu([=](const Tensors& x) { return adaptive_max_pool2d(x[0], size); },
                     {random_leaf({2, 3, 5, 7}, dtype)}, gpu, 2);
  }
}

TEST_CASE("norms of 16 bits") {
  const Gpus machine;
  manual_seed(14);
  for (const DType dtype : halves)
    for (const double p : {0.0, 1.0, 2.0, 3.0, HUGE_VAL, -HUGE_VAL})
      for (const bool all : {false, true}) {
        INFO(dtype, ", p ", p);
        const auto norm_of = [=](const Tensors& x) { return norm(x[0], p, all ? Shape{} : Shape{1}); };
        const Tensor x = random_leaf({40, 333}, dtype);
        check_like_cpu(norm_of, {p == 0 ? x.detach() : x}, gpu);
      }
}

TEST_CASE("dropout of 16 bits leaves what float32 leaves") {
  const Gpus machine;
  for (const DType dtype : halves)
    for (const std::int64_t n : {0, 1, 7, 8, 4097})
      for (const std::int64_t first : {0, 1}) {
        const Tensor x = (rand({n + 1}, {.device = gpu}) + 1).to(dtype).slice(0, first, n + first);
        const auto dropped = [&](DType as) {
          manual_seed(3);
          return dropout(x.to(as), 0.25, true).to(dtype);
        };
        CHECK(equal(dropped(dtype), dropped(float32)));
        check_like_cpu(
            [](const Tensors& in) {
              manual_seed(3);
              return dropout(in[0], 0.25, true) + in[0];
            },
            {random_leaf({n}, dtype)}, gpu);
      }
}

}  // namespace
}  // namespace miniparallel::testing
