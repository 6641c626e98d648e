#include "compare.h"
#include "simulated.h"

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);

simulator::Machine machine_of(int compute_capability) {
  simulator::Machine machine = simulator::machine_with(1);
  machine.gpus[0].compute_capability = compute_capability;
  return machine;
}

/// x and the gradient of y are no numbers of TF32; rounded they are 1.
Tensors convolved(Device device) {
  const double number = 1 + 1.0 / 4096;
  const Tensor x = full({1, 6, 2, 2}, number).to(device).requires_grad_();
  const Tensor weight = ones({5, 6, 1, 1}).to(device).requires_grad_();
  const Tensor y = conv2d(x, weight);
  y.backward(full(y.shape(), number).to(device));
  return {y.detach().cpu(), x.grad().cpu(), weight.grad().cpu()};
}

TEST_CASE(
    "float32 convolutions are exact float32, and TF32 only where it is allowed and there is code for it") {
  for (const int compute_capability : {75, 80, 90}) {
    CAPTURE(compute_capability);
    const Simulated machine(machine_of(compute_capability));
    const Tensors exact = convolved(Device::cpu());
    CHECK(bit_equal(convolved(gpu), exact));
    set_allow_tf32(true);
    const Tensors rounded = convolved(gpu);
    CHECK(bit_equal(convolved(Device::cpu()), exact));
    set_allow_tf32(false);
    if (compute_capability < 80) {
      CHECK(bit_equal(rounded, exact));
    } else {
      CHECK(rounded[0].to_vector<float>() == std::vector<float>(20, 6));
      CHECK(rounded[1].to_vector<float>() == std::vector<float>(24, 5));
      CHECK(rounded[2].to_vector<float>() == std::vector<float>(30, 4));
    }
    CHECK(bit_equal(convolved(gpu), exact));
  }
}

/// v and the gradient of y are no numbers of TF32; rounded they are 1.
Tensors attended(Device device) {
  const double number = 1 + 1.0 / 4096;
  const Tensor v = full({2, 8, 8}, number).to(device).requires_grad_(), equal = zeros({2, 8, 8}).to(device);
  const Tensor y = scaled_dot_product_attention(equal, equal, v);
  y.backward(full(y.shape(), number).to(device));
  return {y.detach().cpu(), v.grad().cpu()};
}

TEST_CASE("float32 attention is exact float32, and TF32 only where it is allowed and there is code for it") {
  for (const int compute_capability : {75, 80}) {
    CAPTURE(compute_capability);
    const Simulated machine(machine_of(compute_capability));
    const Tensors exact{full({2, 8, 8}, 1 + 1.0 / 4096), full({2, 8, 8}, 1 + 1.0 / 4096)};
    CHECK(bit_equal(attended(gpu), exact));
    set_allow_tf32(true);
    const Tensors rounded = attended(gpu);
    set_allow_tf32(false);
    CHECK(bit_equal(rounded, compute_capability < 80 ? exact : Tensors{ones({2, 8, 8}), ones({2, 8, 8})}));
  }
}

std::int64_t kernels_of(const std::function<void()>& f) {
  const std::int64_t before = simulator::counters().kernels;
  f();
  return simulator::counters().kernels - before;
}

TEST_CASE("convolutions in 16 bits lay out input and weight where tensor cores take the type, else convert") {
  for (const int compute_capability : {75, 80})
    for (const DType dtype : {float16, bfloat16}) {
      INFO(compute_capability, ", ", static_cast<int>(dtype));
      const Simulated machine(machine_of(compute_capability));
      const Tensor x = ones({2, 8, 5, 5}, {.dtype = dtype, .device = gpu});
      const Tensor weight = ones({8, 8, 3, 3}, {.dtype = dtype, .device = gpu});
      const bool native = compute_capability >= 80 || dtype == float16;
      Tensor y, transposed;
      CHECK(kernels_of([&] { y = conv2d(x, weight); }) == (native ? 3 : 4));
      CHECK(kernels_of([&] { transposed = conv_transpose2d(x, weight); }) == (native ? 3 : 4));
      if (native) {
        CHECK(kernels_of([&] { conv2d(y, weight); }) == 2);
        CHECK(kernels_of([&] { conv2d(y, weight.slice(2, 0, 1).slice(3, 0, 1).clone()); }) == 2);
        CHECK(kernels_of([&] { conv2d(x, weight.slice(0, 0, 6).clone()); }) == 2);  // no packs: as it is
      }
      CHECK(y.to_vector<float>() == std::vector<float>(2 * 8 * 9, 72));
      CHECK(transposed.dtype() == dtype);
      CHECK(transposed.sum().item<float>() == 2 * 8 * 25 * 72);
    }
}

TEST_CASE("attention in 16 bits is one kernel, whether or not tensor cores take the type") {
  for (const int compute_capability : {75, 80})
    for (const DType dtype : {float16, bfloat16}) {
      INFO(compute_capability, ", ", dtype);
      const Simulated machine(machine_of(compute_capability));
      const Tensor x = ones({2, 8, 16}, {.dtype = dtype, .device = gpu});
      Tensor y;
      CHECK(kernels_of([&] { y = scaled_dot_product_attention(x, x, x); }) == 1);
      CHECK(y.to_vector<float>() == std::vector<float>(2 * 8 * 16, 1));
    }
}

}  // namespace
}  // namespace miniparallel::testing
