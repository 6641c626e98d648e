#include <miniparallel/data/mnist.h>

#include <miniparallel/error.h>
#include <miniparallel/log.h>

#include "tests/support/idx_files.h"

#include <doctest/doctest.h>

#include <cstdlib>

namespace miniparallel::data {
namespace {

using testing::idx_file;
using testing::TemporaryFolder;
using testing::write_mnist_split;
using testing::write_text;

TEST_CASE("mnist: plain and gzip files, pixels normalised, labels int64") {
  for (const bool packed : {false, true}) {
    const TemporaryFolder folder;
    write_mnist_split(folder.path(), "train", 12, packed);
    write_mnist_split(folder.path(), "t10k", 3, !packed);
    CHECK(is_mnist_dir(folder.path()));
    CHECK(Mnist(folder.path(), Split::test).size() == 3);

    const Mnist train(folder.path(), Split::train, {.mean = {0.5}, .stddev = {0.25}});
    CHECK(train.size() == 12);
    CHECK(train.pixels().shape() == Shape{12, 1, 28, 28});
    const std::int64_t indices[] = {11, 0};
    const auto [images, labels] = train.get_batch(indices);
    CHECK(images.shape() == Shape{2, 1, 28, 28});
    CHECK(images.dtype() == float32);
    const auto values = images.to_vector<double>();
    for (int i = 0; i < 784; ++i) {
      CHECK(values.at(i) == doctest::Approx((110.0 / 255 - 0.5) / 0.25));
      CHECK(values.at(784 + i) == -2);
    }
    CHECK(labels.dtype() == int64);
    CHECK(labels.to_vector<int>() == std::vector<int>{1, 0});
    CHECK(train.get(11).image.shape() == Shape{1, 28, 28});
    CHECK(train.get(11).label.item<int>() == 1);
    const std::int64_t beyond[] = {12};
    CHECK_THROWS_WITH_AS(train.get_batch(beyond), doctest::Contains("index 12 of 12"), Error);
  }
}

TEST_CASE("fashion mnist: MNIST's files, its own mean and deviation") {
  const TemporaryFolder folder;
  write_mnist_split(folder.path(), "train", 1, false);
  const FashionMnist clothes(folder.path(), Split::train);
  CHECK(clothes.get(0).image[0][0][0].item() == doctest::Approx(-0.2860 / 0.3530));
  CHECK(FashionMnist::kClasses.back() == std::string("Ankle boot"));
}

TEST_CASE("mnist: Kaggle's names have a dot") {
  for (const bool packed : {false, true}) {
    const TemporaryFolder folder;
    for (const char* split : {"train", "t10k"}) {
      write_mnist_split(folder.path(), split, 3, packed);
      for (const std::string part : {"images-idx3", "labels-idx1"}) {
        std::string name = split + ("-" + part + "-ubyte") + (packed ? ".gz" : "");
        const auto old = folder / name;
        std::filesystem::rename(old, folder / name.replace(name.find("-idx"), 1, "."));
      }
    }
    CHECK(
        std::filesystem::exists(folder / (packed ? "t10k-labels.idx1-ubyte.gz" : "t10k-labels.idx1-ubyte")));
    CHECK(is_mnist_dir(folder.path()));
    CHECK(Mnist(folder.path(), Split::train).size() == 3);
    CHECK(Mnist(folder.path(), Split::test).size() == 3);
  }
}

TEST_CASE("mnist: what is missing or does not fit is named") {
  const TemporaryFolder folder;
  CHECK_FALSE(is_mnist_dir(folder.path()));
  CHECK_THROWS_WITH_AS(Mnist(folder.path(), Split::train),
                       doctest::Contains("neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz"),
                       Error);
  write_mnist_split(folder.path(), "train", 4, false);
  write_text(folder / "train-labels-idx1-ubyte", idx_file(8, {3}, "abc"));
  CHECK_THROWS_WITH_AS(Mnist(folder.path(), Split::train),
                       doctest::Contains("4 images, but labels of shape [3]"), Error);
  write_text(folder / "train-labels-idx1-ubyte", idx_file(8, {2, 2}, "abcd"));
  CHECK_THROWS_WITH_AS(Mnist(folder.path(), Split::train),
                       doctest::Contains("expected uint8 with 1 dimensions"), Error);
}

TEST_CASE("read_idx: a tensor of the file's type") {
  using namespace std::string_literals;
  const TemporaryFolder folder;
  write_text(folder / "values", idx_file(0x0d, {2, 1}, "\x40\x20\x00\x00\xbf\x80\x00\x00"s));
  const Tensor values = read_idx(folder / "values");
  CHECK(values.shape() == Shape{2, 1});
  CHECK(values.to_vector<float>() == std::vector<float>{2.5F, -1});
  write_text(folder / "deep", idx_file(8, {1, 1, 1, 1, 1, 1, 1, 1, 1}, "a"));
  CHECK_THROWS_WITH_AS(read_idx(folder / "deep"), doctest::Contains("has 9 dimensions"), Error);
}

TEST_CASE("default_mnist_dir: MNIST_DIR comes first") {
  const TemporaryFolder folder;
  write_mnist_split(folder.path(), "train", 1, true);
  write_mnist_split(folder.path(), "t10k", 1, true);
  ::setenv("MNIST_DIR", folder.path().c_str(), 1);
  CHECK(default_mnist_dir() == folder.path());
  CHECK(mnist_search_path().front() == folder.path());
  ::unsetenv("MNIST_DIR");
  CHECK(mnist_search_path().front() == "data/mnist");
}

TEST_CASE("default_mnist_dir: clothes are not taken for digits in silence") {
  // Nothing but the fallback can be found from an empty folder.
  const TemporaryFolder empty;
  const auto before = std::filesystem::current_path();
  const char* const cache = std::getenv("XDG_CACHE_HOME");
  const std::string old_cache = cache ? cache : "";
  std::filesystem::current_path(empty.path());
  ::setenv("XDG_CACHE_HOME", empty.path().c_str(), 1);
  std::vector<std::string> warnings;
  const LogHandler old = set_log_handler([&](LogLevel level, std::string_view text) {
    if (level == LogLevel::warning) warnings.emplace_back(text);
  });
  std::string found;
  try {
    found = default_mnist_dir();
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find(fashion_mnist_dir()) != std::string::npos);
  }
  set_log_handler(old);
  cache ? ::setenv("XDG_CACHE_HOME", old_cache.c_str(), 1) : ::unsetenv("XDG_CACHE_HOME");
  std::filesystem::current_path(before);
  if (found != fashion_mnist_dir()) return;  // real digits, or neither
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("this is Fashion-MNIST") != std::string::npos);
}

}  // namespace
}  // namespace miniparallel::data
