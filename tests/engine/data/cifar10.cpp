#include <miniparallel/data/cifar10.h>

#include <miniparallel/error.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

namespace miniparallel::data {
namespace {

/// A record whose planes hold the values label, label + 1 and label + 2.
std::string record(char label) {
  std::string bytes(1, label);
  for (int plane = 0; plane < 3; ++plane) bytes += std::string(1024, static_cast<char>(label + plane));
  return bytes;
}

TEST_CASE("cifar10: five training files and a test file") {
  const testing::TemporaryFolder folder;
  for (char i = 1; i <= 5; ++i) {
    testing::write_text(folder / ("data_batch_" + std::to_string(i) + ".bin"), record(i) + record(0));
  }
  testing::write_text(folder / "test_batch.bin", record(9));

  const Cifar10 train(folder.path(), Split::train, {{0}, {1.0 / 255}});
  CHECK(train.size() == 10);
  CHECK(train.labels().to_vector<int>() == std::vector<int>{1, 0, 2, 0, 3, 0, 4, 0, 5, 0});
  const auto [image, label] = train.get(8);
  CHECK(image.shape() == Shape{3, 32, 32});
  const auto values = image.to_vector<double>();
  CHECK(values[0] == doctest::Approx(5));
  CHECK(values[1024] == doctest::Approx(6));
  CHECK(values[3071] == doctest::Approx(7));
  CHECK(Cifar10(folder.path(), Split::test).size() == 1);
}

TEST_CASE("cifar10: a file cut off at any byte is an error, so is a label past 9") {
  const testing::TemporaryFolder folder;
  const std::string whole = record(3);
  for (std::size_t size = 0; size < whole.size(); size += size < 8 ? 1 : 613) {
    testing::write_text(folder / "test_batch.bin", whole.substr(0, size));
    CHECK_THROWS_WITH_AS(Cifar10(folder.path(), Split::test),
                         doctest::Contains("expected a multiple of the 3073"), Error);
  }
  testing::write_text(folder / "test_batch.bin", whole + record(10));
  CHECK_THROWS_WITH_AS(Cifar10(folder.path(), Split::test), doctest::Contains("image 1 has the label 10"),
                       Error);
  CHECK_THROWS_WITH_AS(Cifar10(folder.path(), Split::train), doctest::Contains("data_batch_1.bin"), Error);
}

}  // namespace
}  // namespace miniparallel::data
