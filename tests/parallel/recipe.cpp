#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

// docs/from-pytorch.md: its program, and traps of PyTorch's DataParallel that no other test is about.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::on_machines;

struct Outputs {
  Tensor logits, loss;
};

struct Classifier {
  nn::Linear fc{4, 3};
  Outputs operator()(const Tensor& x, const Tensor& y) {
    const Tensor logits = fc(x);
    return {logits, cross_entropy(logits, y)};
  }
};

TEST_CASE("recipe: PyTorch's, line by line, is the training of one device") {
  const std::string path = (std::filesystem::temp_directory_path() / "recipe.safetensors").string();
  on_machines([&](const std::vector<Device>& devices) {
    manual_seed(4);
    Classifier net, alone = clone(net);
    const data::TensorDataset dataset(randn({384, 4}), randint(0, 3, {384}));
#include "snippets/from-pytorch/recipe.inc"
    CHECK(device == devices[0]);

    optim::Adam alone_optimizer(parameters(alone), {.lr = 1e-4});
    data::DataLoader alone_batches(dataset,
                                   {.batch_size = 192, .shuffle = true, .seed = batches.position().seed});
    for (auto& [x, y] : alone_batches) {
      alone(x, y).loss.backward();
      alone_optimizer.step();
      alone_optimizer.zero_grad();
    }
    Classifier saved;
    load(saved, path);
    CHECK(allclose(saved.fc.weight, alone.fc.weight, 1e-5, 1e-7));
    CHECK(allclose(model.model().fc.bias.cpu(), alone.fc.bias, 1e-5, 1e-7));
  });
  std::filesystem::remove(path);
}

TEST_CASE("recipe: the loader has as many workers as cores divide by GPUs") {
#include "snippets/from-pytorch/workers.inc"
  CHECK(on_16_cores == 5);
  CHECK(on_32_cores == 10);
  CHECK(on_64_cores == 21);
}

TEST_CASE("recipe: a scalar of each GPU becomes a vector, without a warning") {
  std::vector<std::string> lines;
  const LogHandler before =
      set_log_handler([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  on_machines([&](const std::vector<Device>& devices) {
    Classifier net, alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    lines.clear();
    const Tensor x = randn({48, 4}), y = randint(0, 3, {48});
    const Outputs outputs = model(x, y);
    if (devices.size() > 1) CHECK(outputs.loss.shape() == Shape{static_cast<std::int64_t>(devices.size())});
    CHECK(allclose(outputs.loss.mean().cpu(), alone(x, y).loss, 1e-5, 1e-6));
    CHECK(lines.empty());

    // Of chunks of different sizes it is the mean of their means.
    const std::vector<std::int64_t> sizes = chunk_sizes(47, static_cast<int>(devices.size()));
    Tensor means = zeros({});
    std::int64_t start = 0;
    for (const std::int64_t rows : sizes) {
      means = means + alone(x.narrow(0, start, rows), y.narrow(0, start, rows)).loss;
      start += rows;
    }
    CHECK(allclose(model(x.narrow(0, 0, 47), y.narrow(0, 0, 47)).loss.mean().cpu(),
                   means / static_cast<double>(sizes.size()), 1e-5, 1e-6));
  });
  set_log_handler(before);
}

TEST_CASE("recipe: the model may be anywhere when it is wrapped") {
  on_machines([](std::vector<Device> devices) {
    std::ranges::reverse(devices);
    for (const Device where : {Device::cpu(), devices.front(), devices.back()}) {
      Classifier net, alone = clone(net);
      to(net, where);
      DataParallel model{net, {.devices = devices}};
      CHECK(net.fc.weight.device() == devices[0]);  // the user's struct follows
      const Tensor x = randn({24, 4}), y = randint(0, 3, {24});
      CHECK(allclose(model(x, y).logits.cpu(), alone(x, y).logits, 1e-5, 1e-6));
    }
  });
}

struct Notes {
  nn::Linear fc{4, 3};
  int calls = 0;
  std::int64_t rows = 0;
  Tensor operator()(const Tensor& x) {
    ++calls;
    rows = x.size(0);
    return fc(x);
  }
};

TEST_CASE("recipe: what a forward sets on the model stays") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel model{Notes{}, {.devices = devices}};
    for (int call = 1; call <= 3; ++call) {
      model(randn({8 + call, 4}));
      CHECK(model->calls == call);
      CHECK(model->rows == chunk_sizes(8 + call, static_cast<int>(devices.size()))[0]);
    }
  });
}

struct Mode {
  nn::Linear fc{4, 3};
  std::tuple<Tensor, bool> operator()(const Tensor& x) { return {fc(x), grad_enabled()}; }
};

TEST_CASE("recipe: replicas run in the grad mode of the caller") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel model{Mode{}, {.devices = devices}};
    const Tensor x = randn({16, 4});
    const auto check_all = [&](bool recorded) {
      for (const auto& [y, enabled] : model.shards(x)) {
        CHECK(enabled == recorded);
        CHECK(y.requires_grad() == recorded);
      }
      CHECK(std::get<0>(model(x)).requires_grad() == recorded);
    };
    check_all(true);
    const NoGradGuard no_grad;
    check_all(false);
  });
}

struct Wide {
  nn::Linear in{16, 16}, out{16, 16};
  Tensor operator()(const Tensor& x) { return out(relu(in(x))); }
};

TEST_CASE("recipe: with the loss on each GPU none holds much more than another") {
  on_machine(4, [](const std::vector<Device>& devices) {
    if (devices[0] == devices[1]) return;
    DataParallel model{Wide{}, {.devices = devices}};
    const Tensor x = randn({4096, 16}), y = randn({4096, 16});
    for (const Device device : devices) reset_peak_memory(device);
    model.loss(mse_loss, x, y).backward();
    std::vector<std::int64_t> peaks;
    for (const Device device : devices) peaks.push_back(memory_stats(device).peak);
    const auto least = std::ranges::min(peaks), most = std::ranges::max(peaks);
    CAPTURE(least);
    CAPTURE(most);
    CHECK(static_cast<double>(most) < 1.2 * static_cast<double>(least));
  });
}

}  // namespace
}  // namespace miniparallel
