#include <miniparallel/miniparallel.h>

#include "tests/docs/captured.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <iostream>

// The code of docs/data.md.

using namespace miniparallel;

namespace docs_data {
#include "snippets/data/dataset.inc"
}  // namespace docs_data
using namespace docs_data;

TEST_CASE("docs/data: loader") {
#include "snippets/data/loader.inc"
  const auto first = batches.begin();  // the batch is valid as long as it
  auto& [images, labels, names] = *first;
  CHECK(images.shape() == Shape{32, 1, 8, 8});
  CHECK(labels.dtype() == int64);
  CHECK(names.size() == 32);
}

TEST_CASE("docs/data: tensors") {
  const testing::Captured captured(std::cout);
#include "snippets/data/tensors.inc"
  CHECK(captured.text().find("[10, 4]\n") == 0);
}

TEST_CASE("docs/data: pinned") {
  const Device device = Device::cpu();
#include "snippets/data/pinned.inc"
  CHECK(batches.size() == 10);
}

namespace docs_data {
#include "snippets/data/nested.inc"
}  // namespace docs_data

TEST_CASE("docs/data: nested") {
  const Prediction prediction{ones({2, 4}), {{"cat", {ones({2}), ones({2, 3})}}}};
  CHECK(elements(prediction) == 16);
  const Prediction joined = all_rows({prediction, halves(prediction)});
  CHECK(joined.boxes.shape() == Shape{4, 4});
  CHECK(joined.scores.at("cat")[1].sum().item() == 9);
  CHECK(elements(to(Device::cpu(), joined)) == 32);
}

TEST_CASE("docs/data: split") {
#include "snippets/data/split.inc"
  CHECK(training.size() == 800);
  CHECK(images.shape() == Shape{200, 1, 8, 8});
  CHECK(names.size() == 200);
}

TEST_CASE("docs/data: augmentation and parts") {
#include "snippets/data/augmentation.inc"
  CHECK(std::get<0>(*batches.begin()).shape() == Shape{32, 1, 8, 8});
#include "snippets/data/subset.inc"
  CHECK(some.get(2).name == "shape 11");
  CHECK(drawn.size() == 16);
}

TEST_CASE("docs/data: files") {
  const testing::TemporaryFolder folder;
  const std::string path = folder / "flats.csv";
  testing::write_text(path, "area_m2,rooms,price_thousand\n70,3,290.5\n25,1,110\n");
#include "snippets/data/files.inc"
  CHECK(x.shape() == Shape{2, 2});
  CHECK(y[0][0].item() == 290.5);
  CHECK(equal(all_but_one, x));
  CHECK(cell == "3");
}

TEST_CASE("docs/data: images") {
  const testing::TemporaryFolder images_folder;
  const std::string folder = images_folder.path();
  for (const char* name : {"cat", "dog"}) {
    std::filesystem::create_directory(images_folder / name);
    write_png(randint(0, 256, {3, 30, 20}).to(uint8), folder + "/" + name + "/1.png");
  }
  const testing::Captured captured(std::cout);
#include "snippets/data/images.inc"
  CHECK(one.shape() == Shape{3, 30, 20});
  CHECK(images.classes() == std::vector<std::string>{"cat", "dog"});
  CHECK(captured.text() == "[2, 3, 224, 224]\n");
}
