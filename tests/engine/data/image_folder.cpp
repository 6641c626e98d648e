#include <miniparallel/data/image_folder.h>

#include <miniparallel/data.h>
#include <miniparallel/error.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

namespace miniparallel::data {
namespace {

void write_image(const std::filesystem::path& path, int value, std::int64_t columns = 4) {
  std::filesystem::create_directories(path.parent_path());
  write_png(full({3, 5, columns}, value).to(uint8), path);
}

TEST_CASE("image folder: a class for each folder, files by name, pixels from 0 to 1") {
  const testing::TemporaryFolder folder;
  write_image(folder / "dog" / "b.png", 51);
  write_image(folder / "cat" / "young" / "z.PNG", 102, 6);
  write_image(folder / "cat" / "a.png", 255);
  testing::write_text(folder / "cat" / "notes.txt", "not an image");
  testing::write_text(folder / "stray.png", "not in a class");
  const ImageFolder images(folder.path());
  CHECK(images.classes() == std::vector<std::string>{"cat", "dog"});
  REQUIRE(images.size() == 3);
  CHECK(images.samples()[1].path == (folder / "cat" / "young" / "z.PNG").string());
  CHECK(images.samples()[1].label == 0);
  CHECK(images.get(0).image.shape() == Shape{3, 5, 4});
  CHECK(images.get(0).image[0][0][0].item() == 1);
  CHECK(images.get(2).image[2][4][3].item() == doctest::Approx(0.2));
  CHECK(images.get(2).label.item<int>() == 1);
  CHECK(ImageFolder(folder.path(), ImageReadMode::gray).get(1).image.shape() == Shape{1, 5, 6});
  CHECK_THROWS_WITH_AS(images.get(3), doctest::Contains("index 3 of 3"), Error);

  DataLoader batches(Transformed(images,
                                 [](ImageFolder::Example example) {
                                   example.image = Resize{2, 2}(example.image);
                                   return example;
                                 }),
                     {.batch_size = 3, .num_workers = 2});
  for (auto& [pixels, labels] : batches) {
    CHECK(pixels.shape() == Shape{3, 3, 2, 2});
    CHECK(labels.to_vector<int>() == std::vector<int>{0, 0, 1});
  }
}

TEST_CASE("image folder: what is missing is named") {
  const testing::TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(ImageFolder(folder / "none"), doctest::Contains("there is no folder"), Error);
  CHECK_THROWS_WITH_AS(ImageFolder(folder.path()), doctest::Contains("has no folders"), Error);
  std::filesystem::create_directory(folder / "empty");
  CHECK_THROWS_WITH_AS(ImageFolder(folder.path()), doctest::Contains("holds no PNG or JPEG file"), Error);
  testing::write_text(folder / "empty" / "a.jpg", "damaged");
  CHECK_THROWS_WITH_AS(ImageFolder(folder.path()).get(0), doctest::Contains("a.jpg: begins neither"), Error);
}

}  // namespace
}  // namespace miniparallel::data
