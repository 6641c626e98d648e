#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

// The code of docs/onnx.md.

using namespace miniparallel;

TEST_CASE("docs/onnx: a model of layers") {
  const testing::TemporaryFolder temporary;
  const std::string folder = temporary.path();
#include "snippets/onnx/export.inc"
  CHECK(std::filesystem::file_size(folder + "/digits.onnx") > 4 * 15680);
}
