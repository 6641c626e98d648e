// Runs examples/cifar as its users do, on pictures of its own.

#include "examples/mnist/child_process.h"
#include "tests/programs/check_precisions.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <set>
#include <string>
#include <vector>

namespace {

using miniparallel::testing::read_text;
using miniparallel::testing::TemporaryFolder;
using Arguments = std::vector<std::string>;

ChildResult run(const char* program, Arguments arguments) {
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", program});
  return run_child(arguments);
}

/// A folder of pictures.
struct Shapes : TemporaryFolder {
  explicit Shapes(const char* images_per_file) {
    const ChildResult made = run(MINIPARALLEL_CIFAR_SHAPES, {path(), images_per_file});
    REQUIRE_MESSAGE(made.status == 0, made.output);
  }
};

struct Epoch {
  double loss, percent;
};

/// The last epoch of a training.
Epoch last_epoch(const Shapes& shapes, const Arguments& more, const char* program = MINIPARALLEL_CIFAR) {
  Arguments arguments{shapes.path()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const ChildResult result = run(program, arguments);
  REQUIRE_MESSAGE(result.status == 0, result.output);
  const std::string before = ": loss ", between = ", ";
  const std::size_t loss = result.output.rfind(before);
  REQUIRE_MESSAGE(loss != std::string::npos, result.output);
  const std::size_t percent = result.output.find(between, loss);
  return {std::stod(result.output.substr(loss + before.size())),
          std::stod(result.output.substr(percent + between.size()))};
}

}  // namespace

TEST_CASE("cifar: learns colours and shapes in seconds") {
  const Shapes shapes("100");
  const Epoch last = last_epoch(shapes, {"--epochs", "4", "--batch-size", "20", "--lr", "0.05"});
  CHECK(last.percent > 55);  // 50 by colours alone
  CHECK(last.loss < 1.2);
}

TEST_CASE("cifar: in 16 bits the loss is near that of float32; TF32 changes nothing on a CPU") {
  const Shapes shapes("10");
  const auto loss = [&](const char* precision) {
    return last_epoch(shapes, {"--epochs", "2", "--batch-size", "25", "--precision", precision}).loss;
  };
  miniparallel::testing::check_precisions(loss, 0.02);
}

TEST_CASE("cifar: one seed gives the same weights with any number of workers") {
  const Shapes shapes("4");
  const auto weights = [&](const char* seed, const char* workers) {
    last_epoch(shapes, {"--epochs", "1", "--batch-size", "10", "--seed", seed, "--workers", workers, "--save",
                        shapes / "weights"});
    return read_text(shapes / "weights");
  };
  const std::string first = weights("1", "0");
  CHECK(weights("1", "2") == first);
  CHECK(weights("2", "0") != first);
}

#ifdef MINIPARALLEL_CIFAR_SIMULATED
TEST_CASE("cifar: a GPU follows the CPU's loss in every precision, and no two have the same weights") {
  const Shapes shapes("1");
  const std::string file = shapes / "weights";
  std::set<std::string> weights;
  for (const char* precision : {"float32", "tf32", "bf16", "fp16"}) {
    CAPTURE(precision);
    const auto loss = [&](const char* program, const char* gpus) {
      const Arguments one_step{"--epochs", "1",      "--batch-size", "5",      "--precision",
                               precision,  "--gpus", gpus,           "--save", file};
      return last_epoch(shapes, one_step, program).loss;
    };
    const double cpu = loss(MINIPARALLEL_CIFAR, "0");
    CHECK(loss(MINIPARALLEL_CIFAR_SIMULATED, "1") == doctest::Approx(cpu).epsilon(2e-3));
    weights.insert(read_text(file));
  }
  CHECK(weights.size() == 4);
}
#endif

TEST_CASE("cifar: mistakes of the user are explained") {
  const Shapes shapes("1");
  const ChildResult no_gpu = run(MINIPARALLEL_CIFAR, {shapes.path(), "--gpus", "99"});
  CHECK(no_gpu.status == 1);
  CHECK(no_gpu.output.find("cifar: --gpus 99: this machine has ") == 0);
  CHECK(run(MINIPARALLEL_CIFAR, {shapes.path(), "--precision", "int8"}).output.find("--precision") !=
        std::string::npos);
  std::filesystem::remove(shapes / "data_batch_4.bin");
  const ChildResult missing = run(MINIPARALLEL_CIFAR, {shapes.path(), "--gpus", "0"});
  CHECK(missing.status == 1);
  CHECK(missing.output.find("data_batch_4.bin") != std::string::npos);
  CHECK(run(MINIPARALLEL_CIFAR_SHAPES, {}).status == 2);
}
