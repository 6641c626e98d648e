// A CUDA kernel of one's own as an op of one's own: autograd
// differentiates it, layers use it, every GPU runs it.
//
//   custom_kernel              compares the op with the library's on each GPU, then trains with it
//
// squared_relu.cu holds the kernels.

#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "squared_relu.h"

#include <cstdlib>
#include <exception>
#include <iostream>

using namespace miniparallel;

// The op. `forward` computes and keeps what `backward` needs; `backward` turns the gradient of the output
// into that of the input. Kernels go to `current_stream`, so they run after the work that fills their inputs
// and before the work that reads their outputs: the host does not wait.
struct SquaredRelu : autograd::Function<SquaredRelu> {
  static constexpr const char* name = "squared_relu";

  static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs) {
    const Tensor x = inputs[0].contiguous();
    const Tensor y = empty_like(x);
    squared_relu(device_data<float>(x), device_data<float>(y), x.numel(), x.device().index,
                 current_stream(x.device()));
    context.save_for_backward({x});
    return {y};
  }

  static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients) {
    const Tensor g = gradients[0].contiguous(), x = context.saved()[0];
    const Tensor dx = empty_like(x);
    squared_relu_backward(device_data<float>(g), device_data<float>(x), device_data<float>(dx), x.numel(),
                          x.device().index, current_stream(x.device()));
    return {dx};
  }
};

Tensor squared_relu(const Tensor& x) { return SquaredRelu::apply({x})[0]; }

// Values and gradients against the same function made of the library's ops.
bool agrees_with_the_library(Device device) {
  const Tensor x = randn({1000}, {.device = device}).requires_grad_();
  const Tensor same = x.detach().clone().requires_grad_();
  const Tensor mine = squared_relu(x), theirs = relu(same) * relu(same);
  mine.sum().backward();
  theirs.sum().backward();
  return allclose(mine, theirs) && allclose(x.grad(), same.grad());
}

struct Net {
  nn::Linear hidden{1, 32}, output{32, 1};
  Tensor operator()(const Tensor& x) { return output(squared_relu(hidden(x))); }
};

int main() try {
  if (cuda_device_count() == 0) {
    std::cout << "there is no GPU to run the kernel on: " << cuda_unavailable_reason() << '\n';
    return EXIT_SUCCESS;
  }
  manual_seed(1);
  for (int i = 0; i < cuda_device_count(); ++i) {
    const Device device = Device::cuda(i);
    const bool agrees = agrees_with_the_library(device);
    std::cout << device << (agrees ? ": as the library's ops\n" : ": NOT as the library's ops\n");
    if (!agrees) return EXIT_FAILURE;
  }

  const Device device = Device::cuda();
  Net net;
  to(net, device);
  optim::Adam optimizer(parameters(net), {.lr = 0.01});
  const Tensor x = rand({256, 1}, {.device = device}) * 4 - 2, y = x * x * x - x;
  double first = 0, last = 0;
  for (int step = 0; step <= 200; ++step) {
    const Tensor loss = mse_loss(net(x), y);
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    if (step == 0) first = loss.item();
    if (step == 200) last = loss.item();
  }
  std::cout << "fitting x^3 - x: the loss fell from " << first << " to " << last << '\n';
  return last < first / 10 ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
  std::cerr << "custom_kernel: " << error.what() << '\n';
  return EXIT_FAILURE;
}
