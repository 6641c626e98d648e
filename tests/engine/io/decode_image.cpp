#include <miniparallel/miniparallel.h>

#include "tests/support/error_of.h"
#include "tests/support/image_files.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

using testing::error_of;
using testing::jpeg_file;
using testing::png_file;
using Values = std::vector<int>;

Tensor decode(const std::string& file, ImageReadMode mode = ImageReadMode::unchanged) {
  return decode_image(testing::as_bytes(file), mode);
}
Values values(const Tensor& image) { return image.to_vector<int>(); }

TEST_CASE("decode_image: what encode_png wrote") {
  for (const Shape& shape : {Shape{3, 5, 7}, Shape{1, 4, 1}}) {
    const Tensor image = randint(0, 256, shape).to(uint8);
    CHECK(equal(decode(encode_png(image)), image));
  }
}

TEST_CASE("decode_image: every kind of PNG, 8 bits for each channel") {
  using testing::png_chunk;
  const std::string palette = png_chunk("PLTE", {"\x01\x02\x03\x0a\x0b\x0c", 6});
  using namespace std::string_literals;
  // Two bits per pixel count as 0, 85, 170 and 255.
  CHECK(values(decode(png_file(4, 1, "\0\x1b"s, {.bits = 2, .colour_type = 0}))) == Values{0, 85, 170, 255});
  CHECK(values(decode(png_file(2, 1, "\0\x12\x34\xab\xcd"s, {.bits = 16, .colour_type = 0}))) ==
        Values{0x12, 0xab});
  const Tensor from_palette =
      decode(png_file(2, 1, "\0\x40"s, {.bits = 1, .colour_type = 3, .chunks = palette}));
  CHECK(from_palette.shape() == Shape{3, 1, 2});
  CHECK(values(from_palette) == Values{1, 10, 2, 11, 3, 12});
  const std::string transparent = palette + png_chunk("tRNS", {"\x80", 1});
  CHECK(values(decode(png_file(1, 1, "\0\0"s, {.bits = 8, .colour_type = 3, .chunks = transparent}))) ==
        Values{1, 2, 3, 128});
  const std::string gray_alpha = png_file(1, 2, "\0\x05\x06\0\x07\x08"s, {.colour_type = 4});
  CHECK(values(decode(gray_alpha)) == Values{5, 7, 6, 8});
  CHECK(values(decode(gray_alpha, ImageReadMode::gray)) == Values{5, 7});
  CHECK(values(decode(gray_alpha, ImageReadMode::rgb)) == Values{5, 7, 5, 7, 5, 7});
  const std::string rgb_alpha = png_file(1, 1, "\0\xc8\x64\x32\x09"s, {.colour_type = 6});
  CHECK(values(decode(rgb_alpha)) == Values{200, 100, 50, 9});
  CHECK(values(decode(rgb_alpha, ImageReadMode::rgb)) == Values{200, 100, 50});
  CHECK(values(decode(rgb_alpha, ImageReadMode::gray)) == Values{124});  // 0.299 * 200 + 0.587 * 100 + 5.7
  // Adam7: a pass for pixel (0, 0), one for (0, 1), one for the second line.
  CHECK(values(decode(png_file(2, 2, "\0\x01\0\x02\0\x03\x04"s, {.colour_type = 0, .interlaced = true}))) ==
        Values{1, 2, 3, 4});
}

TEST_CASE("decode_image: JPEG, also progressive, gray and of four inks") {
  std::string pixels, gray, inks;
  for (int row = 0; row < 13; ++row) {
    for (int column = 0; column < 19; ++column) {
      const char colours[] = {static_cast<char>(60 + 5 * column), static_cast<char>(120),
                              static_cast<char>(90 + 4 * row)};
      pixels.append(colours, 3);
      gray += static_cast<char>(8 * row + 4 * column);
      inks.append(
          {static_cast<char>(200), static_cast<char>(100), static_cast<char>(50), static_cast<char>(128)});
    }
  }
  for (const bool progressive : {false, true}) {
    const Tensor image = decode(jpeg_file(19, 13, pixels, {.progressive = progressive}));
    REQUIRE(image.shape() == Shape{3, 13, 19});
    double largest = 0;
    const auto got = values(image);
    for (int i = 0; i < 13 * 19; ++i) {
      for (int c = 0; c < 3; ++c)
        largest = std::max(largest,
                           std::abs(got[c * 247 + i] - 1.0 * static_cast<unsigned char>(pixels[3 * i + c])));
    }
    CHECK(largest <= 5);
  }
  const std::string gray_file = jpeg_file(19, 13, gray, {.colours = JCS_GRAYSCALE});
  CHECK(decode(gray_file).shape() == Shape{1, 13, 19});
  CHECK(std::abs(values(decode(gray_file))[20] - (8 + 4)) <= 2);
  CHECK(decode(gray_file, ImageReadMode::rgb).shape() == Shape{3, 13, 19});
  CHECK(decode(jpeg_file(19, 13, pixels), ImageReadMode::gray).shape() == Shape{1, 13, 19});
  // libjpeg writes Adobe's marker, by which 200 of cyan is white left.
  const Values printed = values(decode(jpeg_file(19, 13, inks, {.colours = JCS_CMYK})));
  REQUIRE(printed.size() == 3 * 247);
  CHECK(std::abs(printed[0] - 200 * 128 / 255) <= 2);
  CHECK(std::abs(printed[247] - 100 * 128 / 255) <= 2);
  CHECK(std::abs(printed[494] - 50 * 128 / 255) <= 2);
}

TEST_CASE("decode_image: a file cut off at any byte is an error") {
  const std::string pixels(13 * 9 * 3, '\x55');
  for (const std::string& file : {png_file(13, 1, std::string(40, '\0')), jpeg_file(9, 13, pixels),
                                  jpeg_file(9, 13, pixels, {.progressive = true})}) {
    CHECK_NOTHROW(decode(file));
    // The last marker of a JPEG file is two bytes, behind all pixels.
    for (std::size_t size = 0; size + 2 < file.size(); ++size) {
      CAPTURE(size);
      CHECK_THROWS_AS(decode(file.substr(0, size)), Error);
    }
  }
}

TEST_CASE("decode_image: a header that claims more than the file can hold costs no memory") {
  const std::string line(2, '\0');
  CHECK(error_of([&] {
          decode(png_file(20000, 20000, line, {.colour_type = 0}));
        }).find("claims 20000 by 20000 pixels in") != std::string::npos);
  CHECK(error_of([&] { decode(png_file(1000000, 1000000, line)); }).find("at most 2^30 values") !=
        std::string::npos);
  std::string jpeg = jpeg_file(8, 8, std::string(192, '\x55'));
  const auto frame = jpeg.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  jpeg.replace(frame + 5, 4, "\x40\x00\x40\x00", 4);
  CHECK(error_of([&] { decode(jpeg); }).find("claims 16384 by 16384 pixels in") != std::string::npos);
}

TEST_CASE("decode_image: what is no image is refused, and named") {
  CHECK(error_of([] { decode(""); }) == "decode_image: is empty; convert it to one of these");
  CHECK(error_of([] { decode("GIF89a"); }) ==
        "decode_image: begins neither as a PNG nor as a JPEG file does; convert it to one of these");
  std::string damaged = png_file(2, 1, std::string(7, '\0'));
  damaged[45] ^= 1;
  CHECK(error_of([&] { decode(damaged); }).starts_with("decode_image: the PNG data is damaged or cut off: "));
  CHECK(error_of([] {
          decode(jpeg_file(8, 8, std::string(192, '\x55'), {.arithmetic = true}));
        }).find("arithmetic coding") != std::string::npos);
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "a.png", "nothing");
  CHECK(
      error_of([&] { read_image(folder / "a.png"); }).starts_with((folder / "a.png").string() + ": begins"));
  CHECK_THROWS_AS(read_image(folder / "none.png"), Error);
  const Tensor image = randint(0, 256, {3, 4, 5}).to(uint8);
  write_png(image, folder / "a.png");
  CHECK(equal(read_image(folder / "a.png"), image));
}

}  // namespace
}  // namespace miniparallel
