// Learns to tell clothes apart, and saves what it has learned for the program predict.
//
//   predict_train clothes.safetensors                                   Debian's Fashion-MNIST, two epochs
//   predict_train clothes.safetensors /usr/share/datasets/fashion-mnist 4000 1

#include "net.h"

#include <algorithm>
#include <cstdlib>
#include <iostream>

using namespace miniparallel;

// Their pixels from 0 to 1: the model does the rest.
data::FashionMnist clothes(const std::string& folder, data::Split split) {
  return {folder, split, {{0}, {1}}};
}

// `count` of the examples, or all where it is 0.
data::Subset<data::FashionMnist> some(const data::FashionMnist& all, std::int64_t count) {
  std::vector<std::int64_t> chosen(
      static_cast<std::size_t>(count > 0 ? std::min(count, all.size()) : all.size()));
  for (std::size_t i = 0; i < chosen.size(); ++i) chosen[i] = static_cast<std::int64_t>(i);
  return {all, chosen};
}

double accuracy(Net& net, const data::Subset<data::FashionMnist>& examples) {
  const NoGradGuard no_gradients;
  metrics::Accuracy right;
  data::DataLoader batches(examples, {.batch_size = 500});
  for (auto& [images, labels] : batches) right.update(net(images), labels);
  return right.compute();
}

int main(int argc, char** argv) try {
  if (argc < 2 || argc > 5)
    return std::cerr << "usage: predict_train WEIGHTS [FOLDER [IMAGES [EPOCHS]]]\n", 2;
  const std::string folder = argc > 2 ? argv[2] : data::fashion_mnist_dir();
  const std::int64_t images = argc > 3 ? std::atoll(argv[3]) : 0, epochs = argc > 4 ? std::atoll(argv[4]) : 2;

  manual_seed(1);
  Net net;
  optim::AdamW optimizer(parameters(net), {.lr = 2e-3});
  data::DataLoader batches(some(clothes(folder, data::Split::train), images),
                           {.batch_size = 64, .shuffle = true});
  const auto held_back = some(clothes(folder, data::Split::test), images);
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    for (auto& [x, labels] : batches) {
      optimizer.zero_grad();
      cross_entropy(net(x), labels).backward();
      optimizer.step();
    }
    std::cout << "epoch " << epoch << ": " << 100 * accuracy(net, held_back) << " % of unseen images right\n";
  }
  save(net, argv[1]);
} catch (const std::exception& error) {
  std::cerr << "predict_train: " << error.what() << '\n';
  return 1;
}
