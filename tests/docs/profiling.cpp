#include <miniparallel/miniparallel.h>
#include <miniparallel/profiler.h>

#include "tests/docs/captured.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <iostream>

// The code of docs/profiling.md.

using namespace miniparallel;

TEST_CASE("docs/profiling: the trace and the table") {
  const testing::TemporaryFolder folder;
  const std::string file = folder / "trace.json";
  Tensor x = randn({16, 16});
  x.requires_grad_();
#include "snippets/profiling/profile.inc"
  CHECK(std::filesystem::file_size(file) > 100);

  const testing::Captured captured(std::cout);
#include "snippets/profiling/table.inc"
  CHECK(captured.text().find("matmul.multiply: 1 calls") != std::string::npos);
}
