// Two models that train each other: one paints clothes, the other tells paintings from photographs.
//
//   gan clothes.png                                       Debian's Fashion-MNIST, on every GPU there is
//   gan clothes.png /usr/share/datasets/fashion-mnist 500
//
// Goodfellow et al., "Generative adversarial nets" (2014). The number is that of training steps; some
// thousands show what it can do. The picture is written again ten times on the way.

#include <miniparallel/miniparallel.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>

using namespace miniparallel;

constexpr std::int64_t kNoise = 32;

// Noise (n, 32) -> images (n, 1, 28, 28) from -1 to 1.
struct Generator {
  nn::Linear first{kNoise, 64 * 7 * 7};
  nn::BatchNorm2d norm1{64}, norm2{32};
  nn::ConvTranspose2d up1{64, 32, 4, {.stride = 2, .padding = 1}}, up2{32, 1, 4, {.stride = 2, .padding = 1}};

  Tensor operator()(const Tensor& noise) {
    const Tensor x = relu(norm1(first(noise).view({-1, 64, 7, 7})));
    return tanh(up2(relu(norm2(up1(x)))));
  }
};

// Images -> logits (n): above 0 it takes them for photographs.
struct Discriminator {
  nn::Conv2d down1{1, 32, 4, {.stride = 2, .padding = 1}}, down2{32, 64, 4, {.stride = 2, .padding = 1}};
  nn::Linear last{64 * 7 * 7, 1};

  Tensor operator()(const Tensor& images) {
    const Tensor x = leaky_relu(down2(leaky_relu(down1(images), 0.2)), 0.2);
    return last(x.flatten(1)).squeeze(1);
  }
};

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 4) return std::cerr << "usage: gan PICTURE.png [FOLDER [STEPS]]\n", 2;
  const std::string folder = argc > 2 ? argv[2] : data::fashion_mnist_dir();
  const std::int64_t steps = argc > 3 ? std::atoll(argv[3]) : 500;
  const std::int64_t report_every = std::max<std::int64_t>(steps / 10, 1);

  manual_seed(1);
  CudaMultiGPU generator{Generator{}};  // each on all GPUs, or the CPU
  CudaMultiGPU discriminator{Discriminator{}};
  const Device device = generator.device();
  const optim::AdamOptions options{.lr = 4e-4, .betas = {0.5, 0.999}};
  optim::Adam generator_steps(generator.parameters(), options),
      discriminator_steps(discriminator.parameters(), options);
  const Tensor same_noise = randn({64, kNoise}, {.device = device});  // whose images show the progress

  // Photographs from -1 to 1, as the generator paints.
  data::DataLoader batches(data::FashionMnist(folder, data::Split::train, {{0.5}, {0.5}}),
                           {.batch_size = 64, .shuffle = true, .drop_last = true});
  for (std::int64_t step = 0; step < steps;) {
    for (auto& [photographs, labels] : batches) {
      const Tensor yes = ones({photographs.size(0)}, {.device = device}), no = zeros_like(yes);
      const Tensor paintings = generator(randn({photographs.size(0), kNoise}, {.device = device}));

      // The discriminator's turn. Cut off by detach, its gradients do not reach the generator.
      const Tensor judged = binary_cross_entropy_with_logits(discriminator(photographs.to(device)), yes) +
                            binary_cross_entropy_with_logits(discriminator(paintings.detach()), no);
      judged.backward();
      discriminator_steps.step();
      discriminator_steps.zero_grad();

      // The generator's: that its paintings be taken for photographs. This leaves gradients in the
      // discriminator as well, which nobody wants.
      const Tensor deceived = binary_cross_entropy_with_logits(discriminator(paintings), yes);
      deceived.backward();
      generator_steps.step();
      generator_steps.zero_grad();
      discriminator_steps.zero_grad();

      if (++step % report_every == 0) {
        std::cout << "step " << step << ": discriminator " << judged.item() << ", generator "
                  << deceived.item() << std::endl;
        const NoGradGuard no_gradients;
        generator.eval();
        write_png(make_grid(generator(same_noise).cpu() / 2 + 0.5), argv[1]);
        generator.train();
      }
      if (step == steps) break;
    }
  }
} catch (const std::exception& error) {
  std::cerr << "gan: " << error.what() << '\n';
  return 1;
}
