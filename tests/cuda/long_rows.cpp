#include <miniparallel/random.h>

#include "compare.h"
#include "gpus.h"

// Rows that are few and long: blocks share each.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

struct Case {
  Shape shape;
  std::int64_t dim;
};

/// Along the last dimension and along others; multiples of no chunk; one block for some, many for others.
const std::vector<Case> cases{{{1, 35'001}, 1}, {{2, 17'000}, 1}, {{20'003, 3}, 0}, {{2, 5'000, 5}, 1},
                              {{600, 40}, 0},   {{0, 20'000}, 1}, {{1, 16'383}, 1}, {{1, 16'384}, 1}};

/// Numbers of a row about as large as 1, so that an error in one is seen, and gradients that float16 holds.
Function scaled(std::int64_t dim, Tensor (*f)(const Tensor&, std::int64_t)) {
  return [=](const Tensors& x) { return f(x[0], dim) * (static_cast<double>(x[0].size(dim)) / 8); };
}

/// The function's value and gradients are the CPU's, and the same bits in any order of blocks and threads.
void check_in_any_order(const Function& function, const Tensors& x) {
  Tensors first;
  for (const std::uint64_t seed : {0u, 1u}) {
    const Gpus machine(1, seed);
    const Tensors got = check_like_cpu(function, x, gpu);
    if (first.empty()) first = got;
    CHECK(bit_equal(got, first));
  }
}

TEST_CASE("softmax of rows that blocks share") {
  manual_seed(1);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const auto& [shape, dim] : cases) {
      INFO("dtype ", dtype, ", shape ", to_string(shape), ", along ", dim);
      const Tensor x = (randn(shape, {.dtype = dtype}) * 5).requires_grad_();
      check_in_any_order(scaled(dim, [](const Tensor& in, std::int64_t d) { return softmax(in, d); }), {x});
      check_in_any_order([dim = dim](const Tensors& in) { return log_softmax(in[0], dim); }, {x});
    }
}

TEST_CASE("softmax of rows with infinities and NaN, shared and not") {
  const Gpus machine;
  manual_seed(2);
  const double infinity = std::numeric_limits<double>::infinity();
  for (const std::int64_t width : {40, 40'000}) {
    const Tensor x = randn({5, width});
    x[0].narrow(0, 0, width / 2).fill_(-infinity);
    x[1].fill_(-infinity);
    x[2].narrow(0, width - 1, 1).fill_(infinity);
    x[3].narrow(0, width / 2, 1).fill_(NAN);
    check_like_cpu(scaled(1, [](const Tensor& in, std::int64_t d) { return softmax(in, d); }), {x}, gpu);
    check_like_cpu([](const Tensors& in) { return log_softmax(in[0], 1); }, {x}, gpu);
  }
}

TEST_CASE("cross_entropy of items whose classes blocks share") {
  manual_seed(3);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const Shape& shape :
         std::vector<Shape>{{1, 35'001}, {2, 17'000}, {2, 5'000, 5}, {0, 20'000}, {1, 16'383}})
      for (const double smoothing : {0.0, 0.1}) {
        INFO("dtype ", dtype, ", shape ", to_string(shape), ", smoothing ", smoothing);
        const auto classes = shape[1];
        Shape items = shape;
        items.erase(1);
        const Tensor targets = randint(0, classes, items), x = random_leaf(shape, dtype);
        const Reduction reduction = smoothing == 0 ? Reduction::sum : Reduction::none;
        if (targets.numel() > 1) targets.flatten()[0].fill_(7);
        const CrossEntropyOptions options{
            .reduction = reduction, .ignore_index = 7, .label_smoothing = smoothing};
        const auto loss = [&](const Tensors& in) {
          return cross_entropy(in[0], targets.to(in[0].device()), options) * static_cast<double>(classes);
        };
        check_in_any_order(loss, {x});
        const auto of_log_probabilities = [&](const Tensors& in) {
          return nll_loss(in[0], targets.to(in[0].device()), {.reduction = reduction});
        };
        check_in_any_order(of_log_probabilities, {x});
      }
}

TEST_CASE("layer_norm of rows that blocks share") {
  manual_seed(4);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const Shape& shape : std::vector<Shape>{{1, 35'001}, {2, 17'000}, {1, 16'384}}) {
      INFO("dtype ", dtype, ", shape ", to_string(shape));
      const Shape width{shape[1]};
      const Tensors x{(randn(shape, {.dtype = dtype}) + 30).requires_grad_(), random_leaf(width, dtype),
                      random_leaf(width, dtype)};
      check_in_any_order([&](const Tensors& in) { return layer_norm(in[0], width, in[1], in[2]); }, x);
      check_in_any_order(
          [&](const Tensors& in) { return layer_norm(in[0], width) + layer_norm(in[0], width) * 0.5; },
          {x[0]});
      check_in_any_order([&](const Tensors& in) { return rms_norm(in[0], width, in[1]); }, {x[0], x[1]});
      const auto at_odd_place = [&](const Tensors& in) {
        return layer_norm(in[0].slice(0, 1, shape.numel() + 1).reshape(shape), width, in[1]);
      };
      check_in_any_order(at_odd_place, {random_leaf({shape.numel() + 1}, dtype), x[1]});
    }
}

}  // namespace
}  // namespace miniparallel::testing
