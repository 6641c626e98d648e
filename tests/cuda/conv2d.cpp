#include <miniparallel/random.h>

#include "compare.h"
#include "engine/ops/common.h"
#include "gpus.h"
#include "kernels/cuda/conv2d/gemm_geometry.cuh"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

struct Case {
  std::string name;
  Shape x, weight;
  Conv2dOptions options = {};
};

/// The tiles of forward and of the gradient of the data are 64 or 32 channels times 128 positions; those of
/// the gradient of the weight 64 channels times 128 taps, or 32 times 32 (64 on tensor cores). They take 8
/// products at a time, on tensor cores 32 of 16 bits or 16 of TF32.
const std::vector<Case>& cases() {
  static const std::vector<Case> list{
      {"one of everything", {1, 1, 1, 1}, {1, 1, 1, 1}},
      {"one channel in", {3, 1, 12, 11}, {32, 1, 3, 3}},
      {"whole tiles", {2, 16, 8, 8}, {64, 16, 1, 1}},
      {"whole packs of 3 x 3 weights", {1, 16, 6, 5}, {40, 16, 3, 3}, {.padding = 1}},
      {"packs of weights, not of positions", {2, 24, 5, 5}, {72, 24, 1, 1}},
      {"packs of positions, not of weights", {2, 9, 4, 4}, {33, 9, 1, 1}},
      {"several tiles each way", {3, 9, 13, 15}, {70, 9, 3, 3}, {.padding = 1}},
      {"few channels out", {2, 7, 9, 10}, {3, 7, 3, 2}, {.padding = {1, 0}}},
      {"five channels out", {2, 5, 9, 10}, {5, 5, 2, 3}},
      {"kernel of the input's size", {5, 6, 4, 3}, {10, 6, 4, 3}},
      {"kernel larger than the input", {2, 6, 3, 2}, {8, 6, 5, 4}, {.padding = 2}},
      {"stride 2, odd size", {2, 6, 11, 9}, {33, 6, 3, 3}, {.stride = 2, .padding = 1}},
      {"stride 2, 7 x 7", {1, 3, 21, 20}, {34, 3, 7, 7}, {.stride = 2, .padding = 3}},
      {"stride 2, 1 x 1", {2, 8, 7, 6}, {36, 8, 1, 1}, {.stride = 2}},
      {"stride as the kernel", {2, 6, 12, 9}, {7, 6, 4, 3}, {.stride = {4, 3}}},
      {"stride wider than the kernel", {2, 6, 12, 9}, {7, 6, 2, 2}, {.stride = {5, 3}, .padding = {1, 0}}},
      {"stride wider than the input", {2, 6, 3, 4}, {7, 6, 2, 2}, {.stride = 9}},
      {"dilation", {2, 6, 11, 12}, {9, 6, 3, 3}, {.padding = {2, 1}, .dilation = {3, 2}}},
      {"stride and dilation",
       {2, 6, 14, 13},
       {9, 6, 3, 4},
       {.stride = {2, 3}, .padding = 2, .dilation = {2, 3}}},
      {"stride 4, dilation 6", {1, 5, 25, 16}, {6, 5, 4, 3}, {.stride = 4, .padding = 3, .dilation = {6, 2}}},
      {"more padding than kernel", {1, 5, 4, 4}, {6, 5, 2, 2}, {.padding = 5}},
      {"groups", {2, 12, 9, 8}, {18, 4, 3, 3}, {.padding = 1, .groups = 3}},
      {"groups of several tiles", {1, 80, 6, 5}, {134, 40, 1, 2}, {.groups = 2}},
      {"groups with few channels out", {2, 12, 9, 8}, {9, 4, 3, 3}, {.stride = 2, .padding = 1, .groups = 3}},
      {"depthwise", {2, 10, 9, 8}, {10, 1, 3, 3}, {.padding = 1, .groups = 10}},
      {"depthwise, stride 2, twice the channels",
       {2, 5, 9, 8},
       {10, 1, 3, 3},
       {.stride = 2, .padding = 1, .groups = 5}},
      {"depthwise, six times the channels", {2, 5, 9, 8}, {30, 1, 3, 3}, {.groups = 5}},
      {"no images", {0, 6, 5, 5}, {7, 6, 3, 3}},
      {"no images, few channels out", {0, 6, 5, 5}, {2, 6, 3, 3}},
      {"no channels out", {2, 6, 5, 5}, {0, 6, 3, 3}},
      {"no channels in", {2, 0, 5, 5}, {7, 0, 3, 3}},
      {"many chunks of positions", {4, 3, 40, 41}, {6, 3, 2, 2}},
      // Packs of channels, which is 8 of 16 bits and 4 of TF32, on the sides that have them.
      {"packs of channels", {2, 16, 9, 7}, {24, 16, 3, 3}, {.padding = 1}},
      {"packs of channels, several tiles", {3, 40, 9, 11}, {72, 40, 3, 3}, {.padding = 1}},
      {"packs of channels, 1 x 1", {2, 72, 5, 5}, {40, 72, 1, 1}},
      {"packs of channels, stride 2", {2, 24, 11, 9}, {16, 24, 3, 3}, {.stride = 2, .padding = 1}},
      {"packs of channels, stride 2, 1 x 1", {2, 8, 7, 6}, {40, 8, 1, 1}, {.stride = 2}},
      {"packs of channels, stride wider than the kernel",
       {2, 16, 12, 9},
       {8, 16, 2, 2},
       {.stride = {5, 3}, .padding = {1, 0}}},
      {"packs of channels, stride and dilation",
       {2, 8, 14, 13},
       {16, 8, 3, 4},
       {.stride = {2, 3}, .padding = 2, .dilation = {2, 3}}},
      {"packs of channels, groups", {2, 48, 9, 8}, {72, 16, 3, 3}, {.padding = 1, .groups = 3}},
      {"packs of channels, groups of several tiles", {1, 80, 6, 5}, {144, 40, 1, 2}, {.groups = 2}},
      {"packs of channels out", {2, 3, 9, 10}, {16, 3, 7, 7}, {.stride = 2, .padding = 3}},
      {"packs of channels out, six in", {2, 6, 9, 10}, {40, 6, 3, 3}, {.padding = 1}},
      {"packs of channels in", {2, 16, 9, 10}, {10, 16, 3, 3}, {.padding = 1}},
      {"packs of channels out, groups of six in", {2, 12, 9, 10}, {32, 6, 3, 3}, {.groups = 2}},
      {"packs of channels, more padding than kernel", {1, 8, 4, 4}, {8, 8, 2, 2}, {.padding = 5}},
      {"packs of channels, one pixel in", {3, 16, 1, 1}, {24, 16, 3, 3}, {.padding = 1}},
      {"packs of channels, one pixel out", {3, 16, 4, 3}, {24, 16, 4, 3}},
      {"packs of channels, many chunks of positions", {4, 8, 40, 41}, {8, 8, 2, 2}},
      {"packs of channels, no images", {0, 8, 5, 5}, {16, 8, 3, 3}},
      // Few channels in a group, all of them together in packs, and depthwise each in a pack.
      {"depthwise packs", {2, 24, 9, 7}, {24, 1, 3, 3}, {.padding = 1, .groups = 24}},
      {"depthwise packs, stride 2", {2, 16, 11, 9}, {16, 1, 3, 3}, {.stride = 2, .padding = 1, .groups = 16}},
      {"depthwise packs, 7 x 7", {1, 40, 9, 8}, {40, 1, 7, 7}, {.padding = 3, .groups = 40}},
      {"depthwise packs, 5 x 4, stride 3 x 1",
       {2, 8, 13, 9},
       {8, 1, 5, 4},
       {.stride = {3, 1}, .padding = {1, 2}, .groups = 8}},
      {"depthwise packs, dilation",
       {2, 8, 10, 12},
       {8, 1, 3, 3},
       {.padding = {2, 1}, .dilation = {3, 2}, .groups = 8}},
      {"depthwise packs, 1 x 1", {2, 16, 5, 3}, {16, 1, 1, 1}, {.groups = 16}},
      {"depthwise packs, one pixel in", {3, 16, 1, 1}, {16, 1, 3, 3}, {.padding = 1, .groups = 16}},
      {"depthwise packs, one pixel out", {3, 16, 4, 3}, {16, 1, 4, 3}, {.groups = 16}},
      {"depthwise packs, more than a block has",
       {1, 264, 3, 2},
       {264, 1, 3, 3},
       {.padding = 1, .groups = 264}},
      {"depthwise packs, no images", {0, 8, 5, 5}, {8, 1, 3, 3}, {.groups = 8}},
      {"twice the channels, packs", {2, 8, 9, 8}, {16, 1, 3, 3}, {.stride = 2, .padding = 1, .groups = 8}},
      {"four channels in a group, packs", {2, 24, 9, 8}, {24, 4, 3, 3}, {.padding = 1, .groups = 6}},
      {"four channels to two, packs", {2, 32, 5, 6}, {16, 4, 2, 3}, {.stride = 2, .padding = 1, .groups = 8}},
      {"many chunks of positions, depthwise packs", {4, 8, 40, 41}, {8, 1, 2, 2}, {.groups = 8}},
      {"many chunks of positions, depthwise", {3, 4, 40, 41}, {4, 1, 2, 2}, {.groups = 4}},
  };
  return list;
}

/// Each gradient is written by one call and added to by the other.
Function twice(const Conv2dOptions& options) {
  return [options](const Tensors& in) {
    return conv2d(in[0], in[1], in[2], options) + conv2d(in[0], in[1], in[2], options) * 2;
  };
}

Tensor whole_numbers(const Shape& shape, DType dtype) { return randint(-3, 4, shape).to(dtype); }

/// The value and the gradients for whole numbers, whose sums are exact in every order, then rounded.
Tensors of_whole_numbers(const Case& one, DType dtype, Device device) {
  manual_seed(2);
  Tensors x;
  for (const Shape& shape : {one.x, one.weight, Shape{one.weight[0]}})
    x.push_back(whole_numbers(shape, dtype).to(device).requires_grad_());
  const Tensor y = conv2d(x[0], x[1], x[2], one.options);
  y.backward(whole_numbers(y.shape(), dtype).to(device));
  return {y.detach().cpu(), x[0].grad().cpu(), x[1].grad().cpu(), x[2].grad().cpu()};
}

/// While it lives float32 may be rounded to TF32.
struct WithTf32 {
  explicit WithTf32(bool allow) { set_allow_tf32(allow); }
  ~WithTf32() { set_allow_tf32(false); }
};

void check_whole_numbers(const Case& one) {
  INFO(one.name);
  for (const DType dtype : {float32, float16, bfloat16}) {
    const Tensors expected = of_whole_numbers(one, dtype, Device::cpu());
    CHECK(bit_equal(of_whole_numbers(one, dtype, gpu), expected));
    if (dtype != float32) continue;
    const WithTf32 allowed(true);
    CHECK(bit_equal(of_whole_numbers(one, dtype, gpu), expected));
  }
}

TEST_CASE("conv2d and its gradients over awkward shapes") {
  const Gpus machine;
  manual_seed(1);
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const Case& one : cases()) {
      INFO(one.name);
      const Tensors x{random_leaf(one.x, dtype), random_leaf(one.weight, dtype),
                      random_leaf({one.weight[0]}, dtype)};
      check_like_cpu(twice(one.options), x, gpu);
    }
}

TEST_CASE("conv2d of whole numbers is exact, whatever the order of blocks and threads") {
  for (const std::uint64_t seed : {0u, 1u, 2u}) {
    const Gpus machine(1, seed);
    for (const Case& one : cases()) check_whole_numbers(one);
  }
}

TEST_CASE("conv2d with as many tiles as fill a GPU: the larger ones are taken") {
  const Gpus machine;
  check_whole_numbers({"plain", {2, 12, 48, 48}, {264, 3, 3, 2}, {.groups = 4}});
  check_whole_numbers({"packed", {2, 9, 64, 64}, {264, 9, 1, 1}});
  check_whole_numbers({"packs of channels", {2, 8, 64, 64}, {264, 8, 1, 1}});
  check_whole_numbers({"packs of channels, groups", {2, 16, 48, 48}, {288, 8, 3, 2}, {.groups = 2}});
}

/// By how much one rounding may change a number, and float32's sums `largest`.
double one_rounding(DType dtype, double value, double largest) {
  return std::abs(value) * (dtype == float16 ? 0x1p-11 : 0x1p-8) + 1e-6 * largest;
}

TEST_CASE("conv2d in 16 bits sums in float32 and rounds once") {
  const Gpus machine;
  for (const DType dtype : {float16, bfloat16})
    for (const Case& one : {Case{"tiles", {2, 40, 9, 7}, {48, 40, 3, 3}, {.padding = 1}},
                            Case{"few channels out", {2, 40, 9, 7}, {4, 40, 3, 3}},
                            Case{"chunks", {4, 5, 24, 25}, {6, 5, 2, 2}}}) {
      INFO(one.name, ", ", static_cast<int>(dtype));
      manual_seed(5);
      const Tensors x{random_leaf(one.x, dtype), random_leaf(one.weight, dtype),
                      random_leaf({one.weight[0]}, dtype)};
      Tensors exact;
      for (const Tensor& tensor : x) exact.push_back(tensor.detach().to(float64).requires_grad_());
      const auto function = [&](const Tensors& in) { return conv2d(in[0], in[1], in[2], one.options); };
      const Tensor seed = make_input({function(x).shape()}, 2, dtype);
      const auto run = [&](const Tensors& in, Device device) {
        Tensors leaves;
        for (const Tensor& tensor : in) leaves.push_back(tensor.detach().to(device).requires_grad_());
        const Tensor y = function(leaves);
        y.backward(seed.to(y.dtype()).to(device));
        return Tensors{y.detach().cpu(), leaves[0].grad().cpu(), leaves[1].grad().cpu(),
                       leaves[2].grad().cpu()};
      };
      const Tensors got = run(x, gpu), expected = run(exact, Device::cpu());
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("result ", i, ": the value, then gradients");
        CHECK(got[i].dtype() == dtype);
        const auto a = got[i].to_vector<double>(), b = expected[i].to_vector<double>();
        double largest = 1;
        for (const double value : b) largest = std::max(largest, std::abs(value));
        for (std::size_t k = 0; k < a.size(); ++k)
          REQUIRE(std::abs(a[k] - b[k]) <= one_rounding(dtype, b[k], largest));
      }
    }
}

/// What the launchers write, or add to what is there, all on one device.
Tensors launched(kernels::Conv2dGeometry g, DType dtype, const Tensors& in, Device device) {
  Tensors at;
  for (const Tensor& tensor : in)
    at.push_back(
        cat({zeros({1}, {.dtype = dtype}), tensor.to(dtype)}).to(device).slice(0, 1, tensor.numel() + 1));
  const Tensor &x = at[0], &weight = at[1], &dy = at[2], &y = at[3], &dx = at[4], &dw = at[5], &db = at[6],
               &db_alone = at[7], &dw_alone = at[8];
  const kernels::Conv2d& conv = backend(x).conv2d;
  conv.forward(dtype, g, raw(x), raw(weight), nullptr, raw(y), stream(device));
  conv.data_gradient(dtype, g, raw(dy), raw(weight), {raw(dx), 1}, stream(device));
  conv.weight_gradient(dtype, g, raw(dy), raw(x), {raw(dw), 1}, {raw(db)}, stream(device));
  conv.weight_gradient(dtype, g, raw(dy), raw(x), {}, {raw(db_alone), 1}, stream(device));
  conv.weight_gradient(dtype, g, raw(dy), raw(x), {raw(dw_alone)}, {}, stream(device));
  Tensors results;
  for (std::size_t i = 3; i < at.size(); ++i) results.push_back(at[i].cpu());
  return results;
}

TEST_CASE("conv2d's launchers: misaligned arrays, no bias, the gradients of weight and bias alone") {
  const Gpus machine;
  manual_seed(3);
  kernels::Conv2dGeometry g{.n = 2,
                            .in_channels = 6,
                            .in_h = 8,
                            .in_w = 8,
                            .out_channels = 6,
                            .out_h = 8,
                            .out_w = 8,
                            .kernel_h = 3,
                            .kernel_w = 3,
                            .stride_h = 1,
                            .stride_w = 1,
                            .padding_h = 1,
                            .padding_w = 1,
                            .dilation_h = 1,
                            .dilation_w = 1,
                            .groups = 1};
  for (const DType dtype : {float32, float64, float16, bfloat16})
    for (const std::int64_t groups : {1, 3}) {  // by tiles, and directly
      g.groups = groups;
      const std::int64_t weights = 36 * 9 / groups;
      Tensors in;
      for (const std::int64_t size : {768L, weights, 768L, 768L, 768L, weights, 6L, 6L, weights})
        in.push_back(randn({size}).to(dtype));
      const bool is_half = kernels::is_half(dtype);  // the CPU has no kernels for them
      const Tensors expected = launched(g, is_half ? float32 : dtype, in, Device::cpu()),
                    got = launched(g, dtype, in, gpu);
      for (std::size_t i = 0; i < got.size(); ++i) {
        INFO("result ", i, ", groups ", groups);
        check_close(got[i], expected[i].to(dtype));
      }
    }
}

TEST_CASE("batches and offsets beyond 32 bits") {
  const std::int64_t side = 1 << 12, images = 1000;  // of 2^24 elements, 3 channels
  const kernels::Conv2dGeometry g{.n = images,
                                  .in_channels = 3,
                                  .in_h = side,
                                  .in_w = side,
                                  .out_channels = 300,
                                  .out_h = side,
                                  .out_w = side,
                                  .kernel_h = 1,
                                  .kernel_w = 1,
                                  .stride_h = 1,
                                  .stride_w = 1,
                                  .padding_h = 0,
                                  .padding_w = 0,
                                  .dilation_h = 1,
                                  .dilation_w = 1,
                                  .groups = 1};
  const kernels::cuda::ImplicitGemm gemm = kernels::cuda::forward_gemm(g);
  std::int64_t covered = 0;
  kernels::cuda::for_each_part(gemm, gemm.plane() * 5,
                               [&](const kernels::cuda::ImplicitGemm& part, std::int64_t first) {
                                 CHECK(first == covered);
                                 CHECK(part.positions() * 5 < std::int64_t{1} << 31);
                                 covered += part.images;
                               });
  CHECK(covered == images);
  const kernels::cuda::Position last =
      kernels::cuda::position_at(gemm, static_cast<std::uint32_t>(127 * side * side - 1), 0);
  CHECK(last.source == (126 * 3 + 1) * side * side - 1);
  CHECK(last.out == (126 * 300 + 1) * side * side - 1);
  CHECK(kernels::cuda::tap_at(gemm, 2).offset == 2 * side * side);
  kernels::Conv2dGeometry huge = g;
  huge.in_h = huge.in_w = 1 << 15;
  CHECK_THROWS_WITH_AS(kernels::cuda::check_sizes(huge),
                       doctest::Contains("the size of a channel is 1073741824"), Error);
}

}  // namespace
}  // namespace miniparallel::testing
