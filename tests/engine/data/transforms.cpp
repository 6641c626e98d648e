#include <miniparallel/data/transforms.h>

#include <miniparallel/error.h>

#include <doctest/doctest.h>

#include <set>

namespace miniparallel::data {
namespace {

using Values = std::vector<double>;

TEST_CASE("normalize: each channel by its own numbers") {
  const Tensor image = tensor({1.0, 2.0, 3.0, 4.0}, {2, 1, 2});
  CHECK(Normalize{{1, 2}, {0.5, 2}}(image).to_vector<double>() == Values{0, 2, 0.5, 1});
  CHECK(Normalize{{1}, {2}}(image).to_vector<double>() == Values{0, 0.5, 1, 1.5});
  CHECK(Normalize{{1}, {2}}(image.to(float64)).dtype() == float64);
  CHECK(Normalize{{0}, {1}}(image.transpose(1, 2)).shape() == Shape{2, 2, 1});
  CHECK_THROWS_WITH_AS((Normalize{{1, 2, 3}, {1}}(image)), doctest::Contains("3 numbers for an image of 2"),
                       Error);
  CHECK_THROWS_WITH_AS((Normalize{{1}, {1}}(image.to(uint8))), doctest::Contains("got uint8"), Error);
  CHECK_THROWS_WITH_AS((Normalize{{1}, {1}}(image[0])), doctest::Contains("got shape [1, 2]"), Error);
}

TEST_CASE("random crop: every place of the padded image, nothing else") {
  const Tensor image = tensor({1, 2, 3, 4}, {1, 2, 2}).to(uint8);
  RandomStream random(1, 1);
  std::set<Values> seen;
  for (int i = 0; i < 300; ++i) seen.insert(RandomCrop{2, 1}(image, random).to_vector<double>());
  CHECK(seen == std::set<Values>{{0, 0, 0, 1},
                                 {0, 0, 1, 2},
                                 {0, 0, 2, 0},
                                 {0, 1, 0, 3},
                                 {1, 2, 3, 4},
                                 {2, 0, 4, 0},
                                 {0, 3, 0, 0},
                                 {3, 4, 0, 0},
                                 {4, 0, 0, 0}});
  CHECK(RandomCrop{2}(image, random).to_vector<double>() == Values{1, 2, 3, 4});
  CHECK(RandomCrop{1, 9}(image, random).shape() == Shape{1, 1, 1});
  CHECK_THROWS_WITH_AS((RandomCrop{3}(image, random)), doctest::Contains("does not fit"), Error);
}

TEST_CASE("random horizontal flip: mirrors rows with its probability") {
  RandomStream random(1, 1);
  const Tensor image = tensor({1.0, 2.0, 3.0, 4.0, 5.0, 6.0}, {2, 1, 3});
  CHECK(RandomHorizontalFlip{1}(image, random).to_vector<double>() == Values{3, 2, 1, 6, 5, 4});
  CHECK(RandomHorizontalFlip{0}(image, random).to_vector<double>() == Values{1, 2, 3, 4, 5, 6});
  int flipped = 0;
  for (int i = 0; i < 1000; ++i) flipped += RandomHorizontalFlip{}(image, random).to_vector<double>()[0] == 3;
  CHECK(std::abs(flipped - 500) < 64);
}

TEST_CASE("compose: one after the other, with and without random numbers") {
  RandomStream random(1, 1);
  const Compose both(RandomHorizontalFlip{1}, Normalize{{1}, {2}});
  CHECK(both(tensor({1.0, 3.0}, {1, 1, 2}), random).to_vector<double>() == Values{1, 0});
}

}  // namespace
}  // namespace miniparallel::data
