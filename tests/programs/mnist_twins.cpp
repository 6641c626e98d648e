// Runs examples/mnist_single and examples/mnist_multi_gpu as their users do, on a tiny data set.

#include "examples/mnist/child_process.h"
#include "tests/support/idx_files.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

namespace miniparallel {
namespace {

using testing::TemporaryFolder;

constexpr const char* kBoth[] = {MINIPARALLEL_MNIST_SINGLE, MINIPARALLEL_MNIST_MULTI_GPU};

/// `environment`: VARIABLE=value. What it says on stderr comes with its output.
ChildResult run(const char* program, std::vector<std::string> arguments,
                std::vector<std::string> environment = {}) {
  environment.insert(environment.begin(), "/usr/bin/env");
  environment.insert(environment.end(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", program});
  arguments.insert(arguments.begin(), environment.begin(), environment.end());
  return run_child(arguments);
}

/// The losses of epochs 1, 2, ..., which is all that is said but for a line of the log.
std::vector<double> losses(const ChildResult& result) {
  REQUIRE_MESSAGE(result.status == 0, result.output);
  std::vector<double> all;
  for (std::size_t at = 0;;) {
    const std::string words = "epoch " + std::to_string(all.size() + 1) + ": loss ";
    at = result.output.find(words, at);
    if (at == std::string::npos) break;
    all.push_back(std::stod(result.output.substr(at += words.size())));
  }
  return all;
}

/// A folder with MNIST, of which the program reads the training images alone.
struct SmallMnist : TemporaryFolder {
  SmallMnist() { testing::write_mnist_split(path(), "train", 20, true); }
};

TEST_CASE("mnist twins: both train, without a GPU to the same losses") {
  const SmallMnist data;
  const std::vector<double> single = losses(run(kBoth[0], {data.path(), "3"}));
  REQUIRE(single.size() == 3);
  CHECK(single[2] < single[0]);
  const ChildResult multi = run(kBoth[1], {data.path(), "3"});
  CHECK(losses(multi) == single);
  CHECK(multi.output.find("DataParallel runs on the CPU: this build of miniparallel has no CUDA backend\n") !=
        std::string::npos);
  CHECK(losses(run(kBoth[0], {data.path()})).size() == 1);  // one epoch if left out
}

#ifdef MINIPARALLEL_MNIST_MULTI_GPU_SIMULATED
TEST_CASE("mnist twins: on several GPUs, all or those that are visible, the losses are one device's") {
  const SmallMnist data;
  const std::vector<double> single = losses(run(kBoth[0], {data.path(), "2"}));
  for (const std::vector<std::string>& environment :
       {std::vector<std::string>{"MINIPARALLEL_SIMULATED_GPUS=3"},
        std::vector<std::string>{"MINIPARALLEL_SIMULATED_GPUS=4", "CUDA_VISIBLE_DEVICES=3,1"}}) {
    const std::vector<double> several =
        losses(run(MINIPARALLEL_MNIST_MULTI_GPU_SIMULATED, {data.path(), "2"}, environment));
    REQUIRE(several.size() == single.size());
    for (std::size_t i = 0; i < single.size(); ++i) CHECK(std::abs(several[i] - single[i]) <= 2e-4);
  }
  const ChildResult hidden =
      run(MINIPARALLEL_MNIST_MULTI_GPU_SIMULATED, {data.path(), "1"}, {"CUDA_VISIBLE_DEVICES="});
  CHECK(hidden.output.find("DataParallel runs on the CPU: no GPU is visible; ") != std::string::npos);
  CHECK(losses(hidden).size() == 1);
}
#endif

TEST_CASE("mnist twins: wrong arguments are an error that says what is right, before anything is done") {
  for (const char* program : kBoth) {
    for (const std::string epochs : {"3x", "x", "", "0", "-1", "1.5", " 1", "99999999999999999999"}) {
      const ChildResult result = run(program, {"/nowhere", epochs});
      CHECK(result.status == 1);
      CHECK(result.output == "epochs: got '" + epochs + "'; give a number, at least 1\n");
    }
    const ChildResult more = run(program, {"/nowhere", "1", "2"});
    CHECK(more.status == 1);
    CHECK(more.output == std::string("usage: ") + program + " [FOLDER [EPOCHS]]\n");
    const ChildResult nowhere = run(program, {"/nowhere", "1"});
    CHECK(nowhere.status == 1);
    CHECK_MESSAGE(nowhere.output.find("/nowhere") != std::string::npos, nowhere.output);
  }
}

}  // namespace
}  // namespace miniparallel
