// Runs examples/mnist on a simulated GPU, on a tiny data set.

#include "tests/programs/run_mnist.h"

#include <doctest/doctest.h>

#include <cmath>

namespace miniparallel {
namespace {

using testing::Arguments;
using testing::Json;
using testing::run_mnist;
using testing::TinyData;

const Arguments kOneGpu = {"MINIPARALLEL_SIMULATED_GPUS=1"};

Json train(const TinyData& data, const char* program, const std::string& device, const Arguments& more) {
  return testing::train_mnist(program, data, testing::joined({"--batch-size", "8", "--device", device}, more),
                              kOneGpu);
}

void check_same_curve(const Json& gpu, const Json& cpu) {
  CHECK(gpu["device"] == "cuda:0");
  CHECK(cpu["device"] == "cpu");
  REQUIRE(gpu["epochs"].size() == cpu["epochs"].size());
  for (std::size_t epoch = 0; epoch < gpu["epochs"].size(); ++epoch)
    for (const char* part : {"train", "test"}) {
      const double expected = cpu["epochs"][epoch][part]["loss"], got = gpu["epochs"][epoch][part]["loss"];
      CHECK(std::abs(got - expected) <= 1e-5 * std::abs(expected));
    }
  CHECK(cpu["epochs"].back()["train"]["loss"] < cpu["epochs"].front()["train"]["loss"]);
}

TEST_CASE("mnist: a GPU follows the CPU's losses, dropout included") {
  const TinyData data;
  for (const char* model : {"cnn", "mlp"}) {
    const Arguments more{"--model", model, "--epochs", "2"};
    check_same_curve(train(data, MINIPARALLEL_MNIST_SIMULATED, "cuda", more),
                     train(data, MINIPARALLEL_MNIST, "cpu", more));
  }
}

TEST_CASE("mnist: --device auto takes a GPU where there is one, else says why there is none") {
  const TinyData data;
  const Arguments arguments{"--data", data.path(), "--model", "mlp", "--epochs", "0"};
  CHECK(
      run_mnist(MINIPARALLEL_MNIST_SIMULATED, arguments, true, kOneGpu).output.find("parameters on cuda:0") !=
      std::string::npos);
  const ChildResult hidden =
      run_mnist(MINIPARALLEL_MNIST_SIMULATED, arguments, true, {"CUDA_VISIBLE_DEVICES="});
  CHECK(hidden.status == 0);
  CHECK(hidden.output.find("training on the CPU: no GPU is visible; CUDA_VISIBLE_DEVICES may hide it") !=
        std::string::npos);
  CHECK(hidden.output.find("parameters on cpu") != std::string::npos);
  const ChildResult none = run_mnist(MINIPARALLEL_MNIST, arguments, true);
  CHECK(none.output.find("training on the CPU: this build of miniparallel has no CUDA backend") !=
        std::string::npos);
}

}  // namespace
}  // namespace miniparallel
