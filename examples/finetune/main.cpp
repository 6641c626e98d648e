// Takes a model that somebody has trained for one task, and teaches it another with few examples.
//
//   finetune                                            Debian's Fashion-MNIST
//   finetune /usr/share/datasets/fashion-mnist 20000 20
//
// The first task is to tell five kinds of clothes apart, from many images (here 20000). Its weights are a
// safetensors file, as they could come from Python. The second is the other five kinds, of which there are
// few images (here 20). What the first has learned to see serves there too: body.* is loaded and frozen, a
// new head is trained.

#include <miniparallel/miniparallel.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

using namespace miniparallel;

struct Body {
  nn::Conv2d conv1{1, 16, 3}, conv2{16, 32, 3};
  nn::BatchNorm2d norm{32};

  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(conv1(x)), 2);
    return max_pool2d(relu(norm(conv2(x))), 2).flatten(1);
  }
};

struct Net {
  Body body;
  nn::Linear head{800, 5};

  Tensor operator()(const Tensor& x) { return head(body(x)); }
};

// Images of five classes, `first` to `first + 4`, whose labels become 0 to 4; `count` of them.
data::TensorDataset<2> five_classes(const std::string& folder, data::Split split, std::int64_t first,
                                    std::int64_t count) {
  const data::FashionMnist all(folder, split);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < all.size() && std::ssize(chosen) < count; ++i) {
    const auto label = all.labels()[i].item<std::int64_t>();
    if (label >= first && label < first + 5) chosen.push_back(i);
  }
  const auto [images, labels] = all.get_batch(chosen);
  return data::TensorDataset(images, labels - first);
}

// Trains the parameters that are not frozen.
void learn(Net& net, const data::TensorDataset<2>& examples, int epochs) {
  std::vector<Tensor> trained;
  for (const Tensor& parameter : parameters(net))
    if (parameter.requires_grad()) trained.push_back(parameter);
  optim::AdamW optimizer(trained, {.lr = 2e-3});
  data::DataLoader batches(examples, {.batch_size = 32, .shuffle = true});
  for (int epoch = 0; epoch < epochs; ++epoch) {
    for (auto& [images, labels] : batches) {
      optimizer.zero_grad();
      cross_entropy(net(images), labels).backward();
      optimizer.step();
    }
  }
}

double percent_right(Net& net, const data::TensorDataset<2>& examples) {
  const NoGradGuard no_gradients;
  eval(net);
  metrics::Accuracy right;
  right.update(net(examples.tensors()[0]), examples.tensors()[1]);
  return 100 * right.compute();
}

int main(int argc, char** argv) try {
  if (argc > 4) return std::cerr << "usage: finetune [FOLDER [IMAGES BEFORE [IMAGES NOW]]]\n", 2;
  const std::string folder = argc > 1 ? argv[1] : data::fashion_mnist_dir();
  const std::int64_t many = argc > 2 ? std::atoll(argv[2]) : 20000, few = argc > 3 ? std::atoll(argv[3]) : 20;
  const std::string weights = std::filesystem::temp_directory_path() / "finetune.safetensors";
  manual_seed(1);
  {
    Net teacher;
    learn(teacher, five_classes(folder, data::Split::train, 0, many), 2);
    save(teacher, weights);
  }
  const auto examples = five_classes(folder, data::Split::train, 5, few);
  const auto unseen = five_classes(folder, data::Split::test, 5, 1000);

  Net tuned;
  StateDict state = load(weights);
  state.erase("head.weight");  // it tells other classes apart
  state.erase("head.bias");
  const LoadReport report = load_state_dict(tuned, state, {.strict = false});
  std::cout << "not in the file, so new:";
  for (const std::string& name : report.missing) std::cout << ' ' << name;
  std::cout << '\n';
  for (Tensor parameter : parameters(tuned.body)) parameter.requires_grad_(false);
  eval(tuned.body);  // its batch normalisation too stays as it is
  learn(tuned, examples, 60);
  const double with = percent_right(tuned, unseen);

  Net alone;
  learn(alone, examples, 60);
  const double without = percent_right(alone, unseen);
  std::cout << few << " images: " << with << " % of unseen ones right, " << without
            << " % without the first task\n";
  save(tuned, weights);
} catch (const std::exception& error) {
  std::cerr << "finetune: " << error.what() << '\n';
  return 1;
}
