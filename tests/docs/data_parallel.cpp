#include <miniparallel/miniparallel.h>

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>

// The C++ of docs/data-parallel.md, on whatever devices there are.

using namespace miniparallel;

namespace {

struct Net {
  nn::Linear fc{4, 3};
  Tensor operator()(const Tensor& x) { return fc(x); }
};

struct Outputs {
  Tensor logits, loss;
};

struct NetWithLoss {
  nn::Linear fc{4, 3};
  Outputs operator()(const Tensor& x, const Tensor& y) {
    const Tensor logits = fc(x);
    return {logits, cross_entropy(logits, y)};
  }
};

struct NetWithMask {
  nn::Linear fc{4, 3};
  Tensor operator()(const Tensor& x, double scale, const Tensor& mask) { return fc(x) * scale * mask; }
};

const std::vector<Device> devices(3, Device::cpu());

}  // namespace

TEST_CASE("docs: a model on all GPUs") {
  const Tensor images = randn({6, 4}), labels = randint(0, 3, {6});
#include "snippets/data-parallel/whole.inc"
  CHECK(loss.item() > 0);
}

TEST_CASE("docs: PyTorch's recipe, line by line") {
  NetWithLoss net;
  data::DataLoader batches(data::TensorDataset(randn({12, 4}), randint(0, 3, {12})), {.batch_size = 6});
  const Tensor before = net.fc.weight.clone();
#include "snippets/data-parallel/recipe.inc"
  CHECK(device == Device::cpu());
  CHECK_FALSE(equal(net.fc.weight, before));

  // `outputs.loss.mean()` on even chunks is the loss of the whole batch.
  const Tensor x = randn({6, 4}), y = randint(0, 3, {6});
  const Outputs outputs = model(x, y);
  CHECK(outputs.loss.shape() == Shape{3});
  CHECK(allclose(mean(outputs.loss), cross_entropy(net.fc(x), y), 1e-5, 1e-6));
  // On uneven ones (2, 2, 1) it is the mean of their means.
  const Outputs uneven = model(x.narrow(0, 0, 5), y.narrow(0, 0, 5));
  const auto part = [&](std::int64_t start, std::int64_t rows) {
    return cross_entropy(net.fc(x.narrow(0, start, rows)), y.narrow(0, start, rows));
  };
  CHECK(allclose(mean(uneven.loss), (part(0, 2) + part(2, 2) + part(4, 1)) / 3, 1e-5, 1e-6));
}

TEST_CASE("docs: arguments and results of a model on several GPUs") {
  DataParallel model{NetWithMask{}, {.devices = devices}};
  const Tensor x = randn({6, 4}), mask = ones({3});
#include "snippets/data-parallel/arguments.inc"
  CHECK(y.shape() == Shape{6, 3});
  CHECK(parts.size() == 3);
}

TEST_CASE("docs: gradients of several batches on several GPUs") {
  Net net, alone = clone(net);
  DataParallel model{net, {.devices = devices}};
  optim::SGD optimizer(model.parameters(), {.lr = 0.1}), serial(parameters(alone), {.lr = 0.1});
  const int parts = 3;
  std::vector<Tensor> x, y;
  for (int part = 0; part < parts; ++part) {
    x.push_back(randn({5, 4}));
    y.push_back(randint(0, 3, {5}));
    (cross_entropy(alone(x[part]), y[part]) / parts).backward();
  }
  serial.step();
#include "snippets/data-parallel/no_sync.inc"
  CHECK(allclose(net.fc.weight, alone.fc.weight, 1e-5, 1e-6));
}

TEST_CASE("docs: a fixed number of replicas") {
  Net net;
#include "snippets/data-parallel/bits.inc"
  CHECK(model.devices().size() == 8);
}

TEST_CASE("docs: each test that the page on several GPUs names exists") {
  const auto text_of = [](const std::string& path) {
    std::ifstream file(MINIPARALLEL_TEST_DATA "/../../" + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  std::string tests;
  for (const char* const file :
       {"chunks", "data_parallel", "errors", "loss", "reducer", "replicate", "same_bits", "statistics"})
    tests += text_of("tests/parallel/" + std::string(file) + ".cpp");
  std::istringstream page(text_of("docs/data-parallel.md"));
  int count = 0;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| ") || !line.ends_with("` |")) continue;  // a row whose last cell is a test
    const std::size_t end = line.size() - 3, begin = line.rfind('`', end - 1) + 1;
    const std::string name = line.substr(begin, end - begin);
    if (name.find(": ") == std::string::npos) continue;
    ++count;
    CHECK_MESSAGE(tests.find("TEST_CASE(\"" + name + "\")") != std::string::npos, name);
  }
  CHECK(count == 11);
}
