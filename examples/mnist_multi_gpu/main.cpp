// Digits, with nothing but the library: mnist_single trains on one device,
// mnist_multi_gpu on all GPUs; arguments are the folder of MNIST and the number of
// epochs. Compare the two: `diff examples/mnist_{single,multi_gpu}/main.cpp`.
#include <miniparallel/miniparallel.h>

#include <cstdio>
#include <cstdlib>
#include <string>

using namespace miniparallel;

struct Net {
  nn::Conv2d conv1{1, 32, 3}, conv2{32, 64, 3};
  nn::Dropout drop1{0.25}, drop2{0.5};
  nn::Linear fc1{9216, 128}, fc2{128, 10};

  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(conv2(relu(conv1(x)))), 2);
    return fc2(drop2(relu(fc1(drop1(x).flatten(1)))));
  }
};

int main(int argc, char** argv) try {
  const std::string folder = argc > 1 ? argv[1] : data::default_mnist_dir();
  const long epochs = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 1;
  if (argc > 3) throw Error(std::string("usage: ") + argv[0] + " [FOLDER [EPOCHS]]");
  if (epochs < 1 || (argc > 2 && std::to_string(epochs) != argv[2]))
    throw Error(std::string("epochs: got '") + argv[2] + "'; give a number, at least 1");
  CudaMultiGPU model{Net{}};
  const Device device = model.device();
  optim::Adam optimizer(parameters(model), {.lr = 1e-3});
  data::DataLoader batches(data::Mnist(folder, data::Split::train), {.batch_size = 256, .shuffle = true});
  for (long epoch = 1; epoch <= epochs; ++epoch) {
    Tensor last;
    for (auto& [images, labels] : batches) {
      last = cross_entropy(model(images.to(device)), labels.to(device));
      last.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    std::printf("epoch %ld: loss %.4f\n", epoch, last.item());
  }
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
