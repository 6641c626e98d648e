// Runs examples/mnist on a simulated GPU, on a tiny data set.

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "examples/mnist/child_process.h"
#include "tests/support/idx_files.h"

namespace miniparallel {
namespace {

using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

/// A folder with 40 training and 20 test images.
struct TinyData : testing::TemporaryFolder {
  TinyData() {
    testing::write_mnist_split(path(), "train", 40, true);
    testing::write_mnist_split(path(), "t10k", 20, false);
  }
};

/// Runs a program with `setting`, a variable of the environment; its text comes with its output where `text`
/// is set.
ChildResult run(const char* program, const Arguments& arguments, bool text = false,
                const char* setting = "MINIPARALLEL_SIMULATED_GPUS=1") {
  Arguments command = {
      "/usr/bin/env", setting, "/bin/sh", "-c", text ? "exec \"$0\" \"$@\" 2>&1" : "exec \"$0\" \"$@\"",
      program};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_child(command);
}

Json train(const TinyData& data, const char* program, const std::string& device, const Arguments& more) {
  Arguments arguments = {"--json", "--data", data.path(), "--batch-size", "8", "--device", device};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const ChildResult result = run(program, arguments);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
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
  CHECK(run(MINIPARALLEL_MNIST_SIMULATED, arguments, true).output.find("parameters on cuda:0") !=
        std::string::npos);
  const ChildResult hidden = run(MINIPARALLEL_MNIST_SIMULATED, arguments, true, "CUDA_VISIBLE_DEVICES=");
  CHECK(hidden.status == 0);
  CHECK(hidden.output.find("training on the CPU: no GPU is visible; CUDA_VISIBLE_DEVICES may hide it") !=
        std::string::npos);
  CHECK(hidden.output.find("parameters on cpu") != std::string::npos);
  const ChildResult none = run(MINIPARALLEL_MNIST, arguments, true);
  CHECK(none.output.find("training on the CPU: this build of miniparallel has no CUDA backend") !=
        std::string::npos);
}

}  // namespace
}  // namespace miniparallel
