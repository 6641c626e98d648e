#include <miniparallel/cuda.h>
#include <miniparallel/random.h>

#include "compare.h"
#include "engine/device/accelerator.h"
#include "gpus.h"
#include "kernels/backend.h"
#include "kernels/cuda/backend.h"
#include "kernels/half.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);
constexpr DType kDtypes[] = {float32, float64, float16, bfloat16};

Function attention_of(const AttentionOptions& options) {
  return [options](const Tensors& x) {
    return scaled_dot_product_attention(x[0], x[1], x[2], x.size() > 3 ? x[3] : Tensor(), options);
  };
}

/// While it lives float32 may be rounded to TF32.
struct WithTf32 {
  WithTf32() { set_allow_tf32(true); }
  ~WithTf32() { set_allow_tf32(false); }
};

/// The same numbers on the GPU as on the CPU, which rounds 16 bits once. The GPU's gradients read the result,
/// which is rounded, and its tensor cores rounded weights.
Tensors check(const Function& function, const Tensors& inputs) {
  return check_like_cpu(function, inputs, gpu, kernels::is_half(inputs[0].dtype()) ? 4 : 1);
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
  for (const DType dtype : kDtypes)
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
      check(attention_of({}), x);
      check(attention_of({.causal = true, .scale = 0.7}), x);
    }
}

TEST_CASE("attention of so many matrices that tiles are tall") {
  const Gpus machine;
  manual_seed(6);
  for (const auto& [batch, s] : std::vector<std::pair<Shape, Sizes>>{
           {{140}, {3, 5, 4, 8}}, {{7, 10}, {70, 67, 36, 20}}, {{23}, {131, 150, 132, 68}}})
    for (const bool causal : {false, true}) {
      INFO("n ", s.n, ", m ", s.m, ", e ", s.e, ", ev ", s.ev);
      check(attention_of({.causal = causal}), operands(batch, s, float32));
    }
}

TEST_CASE("attention with masks that broadcast and masks that hide everything") {
  const Gpus machine;
  manual_seed(2);
  for (const DType dtype : kDtypes)
    for (const Shape& shape : std::vector<Shape>{{40, 35}, {2, 1, 40, 35}, {1, 1, 35}, {2, 1, 40, 1}}) {
      INFO("mask of shape ", to_string(shape));
      Tensors x = operands({2, 1}, {40, 35, 9, 10}, dtype);
      const Tensor numbers = randn(shape, {.dtype = dtype});
      for (const bool causal : {false, true}) {
        for (const Tensor& mask : {numbers, numbers > 0.0, numbers > 100.0}) {
          const auto f = attention_of({.causal = causal});
          check([&](const Tensors& in) { return f({in[0], in[1], in[2], mask.to(in[0].device())}); }, x);
        }
      }
    }
}

TEST_CASE("attention of heads cut out of one tensor, of shared keys, and of views that are not aligned") {
  const Gpus machine;
  manual_seed(3);
  for (const DType dtype : kDtypes) {
    const auto heads = [](const Tensors& in) {
      const Tensor all = in[0].view({2, 19, 3, 4, 5}).permute({2, 0, 3, 1, 4});
      return scaled_dot_product_attention(all[0], all[1], all[2]);
    };
    check(heads, {random_leaf({2, 19, 60}, dtype)});
    const auto shared = [](const Tensors& in) { return scaled_dot_product_attention(in[0], in[1], in[2]); };
    check(shared,
          {random_leaf({3, 2, 7, 5}, dtype), random_leaf({2, 9, 5}, dtype), random_leaf({1, 9, 4}, dtype)});
    const auto odd = [](const Tensors& in) {
      return scaled_dot_product_attention(in[0].slice(0, 1, 12), in[0].slice(1, 0, 5), in[1].slice(1, 1, 4));
    };
    check(odd, {random_leaf({12, 5}, dtype), random_leaf({12, 5}, dtype)});
  }
}

TEST_CASE("attention of heads side by side gives results and gradients side by side, without copies") {
  const Gpus machine;
  manual_seed(7);
  for (const DType dtype : kDtypes) {
    const auto layer = [&](const Tensors& in) {
      Tensors heads;
      for (const Tensor& x : in[0].chunk(3, -1)) heads.push_back(x.view({2, 70, 3, 20}).transpose(1, 2));
      const Tensor y = scaled_dot_product_attention(heads[0], heads[1], heads[2], {}, {.causal = true});
      if (y.device() == gpu || !kernels::is_half(dtype)) CHECK(y.transpose(1, 2).is_contiguous());
      return y.transpose(1, 2).flatten(2);
    };
    check(layer, {random_leaf({2, 70, 180}, dtype)});
  }
}

TEST_CASE("gradients of attention's result with any strides") {
  const Gpus machine;
  manual_seed(8);
  const auto part = [](const Tensors& in) {
    const Tensor y = scaled_dot_product_attention(in[0], in[1], in[2]);
    return matmul(y.transpose(-2, -1), ones({9, 1}, {.dtype = y.dtype(), .device = y.device()})) +
           y.sum({-2}, true).transpose(-2, -1);
  };
  for (const DType dtype : kDtypes) check(part, operands({2}, {9, 11, 8, 4}, dtype));
  const auto inner = [](const Tensors& in) {
    return cat({in[3], scaled_dot_product_attention(in[0], in[1], in[2])}, -1);
  };
  for (const std::int64_t before : {1, 4}) {
    Tensors x = operands({2}, {9, 11, 8, 4}, float32);
    x.push_back(random_leaf({2, 9, before}, float32));
    check(inner, x);
  }
}

/// By how much a rounding changes a number at most, in parts of it.
double rounding_of(DType dtype) { return dtype == bfloat16 ? 0x1p-8 : 0x1p-11; }

/// The greatest errors of attention's value and gradients, in float64, if every result of 16 bits is rounded
/// once, and, on tensor cores, every weight: probabilities and their gradients.
struct Bounded {
  Tensors exact, bounds;

  Bounded(const Tensors& x, const Tensor& y, const Tensor& gradient, const Tensor& mask, bool causal,
          bool rounds_weights) {
    const double unit = y.dtype() == float32 ? 0 : rounding_of(y.dtype());
    const double of_weight = rounds_weights ? rounding_of(y.dtype()) : 0;
    const Tensor q = x[0].to(float64), k = x[1].to(float64), v = x[2].to(float64), g = gradient.to(float64);
    const double scale = 1 / std::sqrt(static_cast<double>(q.size(-1)));
    Tensor scores = matmul(q, k.transpose(-2, -1)) * scale;
    if (mask.defined()) scores = scores + mask.to(float64);
    if (causal) scores = masked_fill(scores, arange(k.size(-2)) > arange(q.size(-2)).unsqueeze(1), -1e30);
    const Tensor p = softmax(scores, -1), dp = matmul(g, v.transpose(-2, -1));
    const Tensor ds = p * (dp - sum(g * y.to(float64), {-1}, true)) * scale;
    const auto add = [&](const Tensor& weights, const Tensor& of) {
      exact.push_back(matmul(weights, of));
      const Tensor all = matmul(abs(weights), abs(of));
      bounds.push_back(abs(exact.back()) * unit + all * of_weight + amax(all) * 1e-5 + 1e-6);
    };
    add(p, v);
    add(ds, k);
    add(ds.transpose(-2, -1), q);
    add(p.transpose(-2, -1), g);
  }
};

/// On a GPU, of numbers that TF32 can hold.
void check_bounded(Tensors x, Tensor mask, bool causal, bool rounds_weights) {
  const DType dtype = x[0].dtype();
  const auto short_numbers = [&](const Tensor& numbers) { return numbers.detach().to(float16).to(dtype); };
  Tensors leaves;
  for (Tensor& tensor : x) {
    tensor = short_numbers(tensor);
    leaves.push_back(tensor.to(gpu).requires_grad_());
  }
  if (mask.defined()) mask = mask.to(dtype);
  const Tensor y = scaled_dot_product_attention(leaves[0], leaves[1], leaves[2],
                                                mask.defined() ? mask.to(gpu) : mask, {.causal = causal});
  const Tensor g = short_numbers(randn(y.shape()));
  y.backward(g.to(gpu));
  const Tensors got{y.detach().cpu(), leaves[0].grad().cpu(), leaves[1].grad().cpu(), leaves[2].grad().cpu()};
  const Bounded by(x, got[0], g, mask, causal, rounds_weights);
  for (std::size_t i = 0; i < got.size(); ++i) {
    INFO("result ", i, ": the value, then gradients");
    CHECK(got[i].dtype() == dtype);
    CHECK(all(abs(got[i].to(float64) - by.exact[i]) <= by.bounds[i]).item<bool>());
  }
}

TEST_CASE("attention in 16 bits sums in float32 and rounds each result once") {
  const Gpus machine;
  manual_seed(9);
  for (const DType dtype : {float16, bfloat16})
    for (const bool causal : {false, true})
      for (const Sizes& s : std::vector<Sizes>{{70, 131, 33, 3}, {67, 70, 20, 36}}) {
        INFO(dtype, ", n ", s.n, ", m ", s.m, ", e ", s.e, ", ev ", s.ev, ", causal ", causal);
        check_bounded(operands({2}, s, dtype), {}, causal, false);
      }
}

TEST_CASE("attention on tensor cores rounds each weight and each result once") {
  const Gpus machine;
  manual_seed(10);
  const WithTf32 allowed;
  for (const DType dtype : {float16, bfloat16, float32})
    for (const auto& [causal, masked] : {std::pair(false, false), {true, false}, {false, true}})
      for (const Sizes& s :
           std::vector<Sizes>{{1, 1, 8, 8}, {5, 130, 16, 32}, {70, 131, 64, 80}, {129, 65, 136, 24}}) {
        INFO(dtype, ", n ", s.n, ", m ", s.m, ", e ", s.e, ", ev ", s.ev, ", causal ", causal);
        check_bounded(operands({2}, s, dtype), masked ? randn({s.n, s.m}) : Tensor(), causal, true);
      }
}

TEST_CASE("attention on tensor cores: nothing to see, no keys, no queries, shared keys, a rising maximum") {
  const Gpus machine;
  manual_seed(11);
  for (const DType dtype : {float16, bfloat16}) {
    check(attention_of({}), operands({2}, {3, 0, 16, 8}, dtype));
    check(attention_of({}), operands({2}, {0, 3, 16, 8}, dtype));
    const Tensor hidden = randn({40, 90}) > 1.0, nothing = zeros({1, 90}, {.dtype = boolean});
    const Tensor rising = ((arange(90).to(float32) - 90.0) * 0.2).to(dtype);
    for (const Tensor& mask : {hidden, nothing, rising})
      check(
          [&](const Tensors& in) { return attention_of({})({in[0], in[1], in[2], mask.to(in[0].device())}); },
          operands({2}, {40, 90, 32, 16}, dtype));
    check(
        [](const Tensors& in) {
          return scaled_dot_product_attention(in[0], in[1], in[2], {}, {.causal = true, .enable_gqa = true});
        },
        {random_leaf({2, 6, 70, 16}, dtype), random_leaf({2, 3, 75, 16}, dtype),
         random_leaf({2, 3, 75, 8}, dtype)});
  }
}

TEST_CASE("attention of more rows than its kernels count is an error") {
  const Gpus machine;
  kernels::AttentionArgs args;
  args.n = std::int64_t{1} << 31;
  CHECK_THROWS_AS(kernels::cuda_backend().attention.forward(float32, args, stream(gpu)), Error);
}

TEST_CASE("scores far from zero, and a maximum that rises late") {
  const Gpus machine;
  manual_seed(4);
  for (const DType dtype : kDtypes) {
    Tensors x = operands({1}, {33, 200, 8, 8}, dtype);
    const Tensor rising = (arange(200).to(dtype) - 200.0) * (dtype == float32 ? 0.1 : 3);
    check(
        [&](const Tensors& in) { return attention_of({})({in[0], in[1], in[2], rising.to(in[0].device())}); },
        x);
    check(
        [&](const Tensors& in) {
          return attention_of({})({in[0], in[1], in[2], (rising * -1.0).to(in[0].device())});
        },
        x);
  }
}

TEST_CASE("attention's results do not depend on the order of blocks and threads") {
  for (const DType dtype : kDtypes)
    for (const bool tensor_cores : {false, true}) {
      const Sizes sizes = tensor_cores ? Sizes{67, 70, 24, 72} : Sizes{67, 70, 20, 36};
      Tensors first;
      for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
        const Gpus machine(1, seed);
        manual_seed(5);
        const Tensors got = check(attention_of({.causal = true}), operands({2}, sizes, dtype));
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
