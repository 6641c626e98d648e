#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

// The mistakes that users make most, and what they are told: the op, what it got, what to do. A message is
// read more often than the code that makes it, so a change of it is seen here.

using namespace miniparallel;

namespace {

struct Mistake {
  const char* op;
  std::function<void()> make;
  const char* message;
};

/// Its scale was meant to be learned.
struct Forgetful {
  nn::Linear fc{3, 3};
  Tensor scale = ones({3}, {.requires_grad = true});
};

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();

const std::vector<Mistake> mistakes{
    // --- shape
    {"add", [] { zeros({2, 3}) + zeros({4}); },
     "add: shapes [2, 3] and [4] do not broadcast: sizes 3 and 4 at dimension -1; they must be equal or one "
     "of them 1"},
    {"matmul", [] { matmul(zeros({2, 3}), zeros({4, 5})); },
     "matmul: the inner sizes of [2, 3] and [4, 5] differ, 3 and 4; transpose or reshape one of them"},
    {"matmul", [] { matmul(zeros({2, 3}), scalar_tensor(1)); },
     "matmul: got int64 of shape []; it computes in floating dtypes, convert with to(float32)"},
    {"linear", [] { nn::Linear(8, 2)(zeros({4, 9})); },
     "linear: input of shape [4, 9] does not fit weight of shape [2, 8]; the input's last size must be 8"},
    {"conv2d", [] { nn::Conv2d(3, 8, 3)(zeros({1, 28, 28})); },
     "conv2d: input has shape [1, 28, 28]; it must be (n, channels, height, width), for one image "
     "unsqueeze(0)"},
    {"conv2d", [] { nn::Conv2d(3, 8, 3)(zeros({1, 1, 28, 28})); },
     "conv2d: input of shape [1, 1, 28, 28] has 1 channels; weight of shape [8, 3, 3, 3] with groups 1 needs "
     "3"},
    {"conv2d", [] { nn::Conv2d(1, 8, 5)(zeros({1, 1, 4, 4})); },
     "conv2d: a kernel of 5 x 5 with dilation 1 does not fit an input of shape [1, 1, 4, 4] with padding 0; "
     "use a larger input or padding, or a smaller kernel"},
    {"max_pool2d", [] { max_pool2d(zeros({3, 8}), 2); },
     "max_pool2d: input has shape [3, 8]; it must be (n, channels, height, width)"},
    {"max_pool2d", [] { max_pool2d(zeros({1, 1, 2, 2}), 3); },
     "max_pool2d: kernel 3 x 3 does not fit an input of shape [1, 1, 2, 2] with padding 0 x 0; use a larger "
     "input or padding, or a smaller kernel"},
    {"batch_norm", [] { batch_norm(zeros({2, 3}), ones({4}), zeros({4}), zeros({4}), ones({4})); },
     "batch_norm: weight has shape [4]; it must be [3]"},
    {"layer_norm", [] { nn::LayerNorm(8)(zeros({2, 7})); },
     "layer_norm: input of shape [2, 7] does not end in the normalised shape [8]; make the layer for the "
     "shape of its input"},
    {"cross_entropy", [] { cross_entropy(zeros({4, 10}), zeros({5}, {.dtype = int64})); },
     "cross_entropy: target of shape [5] does not fit an input of shape [4, 10]; it must be [4]"},
    {"mse_loss", [] { mse_loss(zeros({4, 1}), zeros({4})); },
     "mse_loss: input of shape [4, 1] and target of shape [4] differ; reshape or expand one to the other"},
    {"scaled_dot_product_attention",
     [] { scaled_dot_product_attention(zeros({5, 8}), zeros({5, 7}), zeros({5, 8})); },
     "scaled_dot_product_attention: q [5, 8] and k [5, 7] differ in their last size; both must be the width "
     "of a head"},
    {"cat", [] { cat({zeros({2, 3}), zeros({2, 4})}, 0); },
     "cat: shapes [2, 3] and [2, 4] differ outside dim 0; only the size of the joined dimension may"},
    {"cat", [] { cat({}); }, "cat: no tensors were given; pass at least one"},
    {"stack", [] { stack({zeros({2}), zeros({3})}); }, "stack: shapes [2] and [3] differ; all must be equal"},
    {"view", [] { zeros({2, 3}).view({4, 2}); },
     "view: [2, 3] with 6 elements cannot take shape [4, 2]; the sizes must multiply to the number of "
     "elements"},
    {"view", [] { zeros({2, 3}).t().view({6}); },
     "view: [3, 2] with strides [1, 3] cannot be seen as [6] without a copy; use reshape"},
    {"reshape", [] { zeros({2, 3}).reshape({-1, 4}); },
     "reshape: [2, 3] with 6 elements cannot take shape [-1, 4]; the known sizes must divide the number of "
     "elements"},
    {"expand", [] { zeros({2, 3}).expand({4, 3}); },
     "expand: [2, 3] cannot be expanded to [4, 3]: dimension 0 has size 2; only a size of 1 expands"},
    {"split", [] { zeros({5}).split(Shape{2, 2}); },
     "split: the sizes [2, 2] do not sum to 5, the size of dimension 0; name the size of every part"},
    {"tensor", [] { tensor({1, 2, 3}, {2, 2}); },
     "tensor: got 3 values for shape [2, 2], which has 4 elements; give one value for each"},
    {"tensor", [] { tensor({{1, 2}, {3}}); },
     "tensor: a row has 1 elements, another 2; rows must be equally long"},
    {"tensor", [] { tensor(std::vector<std::size_t>{std::numeric_limits<std::size_t>::max()}); },
     "tensor: 18446744073709551615 does not fit int64, the largest integer dtype; convert the values to "
     "double"},
    {"copy_", [] { zeros({2}).copy_(zeros({3})); },
     "copy_: shapes [2] and [3] do not broadcast: sizes 2 and 3 at dimension -1; they must be equal or one "
     "of them 1"},
    {"add_", [] { zeros({2}).add_(zeros({2, 2})); },
     "add_: [2, 2] does not broadcast to [2], the shape of the tensor that is written; only the other "
     "operand is stretched"},
    {"item", [] { (void)zeros({2}).item(); },
     "item: the tensor of shape [2] has 2 elements, not one; select one, or use to_vector()"},
    {"split", [] { zeros({5}).split(Shape{6, -1}); },
     "split: the sizes [6, -1] have a negative one; each must be at least 0"},
    {"chunk", [] { zeros({2}).chunk(0); }, "chunk: the number of chunks is 0; it must be at least 1"},
    {"set_grad", [] { zeros({2, 3}).set_grad(zeros({3})); },
     "set_grad: got float32 [3] on cpu for a tensor of float32 [2, 3] on cpu; a gradient has the kind of its "
     "tensor"},
    {"zeros", [] { zeros({2, -1}); },
     "zeros: shape [2, -1] has a negative size; every size must be at least 0"},
    {"randint", [] { randint(0, 2, {-1}); },
     "randint: shape [-1] has a negative size; every size must be at least 0"},
    {"tensor", [] { tensor({1, 2}, {-1, -2}); },
     "tensor: shape [-1, -2] has a negative size; every size must be at least 0"},
    {"matmul", [] { matmul(zeros({4, 2, 3}), zeros({5, 3, 2})); },
     "matmul: the leading dimensions of [4, 2, 3] and [5, 3, 2] do not broadcast; their sizes must be equal "
     "or one of them 1"},
    {"scaled_dot_product_attention",
     [] { scaled_dot_product_attention(zeros({2, 5, 8}), zeros({3, 5, 8}), zeros({3, 5, 8})); },
     "scaled_dot_product_attention: the leading dimensions of q [2, 5, 8], k [3, 5, 8] and v [3, 5, 8] do "
     "not "
     "broadcast; their sizes must be equal or 1"},
    {"split", [] { zeros({2}).split(0); }, "split: the size of a part is 0; it must be at least 1"},
    {"masked_fill_", [] { zeros({2}).masked_fill_(ones({2, 2}) > 0, 1); },
     "masked_fill_: [2, 2] does not broadcast to [2], the shape of the tensor that is written; only the "
     "other "
     "operand is stretched"},
    {"pad", [] { pad(zeros({3}), {-5, 4}); },
     "pad: -5 and 4 take more than dimension 0 of [3] has; leave some of it"},
    {"pad", [] { pad(zeros({3}), {least, 0}); },
     "pad: -9223372036854775808 and 0 take more than dimension 0 of [3] has; leave some of it"},
    {"pad", [] { pad(zeros({3}), {-1, least}); },
     "pad: -1 and -9223372036854775808 take more than dimension 0 of [3] has; leave some of it"},
    {"pad", [] { pad(zeros({3}), {most, 1}); },
     "pad: 9223372036854775807 and 1 give dimension 0 of [3] a size that does not fit 63 bits; add fewer "
     "elements"},
    {"diag", [] { diag(zeros({3}), least); },
     "diag: [3] on diagonal -9223372036854775808 makes a matrix of 9223372036854775811 rows, whose number of "
     "elements does not fit 63 bits; choose a diagonal nearer to 0"},
    {"conv2d", [] { conv2d(zeros({1, 1, 4, 4}), zeros({1, 1, 1, 1}), {}, {.padding = most}); },
     "conv2d: a size of 4 with padding 9223372036854775807, or a kernel of 1 with dilation 1, does not fit "
     "63 "
     "bits; choose smaller ones"},
    {"conv2d", [] { conv2d(zeros({1, 1, 4, 4}), zeros({1, 1, 3, 3}), {}, {.dilation = most}); },
     "conv2d: a size of 4 with padding 0, or a kernel of 3 with dilation 9223372036854775807, does not fit "
     "63 "
     "bits; choose smaller ones"},
    {"max_pool2d", [] { max_pool2d(zeros({1, 1, 4, 4}), 2, {.padding = most}); },
     "max_pool2d: got padding 9223372036854775807 x 9223372036854775807 for kernel 2 x 2; it must be from 0 "
     "to half of the kernel"},
    // --- range
    {"full", [] { full({1}, 300, {.dtype = uint8}); },
     "full: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"full", [] { full({1}, -1, {.dtype = uint8}); },
     "full: -1 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"full", [] { full({1}, 1e20, {.dtype = int64}); },
     "full: 1e+20 is not in the range of int64, which is -9223372036854775808 to 9223372036854775807; choose "
     "another number or dtype"},
    {"full", [] { full({1}, NAN, {.dtype = int64}); },
     "full: nan is not in the range of int64, which is -9223372036854775808 to 9223372036854775807; choose "
     "another number or dtype"},
    {"full", [] { full({1}, std::uint64_t{1} << 63); },
     "full: 9223372036854775808 is not in the range of int64, which is -9223372036854775808 to "
     "9223372036854775807; choose another number or dtype"},
    {"full", [] { full({1}, 1e300); },
     "full: 1e+300 is not in the range of float32, which is -3.40282e+38 to 3.40282e+38; choose another "
     "number or dtype"},
    {"full_like", [] { full_like(zeros({1}, {.dtype = int32}), std::int64_t{1} << 31); },
     "full_like: 2147483648 is not in the range of int32, which is -2147483648 to 2147483647; choose another "
     "number or dtype"},
    {"scalar_tensor", [] { scalar_tensor(256, {.dtype = uint8}); },
     "scalar_tensor: 256 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"fill_", [] { zeros({1}, {.dtype = float16}).fill_(65520); },
     "fill_: 65520 is not in the range of float16, which is -65504 to 65504; choose another number or dtype"},
    {"fill_", [] { zeros({1}, {.dtype = bfloat16}).fill_(3.4e38); },
     "fill_: 3.4e+38 is not in the range of bfloat16, which is -3.38953e+38 to 3.38953e+38; choose another "
     "number or dtype"},
    {"masked_fill", [] { masked_fill(zeros({1}, {.dtype = uint8}), full({1}, true), 300); },
     "masked_fill: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"masked_fill_", [] { zeros({1}, {.dtype = uint8}).masked_fill_(full({1}, true), 300); },
     "masked_fill_: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"tensor", [] { tensor({300}, {1}, {.dtype = uint8}); },
     "tensor: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"tensor", [] { tensor({1.0, 1e10}, {2}, {.dtype = int32}); },
     "tensor: 1e+10 is not in the range of int32, which is -2147483648 to 2147483647; choose another number "
     "or dtype"},
    {"add", [] { zeros({1}, {.dtype = uint8}) + 300; },
     "add: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"add_", [] { zeros({1}, {.dtype = uint8}).add_(300); },
     "add_: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"mul_", [] { zeros({1}, {.dtype = int32}).mul_(std::int64_t{1} << 31); },
     "mul_: 2147483648 is not in the range of int32, which is -2147483648 to 2147483647; choose another "
     "number or dtype"},
    {"arange", [] { arange(0, 300, 1, {.dtype = uint8}); },
     "arange: 299 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"arange", [] { arange(0, 5, 1, {.dtype = boolean}); },
     "arange: 4 is not in the range of bool, which is 0 to 1; choose another number or dtype"},
    {"arange", [] { arange(0, 5, -1); },
     "arange: a step of -1 does not lead from 0 to 5; give it the other sign"},
    {"arange", [] { arange(1.5, 0.5, 0.25); },
     "arange: a step of 0.25 does not lead from 1.5 to 0.5; give it the other sign"},
    {"linspace", [] { linspace(0, 300, 5, {.dtype = uint8}); },
     "linspace: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"linspace", [] { linspace(1e20, 0, 2, {.dtype = int64}); },
     "linspace: 1e+20 is not in the range of int64, which is -9223372036854775808 to 9223372036854775807; "
     "choose another number or dtype"},
    {"logspace", [] { logspace(0, 8, 9, 2, {.dtype = uint8}); },
     "logspace: 256 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"randint", [] { randint(250, 300, {3}, {.dtype = uint8}); },
     "randint: 299 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"randint", [] { randint(0, std::int64_t{1} << 33, {3}, {.dtype = int32}); },
     "randint: 8589934591 is not in the range of int32, which is -2147483648 to 2147483647; choose another "
     "number or dtype"},
    {"randint", [] { randint(0, 5, {3}, {.dtype = boolean}); },
     "randint: 4 is not in the range of bool, which is 0 to 1; choose another number or dtype"},
    {"randint", [] { randint(16777217, 16777218, {3}, {.dtype = float32}); },
     "randint: float32 has no integer in [16777217, 16777218); choose another range or dtype"},
    {"randperm", [] { randperm(300, {.dtype = uint8}); },
     "randperm: 299 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"randperm", [] { randperm(2050, {.dtype = float16}); },
     "randperm: float16 does not have every integer below 2050; choose a wider dtype"},
    {"uniform_", [] { zeros({1}).uniform_(0, 1e300); },
     "uniform_: 1e+300 is not in the range of float32, which is -3.40282e+38 to 3.40282e+38; choose another "
     "number or dtype"},
    {"uniform_", [] { zeros({1}).uniform_(-3e38, 3e38); },
     "uniform_: from -3e+38 to 3e+38 is a range wider than the greatest number of float32; bring the bounds "
     "closer together"},
    {"uniform_", [] { zeros({1}, {.dtype = float64}).uniform_(-1e308, 1e308); },
     "uniform_: from -1e+308 to 1e+308 is a range wider than the greatest number of float64; bring the "
     "bounds "
     "closer together"},
    {"uniform_", [] { zeros({1}).uniform_(0, HUGE_VAL); },
     "uniform_: got the bounds 0 and inf; they must be finite, the lower one first"},
    {"normal_", [] { zeros({1}).normal_(1e300); },
     "normal_: 1e+300 is not in the range of float32, which is -3.40282e+38 to 3.40282e+38; choose another "
     "number or dtype"},
    {"normal_", [] { zeros({1}).normal_(0, 1e300); },
     "normal_: 1e+300 is not in the range of float32, which is -3.40282e+38 to 3.40282e+38; choose another "
     "number or dtype"},
    {"normal_", [] { zeros({1}).normal_(NAN); },
     "normal_: got the mean nan and the standard deviation 1; both must be finite, the second at least 0"},
    {"normal_", [] { zeros({1}).normal_(0, -1); },
     "normal_: got the mean 0 and the standard deviation -1; both must be finite, the second at least 0"},
    {"constant_", [] { nn::init::constant_(zeros({1}, {.dtype = uint8}), 300); },
     "constant_: 300 is not in the range of uint8, which is 0 to 255; choose another number or dtype"},
    {"norm", [] { norm(zeros({2}), NAN); }, "norm: p is nan; it must be a number"},
    {"isclose", [] { isclose(zeros({2}), zeros({2}), -1); },
     "isclose: rtol is -1 and atol 1e-08; both must be at least 0"},
    {"allclose", [] { allclose(zeros({2}), zeros({2}), 1e-5, NAN); },
     "allclose: rtol is 1e-05 and atol nan; both must be at least 0"},
    {"binary_cross_entropy", [] { binary_cross_entropy(tensor({0.5, 1.5}), tensor({0.0, 1.0})); },
     "binary_cross_entropy: the input has elements from 0.5 to 1.5; they must be in [0, 1], of logits use "
     "binary_cross_entropy_with_logits"},
    {"binary_cross_entropy", [] { binary_cross_entropy(tensor({NAN}), tensor({1.0})); },
     "binary_cross_entropy: the input has elements from nan to nan; they must be in [0, 1], of logits use "
     "binary_cross_entropy_with_logits"},
    {"item", [] { (void)tensor({300}).item<std::uint8_t>(); },
     "item: the element is 300, and the type asked for goes from 0 to 255; ask for a wider one"},
    {"item", [] { (void)tensor({1e20}).item<std::int64_t>(); },
     "item: the element is 1e+20, and the type asked for goes from -9223372036854775808 to "
     "9223372036854775807; ask for a wider one"},
    {"BatchNorm", [] { nn::BatchNorm1d(2, {.eps = -1}); }, "BatchNorm: eps is -1; it must be above 0"},
    {"BatchNorm", [] { nn::BatchNorm2d(2, {.momentum = 7}); },
     "BatchNorm: momentum is 7; it must be in [0, 1]"},
    {"batch_norm", [] { batch_norm(ones({4, 2}), {}, {}, {}, {}, {.training = true, .eps = 0}); },
     "batch_norm: eps is 0; it must be above 0 in training"},
    {"batch_norm", [] { batch_norm(ones({4, 2}), {}, {}, zeros({2}), ones({2}), {.eps = -1}); },
     "batch_norm: eps is -1; it must be at least 0"},
    {"LayerNorm", [] { nn::LayerNorm(2, {.eps = 0}); }, "LayerNorm: eps is 0; it must be above 0"},
    {"layer_norm", [] { layer_norm(ones({4, 2}), {2}, {}, {}, 0); },
     "layer_norm: eps is 0; it must be above 0"},
    // --- dtype
    {"matmul", [] { matmul(zeros({2, 2}), zeros({2, 2}, {.dtype = float64})); },
     "matmul: tensors are float32 and float64; convert one with to(dtype)"},
    {"matmul", [] { matmul(zeros({2, 2}, {.dtype = int64}), zeros({2, 2}, {.dtype = int64})); },
     "matmul: got int64 of shape [2, 2]; it computes in floating dtypes, convert with to(float32)"},
    {"softmax", [] { softmax(tensor({1, 2}), 0); },
     "softmax: got int64 of shape [2]; it computes in floating dtypes, convert with to(float32)"},
    {"where", [] { where(tensor({1, 0}), zeros({2}), ones({2})); },
     "where: the condition is int64; compare to get bool"},
    {"operator&", [] { (zeros({2}) > 0) & zeros({2}); },
     "operator&: got bool and float32; it takes integers, and bool unless it shifts"},
    {"operator~", [] { ~zeros({2}); }, "operator~: got float32; it takes integers and bool"},
    {"std", [] { tensor({1, 2}).std(); },
     "std: got int64 of shape [2]; it computes in floating dtypes, convert with to(float32)"},
    {"masked_fill", [] { masked_fill(zeros({2}), tensor({1, 0}), 1); },
     "masked_fill: the mask is int64; compare to get bool"},
    {"cross_entropy", [] { cross_entropy(zeros({4, 10}), zeros({4})); },
     "cross_entropy: target has dtype float32; class indices are int64, int32 or uint8"},
    {"embedding", [] { nn::Embedding(4, 2)(zeros({3})); },
     "embedding: indices have dtype float32; convert them to int64 or int32"},
    {"index_select", [] { index_select(zeros({3}), 0, zeros({1})); },
     "index_select: indices have dtype float32; convert them to int64 or int32"},
    {"data", [] { (void)zeros({2}).data<double>(); },
     "data: the tensor is float32, not float64; convert it with to(float64)"},
    {"requires_grad_", [] { tensor({1, 2}).requires_grad_(); },
     "requires_grad_: a tensor of int64 has no gradient; convert it with to(float32)"},
    {"mul_", [] { tensor({1, 2}).mul_(0.5); },
     "mul_: a result of float32 cannot be written to a tensor of int64; convert it with to(float32)"},
    {"to",
     [] {
       nn::Linear layer(2, 2);
       to(layer, int64);
     },
     "to: got int64; a model is converted to a floating dtype, such as float32"},
    {"set_default_dtype", [] { set_default_dtype(int64); },
     "set_default_dtype: got int64; only float32 and float64 compute"},
    {"add_", [] { full({1}, true).add_(tensor({2})); },
     "add_: a result of int64 cannot be written to a tensor of bool; convert it with to(int64)"},
    {"sub", [] { full({1}, true) - full({1}, true); },
     "sub: bool minus bool is not supported; use a != b (one of the two) or logical_not(x)"},
    {"mm", [] { mm(zeros({2, 2}, {.dtype = float16}), zeros({2, 2})); },
     "mm: tensors are float16 and float32; convert one with to(dtype)"},
    // --- undefined
    {"view", [] { Tensor().view({1}); }, "view: an argument is undefined; assign it first"},
    {"isfinite", [] { isfinite(Tensor()); }, "isfinite: an argument is undefined; assign it first"},
    {"isclose", [] { isclose(zeros({1}), {}); }, "isclose: an undefined tensor was used; assign it first"},
    // --- rank and dimension
    {"narrow", [] { zeros({2}).narrow(1, 0, 1); },
     "narrow: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"chunk", [] { zeros({2}).chunk(2, 1); },
     "chunk: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"split", [] { zeros({2}).split(1, 1); },
     "split: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"split", [] { zeros({2}).split(Shape{2}, 1); },
     "split: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"chunk", [] { zeros({}).chunk(2); },
     "chunk: a tensor without dimensions has no dimension 0; unsqueeze it first"},
    {"flatten", [] { zeros({}).flatten(5, 7); },
     "flatten: dimension 5 is out of range for a tensor with 0 dimensions; it must be from -1 to 0"},
    {"transpose", [] { zeros({2, 3}).transpose(0, 2); },
     "transpose: dimension 2 is out of range for a tensor with 2 dimensions; it must be from -2 to 1"},
    {"t", [] { zeros({2, 3, 4}).t(); },
     "t: got shape [2, 3, 4]; it takes at most 2 dimensions, use transpose(dim0, dim1)"},
    {"permute", [] { zeros({2, 3}).permute({0}); },
     "permute: got 1 dimensions for a tensor with 2; name every dimension once"},
    {"permute", [] { zeros({2, 3}).permute({0, 0}); },
     "permute: dimension 0 is named twice in [0, 0]; name every dimension once"},
    {"sum", [] { sum(zeros({2, 3}), {2}); },
     "sum: dimension 2 is out of range for a tensor with 2 dimensions; it must be from -2 to 1"},
    {"sum", [] { sum(zeros({2, 3}), {0, 0}); },
     "sum: dim 0 appears twice in dims [0, 0]; name every dimension once"},
    {"softmax", [] { softmax(zeros({2, 3}), -3); },
     "softmax: dimension -3 is out of range for a tensor with 2 dimensions; it must be from -2 to 1"},
    {"sum", [] { sum(zeros({2}), {std::int64_t{1} << 32}); },
     "sum: dimension 4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"prod", [] { prod(zeros({2}), {-(std::int64_t{1} << 32)}); },
     "prod: dimension -4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"permute", [] { zeros({2}).permute({std::int64_t{1} << 32}); },
     "permute: dimension 4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"movedim", [] { zeros({2}).movedim({0}, {std::int64_t{1} << 32}); },
     "movedim: dimension 4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"flip", [] { flip(zeros({2}), {std::int64_t{1} << 32}); },
     "flip: dimension 4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"roll", [] { roll(zeros({2}), {1}, {std::int64_t{1} << 32}); },
     "roll: dimension 4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"tensordot", [] { tensordot(zeros({2}), zeros({2}), {0}, {std::int64_t{1} << 32}); },
     "tensordot: dimension 4294967296 is out of range for a tensor with 1 dimensions; it must be from -1 to "
     "0"},
    {"norm", [] { norm(zeros({2}), 2, {1}); },
     "norm: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"topk", [] { topk(zeros({2}), 1, 1); },
     "topk: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"roll", [] { roll(zeros({}), {1}, {0}); },
     "roll: a tensor without dimensions has no dimension 0; unsqueeze it first"},
    {"outer",
     [] {
       const Tensor x = zeros({1}).expand({std::int64_t{1} << 40});
       outer(x, x);
     },
     "outer: shape [1099511627776, 1099511627776]: the number of elements does not fit 63 bits; make it "
     "smaller"},
    {"size", [] { (void)zeros({2}).size(1); },
     "size: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    {"shape", [] { zeros({1, 1, 1, 1, 1, 1, 1, 1, 1}); },
     "shape: more than 8 dimensions; merge some with reshape"},
    {"amax", [] { amax(zeros({0})); },
     "amax: nothing to compare in a tensor of shape [0] over dims []; the reduced dimensions must not be "
     "empty"},
    // --- index
    {"select", [] { zeros({0}).select(0, 0); }, "select: dimension 0 of [0] has no index 0; it is empty"},
    {"select", [] { zeros({3, 2})[3]; },
     "select: index 3 is out of range for dimension 0 of size 3; it must be at least -3 and below 3"},
    {"narrow", [] { zeros({4}).narrow(0, 3, 2); },
     "narrow: 2 elements from 3 exceed dimension 0 of size 4; start and length must stay within it"},
    {"slice", [] { zeros({4}).slice(0, 0, 4, -1); }, "slice: the step is -1; it must be at least 1"},
    {"index_select", [] { index_select(zeros({3}), 0, tensor({3})); },
     "index_select: index 3 at position 0 is out of range; it must be at least 0 and below 3"},
    {"take_along_dim", [] { take_along_dim(zeros({2}), tensor({2}), 0); },
     "take_along_dim: index 2 at position 0 is out of range; it must be at least 0 and below 2"},
    {"embedding", [] { nn::Embedding(4, 2)(tensor({1, 4})); },
     "embedding: index 4 at position 1 is out of range; it must be at least 0 and below 4"},
    {"cross_entropy", [] { cross_entropy(zeros({2, 3}), tensor({0, 3})); },
     "cross_entropy: target 3 at position 1 is out of range; it must be at least 0 and below 3"},
    {"index_select", [] { index_select(zeros({0}), 0, tensor({3})); },
     "index_select: index 3 at position 0 is out of range; the indexed dimension is empty"},
    {"gather", [] { gather(zeros({0, 3}), 0, zeros({1, 3}, int64)); },
     "gather: index 0 at position 0 is out of range; the indexed dimension is empty"},
    {"scatter", [] { scatter(zeros({0}), 0, tensor({0}), 7); },
     "scatter: index 0 at position 0 is out of range; the indexed dimension is empty"},
    {"embedding", [] { embedding(zeros({0, 2}), tensor({0})); },
     "embedding: index 0 at position 0 is out of range; the indexed dimension is empty"},
    {"bincount", [] { bincount(tensor({0, most})); },
     "bincount: the greatest element is 9223372036854775807; it must be at least 0 and below "
     "9223372036854775807"},
    {"one_hot", [] { one_hot(tensor({0, most})); },
     "one_hot: the greatest element is 9223372036854775807; it must be at least 0 and below "
     "9223372036854775807"},
    {"one_hot", [] { one_hot(tensor({-1})); },
     "one_hot: the greatest element is -1; it must be at least 0 and below 9223372036854775807"},
    {"logsumexp", [] { logsumexp(zeros({2}), {1}); },
     "logsumexp: dimension 1 is out of range for a tensor with 1 dimensions; it must be from -1 to 0"},
    // --- device
    {"Device", [] { (void)Device("gpu"); }, "Device: got 'gpu'; expected 'cpu', 'cuda' or 'cuda:<index>'"},
    // --- autograd
    {"backward", [] { (zeros({2}, {.requires_grad = true}) * 2).backward(); },
     "backward: the output has shape [2]; only a scalar needs no gradient, pass one of the same shape"},
    {"backward", [] { sum(zeros({2})).backward(); },
     "backward: output 0 does not depend on a tensor that requires grad; call requires_grad_() on what is to "
     "be learned"},
    {"backward",
     [] {
       Tensor y = sum(zeros({2}, {.requires_grad = true}) * 2);
       y.backward();
       y.backward();
     },
     "backward: sum was already differentiated and its saved tensors are freed; pass retain_graph to the "
     "first backward"},
    {"mul_", [] { zeros({2}, {.requires_grad = true}).mul_(2); },
     "mul_: a leaf that requires grad cannot be written in place while grad mode is on; use NoGradGuard"},
    // --- training and data
    {"parameters", [] { (void)parameters(Forgetful()); },
     "parameters: member 'scale' of shape [3] is a Tensor that requires grad, which is neither trained nor "
     "saved; make it an nn::Parameter, or call requires_grad_(false)"},
    {"save",
     [] {
       const testing::TemporaryFolder folder;
       save(Forgetful(), folder / "forgetful.safetensors");
     },
     "save: member 'scale' of shape [3] is a Tensor that requires grad, which is neither trained nor "
     "saved; make it an nn::Parameter, or call requires_grad_(false)"},
    {"SGD", [] { optim::SGD(std::vector<Tensor>{}); },
     "SGD: got no parameters; pass those of a model, parameters(model)"},
    {"Adam", [] { optim::Adam({zeros({2}).requires_grad_()}, {.lr = -1}); },
     "Adam: lr is -1; it must be at least 0"},
    {"dropout", [] { dropout(zeros({2}), 1.5); }, "dropout: got the probability 1.5; it must be in [0, 1]"},
    {"scaled_dot_product_attention",
     [] { scaled_dot_product_attention(zeros({5, 8}), zeros({5, 8}), zeros({5, 8}), {}, {.dropout = -0.5}); },
     "scaled_dot_product_attention: dropout is -0.5; it must be in [0, 1]"},
    {"scaled_dot_product_attention",
     [] { scaled_dot_product_attention(zeros({5, 8}), zeros({5, 8}), zeros({5, 8}), {}, {.dropout = NAN}); },
     "scaled_dot_product_attention: dropout is nan; it must be in [0, 1]"},
    {"ReduceLROnPlateau",
     [] {
       optim::SGD optimizer({zeros({2}).requires_grad_()}, {.lr = 1});
       optim::ReduceLROnPlateau(optimizer, {.eps = NAN});
     },
     "ReduceLROnPlateau: eps is nan; it must be at least 0"},
    {"xavier_uniform_", [] { nn::init::xavier_uniform_(zeros({3})); },
     "xavier_uniform_: got shape [3]; fan in and fan out need a weight (out, in, ...)"},
    {"kaiming_normal_", [] { nn::init::kaiming_normal_(zeros({3, 2}, {.dtype = int64})); },
     "kaiming_normal_: got dtype int64; random reals need a floating dtype (randint draws integers)"},
    {"Linear", [] { nn::Linear(0, 3); },
     "Linear: got 0 features in and 3 out; it needs at least one on each side"},
    {"MultiheadAttention", [] { nn::MultiheadAttention(10, 3); },
     "MultiheadAttention: 3 heads do not divide the width 10; choose a divisor of it"},
    {"RandomCrop",
     [] {
       data::RandomStream random(1, 1);
       data::RandomCrop{0}(zeros({1, 4, 4}), random);
     },
     "RandomCrop: size is 0 and padding 0; the first must be at least 1, the second at least 0"},
    {"RandomCrop",
     [] {
       data::RandomStream random(1, 1);
       data::RandomCrop{2, -1}(zeros({1, 4, 4}), random);
     },
     "RandomCrop: size is 2 and padding -1; the first must be at least 1, the second at least 0"},
    {"RandomHorizontalFlip",
     [] {
       data::RandomStream random(1, 1);
       data::RandomHorizontalFlip{1.5}(zeros({1, 4, 4}), random);
     },
     "RandomHorizontalFlip: probability is 1.5; it must be in [0, 1]"},
    {"TensorDataset", [] { data::TensorDataset(zeros({2}), zeros({3})); },
     "TensorDataset: first sizes differ: [2] and [3]; it is the number of examples"},
    {"DataLoader", [] { data::DataLoader(data::TensorDataset(zeros({2})), {.batch_size = 0}); },
     "DataLoader: batch_size is 0; it must be at least 1"},
};

std::string message_of(const std::function<void()>& function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool tells_what_to_do(const std::string& message) { return message.find("; ") != std::string::npos; }

}  // namespace

TEST_CASE("messages: the common mistakes are named, with what was got and what to do") {
  for (const Mistake& mistake : mistakes) {
    const std::string message = message_of(mistake.make);
    CHECK(message == mistake.message);
    CHECK_MESSAGE(message.rfind(std::string(mistake.op) + ": ", 0) == 0, message);
    CHECK_MESSAGE(tells_what_to_do(message), message);
  }
  CHECK(message_of([] { Tensor().shape(); }) == "an undefined tensor was used; assign it first");
}

TEST_CASE("messages: those in docs/errors.md are what the library says") {
  std::ifstream page(std::string(MINIPARALLEL_TEST_DATA) + "/../../docs/errors.md");
  int rows = 0;
  for (std::string line; std::getline(page, line);) {
    if (line.rfind("| `", 0) != 0) continue;
    const std::size_t begin = line.find("` | `") + 5;
    const std::string message = line.substr(begin, line.rfind('`') - begin);
    bool known = false;
    for (const Mistake& mistake : mistakes) known = known || message == mistake.message;
    CHECK_MESSAGE(known, message);
    ++rows;
  }
  CHECK(rows == 10);
}
