#pragma once

#include "examples/mnist/child_process.h"
#include "tests/support/idx_files.h"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

/// Running a build of examples/mnist on a tiny data set.

namespace miniparallel::testing {

using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

/// A folder with 40 training and 20 test images.
struct TinyData : TemporaryFolder {
  TinyData() {
    write_mnist_split(path(), "train", 40, true);
    write_mnist_split(path(), "t10k", 20, false);
  }
};

inline Arguments joined(Arguments first, const Arguments& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

/// Runs `program`; what it says on stderr comes with its
/// output where `text` is set. `environment`: VARIABLE=value.
inline ChildResult run_mnist(const char* program, const Arguments& arguments, bool text = false,
                             const Arguments& environment = {}) {
  const char* exec = text ? "exec \"$0\" \"$@\" 2>&1" : "exec \"$0\" \"$@\"";
  return run_child(
      joined(joined({"/usr/bin/env"}, environment), joined({"/bin/sh", "-c", exec, program}, arguments)));
}

/// What `program --json` reports.
inline Json train_mnist(const char* program, const TinyData& data, const Arguments& more,
                        const Arguments& environment = {}) {
  const ChildResult result =
      run_mnist(program, joined({"--json", "--data", data.path()}, more), false, environment);
  REQUIRE(result.status == 0);
  return Json::parse(result.output);
}

}  // namespace miniparallel::testing
