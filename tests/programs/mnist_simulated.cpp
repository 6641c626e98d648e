// Runs examples/mnist on simulated GPUs, on a tiny data set.

#include "tests/programs/run_mnist.h"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

namespace miniparallel {
namespace {

using testing::Arguments;
using testing::Json;
using testing::run_mnist;
using testing::TinyData;

const Arguments kFourGpus = {"MINIPARALLEL_SIMULATED_GPUS=4"};

Json train(const TinyData& data, int gpus, const Arguments& more) {
  const char* const program = gpus == 0 ? MINIPARALLEL_MNIST : MINIPARALLEL_MNIST_SIMULATED;
  const Arguments arguments{"--batch-size", "8", "--gpus", std::to_string(gpus)};
  return testing::train_mnist(program, data, testing::joined(arguments, more), kFourGpus);
}

Json devices(int gpus) {
  Json names = Json::array();
  for (int i = 0; i < gpus; ++i) names.push_back("cuda:" + std::to_string(i));
  return names;
}

void check_same_curve(const Json& gpu, const Json& cpu) {
  CHECK(cpu["devices"] == Json{"cpu"});
  REQUIRE(gpu["epochs"].size() == cpu["epochs"].size());
  for (std::size_t epoch = 0; epoch < gpu["epochs"].size(); ++epoch)
    for (const char* part : {"train", "test"}) {
      const double expected = cpu["epochs"][epoch][part]["loss"], got = gpu["epochs"][epoch][part]["loss"];
      CHECK(std::abs(got - expected) <= 1e-5 * std::abs(expected));
    }
  CHECK(cpu["epochs"].back()["train"]["loss"] < cpu["epochs"].front()["train"]["loss"]);
}

TEST_CASE("mnist: any number of GPUs follows the CPU's losses, dropout included") {
  const TinyData data;
  const auto compare = [&](const char* model, const std::vector<int>& counts) {
    const Arguments more{"--model", model, "--epochs", "2"};
    const Json cpu = train(data, 0, more);
    for (const int gpus : counts) {
      const Json gpu = train(data, gpus, more);
      CHECK(gpu["devices"] == devices(gpus));
      check_same_curve(gpu, cpu);
    }
  };
  compare("cnn", {4});
  compare("mlp", {1, 3});
}

TEST_CASE("mnist: without --gpus all GPUs train; where there is none the CPU does, and the log says why") {
  const TinyData data;
  const Arguments arguments{"--data", data.path(), "--model", "mlp", "--epochs", "0"};
  const auto output = [&](const char* program, const Arguments& environment) {
    const ChildResult result = run_mnist(program, arguments, true, environment);
    CHECK(result.status == 0);
    return result.output;
  };
  CHECK(output(MINIPARALLEL_MNIST_SIMULATED, kFourGpus)
            .find("parameters on cuda:0, cuda:1, cuda:2, cuda:3, adam") != std::string::npos);
  const std::string hidden = output(MINIPARALLEL_MNIST_SIMULATED, {"CUDA_VISIBLE_DEVICES="});
  CHECK(hidden.find("on the CPU: no GPU is visible; CUDA_VISIBLE_DEVICES may hide it") != std::string::npos);
  CHECK(hidden.find("parameters on cpu") != std::string::npos);
  CHECK(output(MINIPARALLEL_MNIST, {}).find("on the CPU: this build of miniparallel has no CUDA backend") !=
        std::string::npos);
}

TEST_CASE("mnist: more GPUs than there are is an error before anything else is done") {
  const auto run = [](const char* program, const char* gpus) {
    return run_mnist(program, {"--gpus", gpus, "--data", "/nowhere"}, true, kFourGpus);
  };
  const ChildResult five = run(MINIPARALLEL_MNIST_SIMULATED, "5");
  CHECK(five.status == 1);
  CHECK(five.output == "mnist: --gpus 5: this machine has 4; ask for fewer\n");
  CHECK(run(MINIPARALLEL_MNIST, "1").output ==
        "mnist: --gpus 1: this machine has 0 (this build of miniparallel has no CUDA backend); ask for "
        "fewer\n");
  CHECK(run(MINIPARALLEL_MNIST, "-1").status != 0);
}

TEST_CASE("mnist: a run that was begun on four GPUs is resumed on three") {
  const TinyData data;
  const std::string file = (data.path() / "run.safetensors").string();
  const Arguments resumed{"--model", "mlp", "--epochs", "2", "--resume", file};
  const Json whole = train(data, 4, resumed);
  const Json loaded = train(data, 3, resumed);  // all epochs are done: it is tested once more
  CHECK(loaded["epochs"] == whole["epochs"]);
  const double expected = whole["test"]["loss"], got = loaded["test"]["loss"];
  CHECK(std::abs(got - expected) <= 1e-5 * std::abs(expected));
}

TEST_CASE("mnist: after a GPU was lost the others go on from the checkpoint, to the same bits") {
  const TinyData data;
  const auto file = [&](const char* name) { return (data.path() / name).string(); };
  const auto arguments = [&](const char* gpus, const char* weights, const char* checkpoint) {
    return Arguments{"--data",   data.path(),   "--model",      "mlp",
                     "--epochs", "3",           "--batch-size", "8",
                     "--gpus",   gpus,          "--replicas",   "4",
                     "--save",   file(weights), "--resume",     file(checkpoint)};
  };
  const auto run = [&](const Arguments& of, const Arguments& environment) {
    return run_mnist(MINIPARALLEL_MNIST_SIMULATED, of, true, testing::joined(kFourGpus, environment));
  };
  CHECK(run(arguments("4", "whole", "whole.run"), {}).status == 0);
  const ChildResult lost = run(arguments("4", "rest", "rest.run"), {"MINIPARALLEL_SIMULATED_LOSE=2:100"});
  CHECK(lost.status == 1);
  CHECK_MESSAGE(lost.output.find("cuda:2") != std::string::npos, lost.output);
  REQUIRE(std::filesystem::exists(file("rest.run")));
  CHECK(testing::read_text(file("rest")) != testing::read_text(file("whole")));
  CHECK(run(arguments("3", "rest", "rest.run"), {}).status == 0);
  CHECK(testing::read_text(file("rest")) == testing::read_text(file("whole")));
}

}  // namespace
}  // namespace miniparallel
