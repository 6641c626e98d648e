// Runs examples/char_gpt as its users do, on a small text.

#include "examples/mnist/child_process.h"
#include "tests/programs/check_precisions.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using miniparallel::testing::TemporaryFolder;

ChildResult char_gpt(std::vector<std::string> arguments, const char* program = MINIPARALLEL_CHAR_GPT) {
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", program});
  return run_child(arguments);
}

std::string verse(int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += "one potato, two potato, three potato, four;\n";
  return text;
}

std::vector<std::string> small(const std::string& file, const std::vector<std::string>& more) {
  std::vector<std::string> arguments = {file, "--context", "16",   "--width",   "32", "--heads",
                                        "2",  "--layers",  "2",    "--dropout", "0",  "--batch-size",
                                        "8",  "--lr",      "0.01", "--steps",   "150"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("char_gpt: learns a verse by heart and goes on with it") {
  const TemporaryFolder folder;
  const std::string file = folder / "verse.txt";
  miniparallel::testing::write_text(file, verse(40));
  const auto arguments = small(file, {"--prompt", "one pot", "--length", "80", "--temperature", "0.1"});
  const ChildResult result = char_gpt(arguments);
  REQUIRE_MESSAGE(result.status == 0, result.output);
  CHECK_MESSAGE(result.output.find("\n" + verse(1)) != std::string::npos, result.output);
  CHECK(result.output.find("step 150: loss 0.") != std::string::npos);
  CHECK(char_gpt(arguments).output == result.output);
}

namespace {

/// A few steps; the loss of the last one.
double short_loss(const std::string& file, const char* program, const std::string& device,
                  const std::string& precision) {
  const ChildResult result =
      char_gpt({file, "--context", "8", "--width", "16", "--layers", "1", "--heads", "2", "--steps", "10",
                "--length", "5", "--lr", "0.01", "--precision", precision},
               program);
  REQUIRE_MESSAGE(result.status == 0, result.output);
  CHECK_MESSAGE(result.output.find(" parameters, on " + device + "\n") != std::string::npos, result.output);
  const std::string last = "step 10: loss ";
  return std::stod(result.output.substr(result.output.find(last) + last.size()));
}

}  // namespace

TEST_CASE("char_gpt: in 16 bits the loss is near that of float32; TF32 changes nothing on a CPU") {
  const TemporaryFolder folder;
  const std::string file = folder / "verse.txt";
  miniparallel::testing::write_text(file, verse(10));
  const auto loss = [&](const char* precision) {
    return short_loss(file, MINIPARALLEL_CHAR_GPT, "cpu", precision);
  };
  miniparallel::testing::check_precisions(loss, 0.01);
}

#ifdef MINIPARALLEL_CHAR_GPT_SIMULATED
TEST_CASE("char_gpt: a GPU, which is taken where there is one, follows the CPU's loss") {
  const TemporaryFolder folder;
  const std::string file = folder / "verse.txt";
  miniparallel::testing::write_text(file, verse(10));
  for (const char* precision : {"float32", "fp16"}) {
    const double cpu = short_loss(file, MINIPARALLEL_CHAR_GPT, "cpu", precision);
    const double gpu = short_loss(file, MINIPARALLEL_CHAR_GPT_SIMULATED, "cuda:0", precision);
    CHECK(gpu == doctest::Approx(cpu).epsilon(precision == std::string("fp16") ? 1e-3 : 1e-4));
  }
}
#endif

TEST_CASE("char_gpt: mistakes of the user are explained") {
  const TemporaryFolder folder;
  const std::string file = folder / "verse.txt";
  miniparallel::testing::write_text(file, verse(1));
  const ChildResult tiny = char_gpt({file, "--steps", "1"});
  CHECK(tiny.status == 1);
  CHECK(tiny.output.find("the text is too short") != std::string::npos);
  const ChildResult unknown = char_gpt({file, "--context", "2", "--steps", "1", "--prompt", "Z"});
  CHECK(unknown.status == 1);
  CHECK(unknown.output.find("the text has no 'Z'") != std::string::npos);
  CHECK(unknown.output.find("step") == std::string::npos);  // found before the training
  CHECK(char_gpt({file, "--lr", "-1"}).output.find("--lr: got -1; it must be above 0") == 0);
  CHECK(char_gpt({file, "--dropout", "nan"}).output.find("--dropout: got nan; it must be from 0 to 0.9") ==
        0);
  CHECK(char_gpt({file, "--context", "2", "--device", "tpu"}).output.find("got 'tpu'; expected 'cpu'") !=
        std::string::npos);
  CHECK(char_gpt({folder / "none.txt"}).output.find("none.txt") != std::string::npos);
  CHECK(char_gpt({"--help"}).output.find("Examples:") != std::string::npos);
}
