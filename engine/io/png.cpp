#include <miniparallel/image.h>

#include "engine/autograd/node.h"
#include "engine/error.h"
#include "engine/files/file.h"
#include "engine/ops/common.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace miniparallel {
namespace {

void append_big_endian(std::string& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
}

const Bytef* as_zlib(const std::string& text) { return reinterpret_cast<const Bytef*>(text.data()); }

/// Length, type, content and a checksum of type and content.
void append_chunk(std::string& png, const std::string& type, const std::string& content) {
  append_big_endian(png, static_cast<std::uint32_t>(content.size()));
  const std::string checked = type + content;
  png += checked;
  append_big_endian(
      png, static_cast<std::uint32_t>(::crc32(0, as_zlib(checked), static_cast<uInt>(checked.size()))));
}

std::string compressed(const std::string& bytes) {
  uLongf size = ::compressBound(bytes.size());
  std::string out(size, '\0');
  const int status = ::compress2(reinterpret_cast<Bytef*>(out.data()), &size, as_zlib(bytes), bytes.size(),
                                 Z_BEST_COMPRESSION);
  check(status == Z_OK, "encode_png: zlib's compress2 failed with ", status, "; expected ", Z_OK);
  out.resize(size);
  return out;
}

std::uint8_t to_byte(double value) {  // NaN fails the comparison
  return value > 0 ? static_cast<std::uint8_t>(std::lround(std::min(value, 1.0) * 255)) : 0;
}

/// The pixels as bytes, in the tensor's order.
std::vector<std::uint8_t> pixels_of(const Tensor& image) {
  if (image.dtype() == uint8) return image.to_vector<std::uint8_t>();
  const auto values = image.to_vector<double>();
  std::vector<std::uint8_t> pixels(values.size());
  std::ranges::transform(values, pixels.begin(), to_byte);
  return pixels;
}

}  // namespace

std::string encode_png(const Tensor& image) {
  check(image.defined(), "encode_png: the image is undefined; assign it first");
  const bool one_plane = image.dim() == 2;
  check(one_plane || (image.dim() == 3 && (image.size(0) == 1 || image.size(0) == 3)),
        "encode_png: got shape ", image.shape(),
        "; it must be [rows, columns] or [channels, rows, columns] with 1 or 3 channels");
  check(image.dtype() == uint8 || image.is_floating(), "encode_png: got ", image.dtype(),
        "; it must be uint8 from 0 to 255 or floating from 0 to 1");
  const std::int64_t channels = one_plane ? 1 : image.size(0);
  const std::int64_t rows = image.size(-2), columns = image.size(-1);
  check(image.numel() > 0 && image.numel() <= 1 << 30, "encode_png: got shape ", image.shape(),
        "; it must have 1 to 2^30 values");

  const std::vector<std::uint8_t> pixels = pixels_of(image);
  std::string lines;
  lines.reserve(static_cast<std::size_t>(rows * (columns * channels + 1)));
  for (std::int64_t row = 0; row < rows; ++row) {
    lines += '\0';  // no filter
    for (std::int64_t column = 0; column < columns; ++column)
      for (std::int64_t channel = 0; channel < channels; ++channel)
        lines +=
            static_cast<char>(pixels[static_cast<std::size_t>((channel * rows + row) * columns + column)]);
  }

  std::string header;
  append_big_endian(header, static_cast<std::uint32_t>(columns));
  append_big_endian(header, static_cast<std::uint32_t>(rows));
  header += {8, static_cast<char>(channels == 1 ? 0 : 2), 0, 0, 0};  // bits; gray or RGB; the only methods
  std::string png = "\x89PNG\r\n\x1a\n";
  append_chunk(png, "IHDR", header);
  append_chunk(png, "IDAT", compressed(lines));
  append_chunk(png, "IEND", {});
  return png;
}

void write_png(const Tensor& image, const std::string& path) {
  const std::string png = encode_png(image);
  io::AtomicFile file(path);
  file.write(std::as_bytes(std::span(png)));
  file.commit();
}

Tensor make_grid(const Tensor& images, int per_row, int padding, double pad_value) {
  check(images.defined() && images.dim() == 4 && images.size(0) > 0, "make_grid: got ",
        images.defined() ? message("shape ", images.shape()) : "an undefined tensor",
        "; it must be [n, channels, rows, columns] with n at least 1");
  check(per_row > 0 && padding >= 0, "make_grid: per_row is ", per_row, " and padding ", padding,
        "; they must be at least 1 and 0");
  const NoGradGuard no_grad;
  const std::int64_t n = images.size(0), across = std::min<std::int64_t>(per_row, n);
  const std::int64_t down = (n + across - 1) / across;
  const std::int64_t height = images.size(2) + padding, width = images.size(3) + padding;
  Tensor grid = full({images.size(1), down * height + padding, across * width + padding}, pad_value,
                     {.dtype = images.dtype(), .device = images.device()});
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t top = i / across * height + padding, left = i % across * width + padding;
    Tensor place = grid.slice(1, top, top + images.size(2)).slice(2, left, left + images.size(3));
    place.copy_(images.select(0, i));
  }
  return grid;
}

}  // namespace miniparallel
