#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>
#include <zlib.h>

namespace miniparallel {
namespace {

std::uint32_t big_endian(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

/// A PNG file as this library writes it, taken apart; checks what the format asks for.
struct Png {
  std::uint32_t columns = 0, rows = 0;
  int colour_type = -1;
  std::vector<int> pixels;  ///< row by row, colour beside colour

  explicit Png(const std::string& file) {
    REQUIRE(file.substr(0, 8) == "\x89PNG\r\n\x1a\n");
    std::string types, data;
    for (std::size_t at = 8; at < file.size();) {
      const std::uint32_t length = big_endian(file, at);
      const std::string type = file.substr(at + 4, 4), content = file.substr(at + 8, length);
      const std::string checked = type + content;
      CHECK(big_endian(file, at + 8 + length) ==
            ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size())));
      types += type;
      if (type == "IHDR") read_header(content);
      if (type == "IDAT") data += content;
      at += 12 + length;
    }
    CHECK(types == "IHDRIDATIEND");
    read_lines(data);
  }

 private:
  void read_header(const std::string& header) {
    columns = big_endian(header, 0);
    rows = big_endian(header, 4);
    colour_type = header.at(9);
    CHECK(header.at(8) == 8);
    CHECK(header.substr(10) == std::string(3, '\0'));
  }

  void read_lines(const std::string& data) {
    const std::size_t width = columns * (colour_type == 2 ? 3u : 1u) + 1;
    std::string lines(rows * width, '\0');
    uLongf size = lines.size();
    REQUIRE(::uncompress(reinterpret_cast<Bytef*>(lines.data()), &size,
                         reinterpret_cast<const Bytef*>(data.data()), data.size()) == Z_OK);
    CHECK(size == lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (i % width == 0)
        CHECK(lines[i] == 0);
      else
        pixels.push_back(static_cast<unsigned char>(lines[i]));
    }
  }
};

TEST_CASE("encode_png: gray and coloured images of bytes and of numbers from 0 to 1") {
  const Tensor bytes = arange(6).to(uint8).reshape({2, 3});
  const Png gray(encode_png(bytes));
  CHECK(gray.columns == 3);
  CHECK(gray.rows == 2);
  CHECK(gray.colour_type == 0);
  CHECK(gray.pixels == std::vector{0, 1, 2, 3, 4, 5});
  CHECK(Png(encode_png(bytes.unsqueeze(0))).pixels == gray.pixels);
  CHECK(Png(encode_png(bytes.transpose(0, 1))).pixels == std::vector{0, 3, 1, 4, 2, 5});

  const Png coloured(encode_png(arange(6).to(uint8).reshape({3, 1, 2})));
  CHECK(coloured.colour_type == 2);
  CHECK(coloured.pixels == std::vector{0, 2, 4, 1, 3, 5});

  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const DType dtype : {float32, float64, float16, bfloat16}) {
    const Tensor numbers = tensor<double>({-1, 0, 0.5, 1, 2, nan}, {1, 6}).to(dtype);
    CHECK(Png(encode_png(numbers)).pixels == std::vector{0, 0, 128, 255, 255, 0});
  }
}

TEST_CASE("encode_png: what is no image is refused") {
  for (const Shape& shape : {Shape{3}, Shape{2, 4, 4}, Shape{1, 1, 4, 4}, Shape{0, 4}, Shape{3, 4, 0}})
    CHECK_THROWS_WITH_AS(encode_png(zeros(shape)), doctest::Contains(to_string(shape).c_str()), Error);
  CHECK_THROWS_WITH_AS(encode_png(zeros({2, 2}, {.dtype = int64})), doctest::Contains("got int64"), Error);
  CHECK_THROWS_AS(encode_png(Tensor()), Error);
}

TEST_CASE("write_png: the file holds the image") {
  const testing::TemporaryFolder folder;
  const Tensor image = rand({3, 5, 7});
  write_png(image, folder / "image.png");
  CHECK(testing::read_text(folder / "image.png") == encode_png(image));
  CHECK_THROWS_AS(write_png(image, folder / "none" / "image.png"), Error);
}

TEST_CASE("make_grid: images lie in rows, framed") {
  const Tensor images = arange(3).to(float32).reshape({3, 1, 1, 1}).expand({3, 1, 1, 2});
  const Tensor grid = make_grid(images, 2, 1, 9);
  CHECK(grid.shape() == Shape{1, 5, 7});
  CHECK(grid.select(0, 0).to_vector<float>() == std::vector<float>{9, 9, 9, 9, 9, 9, 9,  //
                                                                   9, 0, 0, 9, 1, 1, 9,  //
                                                                   9, 9, 9, 9, 9, 9, 9,  //
                                                                   9, 2, 2, 9, 9, 9, 9,  //
                                                                   9, 9, 9, 9, 9, 9, 9});
  CHECK(make_grid(images, 8, 0).shape() == Shape{1, 1, 6});
  CHECK(make_grid(zeros({5, 3, 4, 4}, {.dtype = uint8}), 2).shape() == Shape{3, 20, 14});
  CHECK_THROWS_AS(make_grid(zeros({0, 1, 2, 2})), Error);
  CHECK_THROWS_AS(make_grid(zeros({1, 2, 2})), Error);
  CHECK_THROWS_AS(make_grid(images, 0), Error);
}

}  // namespace
}  // namespace miniparallel
