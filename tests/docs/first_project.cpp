#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"
#include "tests/support/idx_files.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/first-project.md.

using namespace miniparallel;

namespace docs_first_project {
#include "snippets/first-project/net.inc"
}  // namespace docs_first_project
using namespace docs_first_project;

TEST_CASE("docs/first-project: learns, saves, and another program uses it") {
  const testing::TemporaryFolder files;
  testing::write_mnist_split(files.path(), "train", 70, false);
  const std::string folder = files.path(), weights = files / "clothes.safetensors", path = files / "a.png";
  {
#include "snippets/first-project/learn.inc"
  }
  write_png(rand({3, 40, 30}), path);
  const testing::Captured captured(std::cout);
  {
#include "snippets/first-project/use.inc"
    CHECK(captured.text() == std::string(data::FashionMnist::kClasses[best]) + "\n");
  }
}
