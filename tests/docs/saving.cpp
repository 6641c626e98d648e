#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <filesystem>

// The code of docs/saving.md.

using namespace miniparallel;

namespace {
struct Net {
  nn::Linear fc1{4, 8}, fc2{8, 1};
  Tensor operator()(const Tensor& x) { return fc2(relu(fc1(x))); }
};
}  // namespace

TEST_CASE("docs/saving: weights and single tensors") {
  const testing::TemporaryFolder folder;
  const std::string file = folder / "net.safetensors";
  Net net;
  {
#include "snippets/saving/weights.inc"
    CHECK(note == "MNIST");
  }
#include "snippets/saving/dict.inc"
  CHECK(tensors.at("scale").shape() == Shape{3});
  CHECK(left_out.missing == std::vector<std::string>{"fc2.bias"});
}

TEST_CASE("docs/saving: NumPy's files") {
  const testing::TemporaryFolder folder;
  const std::string array = folder / "array.npy", arrays = folder / "arrays.npz";
#include "snippets/saving/numpy.inc"
  CHECK(one.shape() == Shape{2, 3});
  CHECK(several.at("y").dtype() == int64);
}

TEST_CASE("docs/saving: a run that stops goes on as if it had not") {
  const testing::TemporaryFolder folder;
  const auto run = [&](const std::string& file) {
    manual_seed(1);
    Net net;
    optim::Adam optimizer(parameters(net));
    optim::StepLR scheduler(optimizer, {.step_size = 1});
    const Tensor x_all = randn({64, 4}), y_all = sum(x_all, {1}, true);
    data::DataLoader batches(data::TensorDataset(x_all, y_all),
                             {.batch_size = 8, .shuffle = true, .seed = 3});
#include "snippets/saving/checkpoint.inc"
    return net.fc2.weight.detach().clone();
  };
  const Tensor whole = run(folder / "run.safetensors");

  // The file is that of the last epoch's end: nothing is left to do, and the loaded model is the trained one.
  CHECK(equal(run(folder / "run.safetensors"), whole));
  Net alone;
  load_checkpoint(folder / "run.safetensors", {{"model", alone}}, {.strict = false});
  CHECK(equal(alone.fc2.weight.detach(), whole));
}
