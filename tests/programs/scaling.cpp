// Runs examples/scaling on small machines.

#include "examples/mnist/child_process.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <sstream>
#include <string>
#include <vector>

namespace {

using miniparallel::testing::TemporaryFolder;

ChildResult scaling(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", MINIPARALLEL_SCALING});
  return run_child(arguments);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// The words of a line.
std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> words;
  std::istringstream stream(line);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

}  // namespace

TEST_CASE("scaling: a line for each number of GPUs, marked as modelled, and a timeline") {
  const TemporaryFolder folder;
  const ChildResult result =
      scaling({"--model", "mlp", "--gpus", "1,2", "--rows", "64", "--trace", folder / "trace.json"});
  REQUIRE_MESSAGE(result.status == 0, result.output);
  CAPTURE(result.output);
  const std::vector<std::string> lines = lines_of(result.output);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("modelled, not measured: up to 8 x NVIDIA H100"));
  const std::vector<std::string> one = words_of(lines[2]), two = words_of(lines[3]);
  CHECK(one[0] == "mlp");
  CHECK(one[2] == "1");
  CHECK(one[3] == one[4]);
  CHECK(one[5] == "(100.0");
  CHECK(two[2] == "2");
  CHECK(std::stod(two[4]) > std::stod(one[4]));
  const std::string trace = miniparallel::testing::read_text(folder / "trace.json");
  CHECK(trace.find("GPU 1 (modelled)") != std::string::npos);
  CHECK(trace.find("sum_arrays<") != std::string::npos);
}

TEST_CASE("scaling: a large model on cards without links takes no longer here than its operations are many") {
  const ChildResult result =
      scaling({"--machine", "rtx4090", "--model", "resnet50", "--gpus", "2", "--rows", "32", "--steps", "1"});
  REQUIRE_MESSAGE(result.status == 0, result.output);
  CAPTURE(result.output);
  const std::vector<std::string> two = words_of(lines_of(result.output).at(2));
  CHECK(two[0] == "resnet50");
  CHECK(std::stod(two[4]) > 1);
}

TEST_CASE("scaling: an unknown machine is named") {
  const ChildResult result = scaling({"--machine", "v100"});
  CHECK(result.status == 1);
  CHECK(result.output ==
        "scaling: preset: no machine is called 'v100'; name one of h100, a100, rtx4090, t4\n");
}

TEST_CASE("scaling: times of kernels are read from a trace, and replace those of the model") {
  if (run_child({"python3", "--version"}).status != 0) return;
  const TemporaryFolder folder;
  const auto kernel_times = [](const std::string& trace) {
    return run_child({"/bin/sh", "-c", "exec python3 \"$0\" \"$1\" 2>&1", MINIPARALLEL_KERNEL_TIMES, trace});
  };
  const auto step = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"--model", "mlp", "--gpus", "1", "--runs", "1"});
    const ChildResult result = scaling(std::move(more));
    REQUIRE_MESSAGE(result.status == 0, result.output);
    return std::stod(words_of(lines_of(result.output).at(2)).at(4));
  };
  CHECK(step({"--trace", folder / "modelled.json"}) < 5);
  const ChildResult modelled = kernel_times(folder / "modelled.json");
  REQUIRE_MESSAGE(modelled.status == 0, modelled.output);
  CHECK(modelled.output.find(" update_rows\n") != std::string::npos);
  CHECK(modelled.output.find(" miniparallel::kernels::cuda::update_rows<") != std::string::npos);

  miniparallel::testing::write_text(folder / "measured.json", R"json({"traceEvents": [
    {"ph": "X", "cat": "kernel", "name": "void <unnamed>::update_rows<float, (int)4>(int)", "dur": 5000},
    {"ph": "X", "cat": "kernel", "name": "void <unnamed>::update_rows<float, (int)4>(int)", "dur": 6000},
    {"ph": "X", "cat": "kernel", "name": "void <unnamed>::update_rows<double, (int)2>(int)", "dur": 9000},
    {"ph": "X", "cat": "cpu_op", "name": "aten::add", "dur": 7}]})json");
  const ChildResult measured = kernel_times(folder / "measured.json");
  CHECK(measured.output ==
        "6666.667 update_rows\n5500.000 update_rows<float, 4>\n9000.000 update_rows<double, 2>\n");
  miniparallel::testing::write_text(folder / "times", measured.output);
  CHECK(step({"--kernel-times", folder / "times"}) > 6.6);

  const ChildResult made = run_child({"python3", "-c", R"(
import sqlite3, sys
trace = sqlite3.connect(sys.argv[1])
trace.executescript("""
CREATE TABLE StringIds(id INTEGER, value TEXT);
INSERT INTO StringIds VALUES (1, 'void ns::<unnamed>::scale<true>(float *)');
CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL(start INTEGER, "end" INTEGER, demangledName INTEGER);
INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (1000, 3500, 1);
"""))",
                                      folder / "nsight.sqlite"});
  REQUIRE(made.status == 0);
  CHECK(kernel_times(folder / "nsight.sqlite").output == "2.500 scale\n2.500 ns::scale<true>\n");

  miniparallel::testing::write_text(folder / "own.json",
                                    R"({"otherData": {"producer": "miniparallel"}, "traceEvents": []})");
  const ChildResult own = kernel_times(folder / "own.json");
  CHECK(own.status == 1);
  CHECK(own.output.find("records launches, not what runs on the GPU") != std::string::npos);
}
