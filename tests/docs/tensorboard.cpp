#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <filesystem>

// The code of docs/tensorboard.md.

using namespace miniparallel;

TEST_CASE("docs/tensorboard: events and pictures") {
  const testing::TemporaryFolder temporary;
  const std::string folder = temporary / "runs", file = temporary / "grid.png";
  const Tensor weight = randn({10, 4}), images = rand({16, 1, 8, 8});
  {
#include "snippets/tensorboard/writer.inc"
  }
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    CHECK(entry.file_size() > 500);
    ++files;
  }
  CHECK(files == 1);
#include "snippets/tensorboard/png.inc"
  CHECK(std::filesystem::file_size(file) > 100);
}
