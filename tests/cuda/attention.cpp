#include <miniparallel/random.h>

#include "compare.h"
#include "gpus.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

Function attention_of(const AttentionOptions& options) {
  return [options](const Tensors& x) {
    return scaled_dot_product_attention(x[0], x[1], x[2], x.size() > 3 ? x[3] : Tensor(), options);
  };
}

/// Queries, keys, width of a query, width of a value.
struct Sizes {
  std::int64_t n, m, e, ev;
};

Tensors operands(const Shape& batch, const Sizes& s, DType dtype) {
  const auto of = [&](std::int64_t rows, std::int64_t columns) {
    Shape shape = batch;
    shape.push_back(rows);
    shape.push_back(columns);
    return random_leaf(shape, dtype);
  };
  return {of(s.n, s.e), of(s.m, s.e), of(s.m, s.ev)};
}

TEST_CASE("attention over awkward sizes, causal and not") {
  const Gpus machine;
  manual_seed(1);
  for (const DType dtype : {float32, float64})
    for (const Sizes& s : std::vector<Sizes>{{1, 1, 1, 1},
                                             {3, 5, 4, 6},
                                             {1, 40, 16, 17},
                                             {65, 33, 8, 65},
                                             {64, 64, 64, 64},
                                             {70, 131, 33, 3},
                                             {130, 70, 5, 130},
                                             {5, 7, 140, 2},
                                             {0, 3, 4, 5},
                                             {3, 0, 4, 5}}) {
      INFO("n ", s.n, ", m ", s.m, ", e ", s.e, ", ev ", s.ev);
      const Tensors x = operands({2}, s, dtype);
      check_like_cpu(attention_of({}), x, gpu);
      check_like_cpu(attention_of({.causal = true, .scale = 0.7}), x, gpu);
    }
}

TEST_CASE("attention with masks that broadcast and masks that hide everything") {
  const Gpus machine;
  manual_seed(2);
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : std::vector<Shape>{{40, 35}, {2, 1, 40, 35}, {1, 1, 35}, {2, 1, 40, 1}}) {
      INFO("mask of shape ", to_string(shape));
      Tensors x = operands({2, 1}, {40, 35, 9, 10}, dtype);
      const Tensor numbers = randn(shape, {.dtype = dtype});
      for (const bool causal : {false, true}) {
        for (const Tensor& mask : {numbers, numbers > 0.0, numbers > 100.0}) {
          const auto f = attention_of({.causal = causal});
          check_like_cpu(
              [&](const Tensors& in) {
                return f({in[0], in[1], in[2], mask.to(in[0].device())});
              },
              x, gpu);
        }
      }
    }
}

TEST_CASE("attention of heads cut out of one tensor, of shared keys, and of views that are not aligned") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : {float32, float64}) {
    const auto heads = [](const Tensors& in) {
      const Tensor all = in[0].view({2, 19, 3, 4, 5}).permute({2, 0, 3, 1, 4});
      return scaled_dot_product_attention(all[0], all[1], all[2]);
    };
    check_like_cpu(heads, {random_leaf({2, 19, 60}, dtype)}, gpu);
    const auto shared = [](const Tensors& in) { return scaled_dot_product_attention(in[0], in[1], in[2]); };
    check_like_cpu(
        shared,
        {random_leaf({3, 2, 7, 5}, dtype), random_leaf({2, 9, 5}, dtype), random_leaf({1, 9, 4}, dtype)},
        gpu);
    const auto odd = [](const Tensors& in) {
      return scaled_dot_product_attention(in[0].slice(0, 1, 12), in[0].slice(1, 0, 5), in[1].slice(1, 1, 4));
    };
    check_like_cpu(odd, {random_leaf({12, 5}, dtype), random_leaf({12, 5}, dtype)}, gpu);
  }
}

TEST_CASE("scores far from zero, and a maximum that rises late") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : {float32, float64}) {
    Tensors x = operands({1}, {33, 200, 8, 8}, dtype);
    const Tensor rising = (arange(200).to(dtype) - 200.0) * (dtype == float32 ? 0.1 : 3);
    check_like_cpu(
        [&](const Tensors& in) {
          return attention_of({})({in[0], in[1], in[2], rising.to(in[0].device())});
        },
        x, gpu);
    check_like_cpu(
        [&](const Tensors& in) {
          return attention_of({})({in[0], in[1], in[2], (rising * -1.0).to(in[0].device())});
        },
        x, gpu);
  }
}

TEST_CASE("attention's results do not depend on the order of blocks and threads") {
  for (const DType dtype : {float32, float64}) {
    Tensors first;
    for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
      const Gpus machine(1, seed);
      manual_seed(5);
      const Tensors got =
          check_like_cpu(attention_of({.causal = true}), operands({2}, {67, 70, 20, 36}, dtype), gpu);
      if (first.empty()) first = got;
      CHECK(bit_equal(got, first));
    }
  }
}

TEST_CASE("attention's memory grows with the sequence, not with its square") {
  const Gpus machine;
  const std::int64_t n = 600, width = 4;
  Tensors x = operands({1}, {n, n, width, width}, float32);
  for (Tensor& tensor : x) tensor = tensor.detach().to(gpu).requires_grad_();
  synchronize(gpu);
  reset_peak_memory(gpu);
  const Tensor y = attention_of({.causal = true})(x);
  y.backward(ones_like(y));
  synchronize(gpu);
  CHECK(memory_stats(gpu).peak < 20 * n * width * 4);  // the scores alone: 150 times n * width
}

}  // namespace
}  // namespace miniparallel::testing
