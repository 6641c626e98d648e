#include <miniparallel/data/transforms.h>
#include <miniparallel/error.h>
#include <miniparallel/ops.h>
#include <miniparallel/random.h>

#include <doctest/doctest.h>

#include <cmath>
#include <set>

namespace miniparallel::data {
namespace {

using Values = std::vector<double>;

void check_near(const Tensor& got, const Values& expected, double tolerance = 1e-5) {
  const Values values = got.to_vector<double>();
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(values[i] - expected[i]) < tolerance);
  }
}

TEST_CASE("resize: as torch.nn.functional.interpolate(mode='bilinear', antialias=True)") {
  const Tensor image = arange(30).to(float64).square().reshape({1, 5, 6}) / 100;
  for (const DType dtype : {float32, float64}) {
    const Tensor x = image.to(dtype);
    check_near(Resize{3, 4}(x),
               {0.17732, 0.28127, 0.42778, 0.60839, 1.69375, 2.06222, 2.48111, 2.92625, 4.84446, 5.47746,
                6.16873, 6.87839},
               1e-4);
    check_near(Resize{2, 2}(x), {0.79682, 1.22182, 3.97682, 5.00182}, 1e-4);
    const Tensor larger = Resize{7, 9}(x);
    CHECK(larger.dtype() == dtype);
    check_near(larger[0][3], {1.44, 1.565, 1.735, 1.915, 2.105, 2.30167, 2.50833, 2.725, 2.89}, 1e-4);
  }
  check_near(Resize{2, 2}((image * 30).to(uint8)), {24, 36, 119, 150}, 1.01);
  CHECK(equal(Resize{5, 6}(image), image));
}

TEST_CASE("resize: one number is the shorter side") {
  CHECK(Resize{4}(zeros({3, 10, 25})).shape() == Shape{3, 4, 10});
  CHECK(Resize{4}(zeros({3, 25, 10})).shape() == Shape{3, 10, 4});
  CHECK_THROWS_WITH_AS(Resize{0}(zeros({1, 2, 2})), doctest::Contains("Resize: got 0"), Error);
  CHECK_THROWS_WITH_AS(Resize{3}(zeros({1, 0, 2})), doctest::Contains("at least one pixel"), Error);
  CHECK_THROWS_WITH_AS((Resize{3, 3}(zeros({1, 2, 2}, {.dtype = int64}))), doctest::Contains("got int64"),
                       Error);
}

TEST_CASE("center crop: the middle, zeros around a small image") {
  const Tensor image = arange(12).reshape({1, 3, 4});
  CHECK(CenterCrop{2}(image).to_vector<double>() == Values{1, 2, 5, 6});  // half a row rounds to the even one
  CHECK(CenterCrop{4}(arange(4).reshape({1, 2, 2}) + 1).to_vector<double>() ==
        Values{0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 0});
  CHECK_THROWS_WITH_AS(CenterCrop{0}(image), doctest::Contains("size is 0"), Error);
}

TEST_CASE("random resized crop: parts of the area and ratio that it is told") {
  RandomStream random(1, 1);
  // Of an image whose value is the row, the range in a crop is about its height.
  const Tensor rows = arange(60).to(float32).reshape({1, 60, 1}).expand({1, 60, 80});
  std::set<long> heights;
  for (int i = 0; i < 200; ++i) {
    const Tensor part = RandomResizedCrop{30, {0.25, 0.25}, {1, 1}}(rows, random);
    CHECK(part.shape() == Shape{1, 30, 30});
    const double range = (part.max() - part.min()).item();
    CHECK(std::abs(range - 35 * 29.0 / 30) < 1.5);  // sqrt(60 * 80 / 4) = 34.6
    heights.insert(std::lround(part.min().item()));
  }
  CHECK(heights.size() > 15);
  // Nothing of this ratio fits: the largest middle part of it.
  const Tensor middle = RandomResizedCrop{10, {1, 1}, {4, 4}}(rows, random);
  CHECK((middle.max() - middle.min()).item() < 20);
  CHECK(middle.mean().item() == doctest::Approx(29.5));
  CHECK_THROWS_WITH_AS((RandomResizedCrop{10, {0, 1}}(rows, random)), doctest::Contains("scale is 0 to 1"),
                       Error);
}

TEST_CASE("rotate: quarters of a turn are exact, and against the clock") {
  const Tensor image = arange(9).reshape({1, 3, 3});
  CHECK(rotate(image, 90).to_vector<double>() == Values{2, 5, 8, 1, 4, 7, 0, 3, 6});
  CHECK(rotate(image, -90).to_vector<double>() == Values{6, 3, 0, 7, 4, 1, 8, 5, 2});
  CHECK(rotate(image, 180).to_vector<double>() == Values{8, 7, 6, 5, 4, 3, 2, 1, 0});
  CHECK(rotate(ones({1, 4, 2}), 90).to_vector<double>() == Values{0, 0, 1, 1, 1, 1, 0, 0});
  CHECK(rotate(ones({2, 5, 5}), 45)[1][0][0].item() == 0);
  RandomStream random(1, 1);
  CHECK(equal(RandomRotation{0}(image, random), image));
  bool left = false, right = false;
  for (int i = 0; i < 100; ++i) {
    const Tensor turned = RandomRotation{40}(arange(81).reshape({1, 9, 9}), random);
    CHECK(turned[0][4][4].item() == 40);
    const double above = turned[0][0][4].item();  // from the left of the middle or from the right of it
    left = left || (above > 4 && above < 81 && std::fmod(above, 9) < 4);
    right = right || std::fmod(above, 9) > 4;
  }
  CHECK(left);
  CHECK(right);
  CHECK_THROWS_WITH_AS(RandomRotation{-1}(image, random), doctest::Contains("degrees is -1"), Error);
}

TEST_CASE("color jitter: each change keeps what it should") {
  manual_seed(3);
  RandomStream random(1, 1);
  const Tensor image = rand({3, 6, 5}, {.dtype = float64}) * 0.5 + 0.2;
  const Tensor gray = 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2];
  double least = 2, most = 0;
  for (int i = 0; i < 100; ++i) {
    const Tensor factors = ColorJitter{.brightness = 0.3}(image, random) / image;
    CHECK((factors.max() - factors.min()).item() < 1e-9);
    least = std::min(least, factors.min().item());
    most = std::max(most, factors.max().item());

    const Tensor contrast =
        (ColorJitter{.contrast = 0.4}(image, random) - gray.mean()) / (image - gray.mean());
    CHECK((contrast.max() - contrast.min()).item() < 1e-6);
    const Tensor saturation = (ColorJitter{.saturation = 0.2}(image, random) - gray) / (image - gray);
    CHECK((saturation.max() - saturation.min()).item() < 1e-6);

    const Tensor hue = ColorJitter{.hue = 0.5}(image, random);
    CHECK(allclose(amax(hue, {0}), amax(image, {0})));
    CHECK(allclose(amin(hue, {0}), amin(image, {0})));
    CHECK_FALSE(allclose(hue, image));
  }
  CHECK(least < 0.72);
  CHECK(most > 1.28);
  CHECK(least >= 0.7);
  CHECK(most <= 1.3);
  CHECK(equal(ColorJitter{}(image, random), image));
  CHECK(equal(ColorJitter{0, 0, 0.5, 0.5}(image.narrow(0, 0, 1), random), image.narrow(0, 0, 1)));
  const Tensor all = ColorJitter{2, 2, 2, 0.5}(image.to(float32), random);
  CHECK(all.min().item() >= 0);
  CHECK(all.max().item() <= 1);
  CHECK_THROWS_WITH_AS((ColorJitter{.hue = 0.6}(image, random)), doctest::Contains("hue 0.6"), Error);
  CHECK_THROWS_WITH_AS((ColorJitter{.hue = 0.1}(image.to(uint8), random)), doctest::Contains("got uint8"),
                       Error);
}

}  // namespace
}  // namespace miniparallel::data
