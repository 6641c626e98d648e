#include "engine/io/decode_image.h"

#include <miniparallel/image.h>

#include "engine/error.h"
#include "engine/files/file.h"

#include <algorithm>

namespace miniparallel {
namespace {

std::uint8_t luma(const std::uint8_t* rgb) {  // ITU-R BT.601, in units of 2^-16, rounded
  return static_cast<std::uint8_t>((19595 * rgb[0] + 38470 * rgb[1] + 7471 * rgb[2] + (1 << 15)) >> 16);
}

/// `pixels` [rows, columns, channels] with the channels of `mode`, each a plane of its own.
Tensor planes(const Tensor& pixels, ImageReadMode mode) {
  const std::int64_t rows = pixels.size(0), columns = pixels.size(1), channels = pixels.size(2);
  if (mode == ImageReadMode::unchanged) return pixels.permute({2, 0, 1}).contiguous();
  const bool coloured = channels >= 3, wants_colours = mode == ImageReadMode::rgb;
  Tensor image = empty({wants_colours ? 3 : 1, rows, columns}, {.dtype = uint8});
  const std::uint8_t* in = pixels.data<std::uint8_t>();
  std::uint8_t* out = image.data<std::uint8_t>();
  const std::int64_t area = rows * columns;
  for (std::int64_t i = 0; i < area; ++i, in += channels) {
    if (wants_colours) {
      for (std::int64_t c = 0; c < 3; ++c) out[c * area + i] = in[coloured ? c : 0];
    } else {
      out[i] = coloured ? luma(in) : *in;
    }
  }
  return image;
}

Tensor decode(std::span<const std::byte> bytes, ImageReadMode mode, const std::string& name) {
  if (io::is_png(bytes)) return planes(io::decode_png(bytes, name), mode);
  if (io::is_jpeg(bytes)) return planes(io::decode_jpeg(bytes, name), mode);
  fail(name, ": ", bytes.empty() ? "is empty" : "begins neither as a PNG nor as a JPEG file does",
       "; convert it to one of these");
}

}  // namespace

Tensor io::image_memory(std::uint32_t rows, std::uint32_t columns, int channels, std::size_t bytes,
                        std::uint64_t most_pixels_per_byte, const std::string& name) {
  const std::uint64_t pixels = std::uint64_t{rows} * columns;
  check(pixels <= std::uint64_t{1 << 30} / static_cast<std::uint64_t>(channels), name, ": is an image of ",
        rows, " by ", columns, " pixels with ", channels, " channels; at most 2^30 values are read");
  check(pixels / most_pixels_per_byte <= bytes, name, ": claims ", rows, " by ", columns, " pixels in ",
        bytes, " bytes, which cannot hold them; the file may be cut off");
  return empty({rows, columns, channels}, {.dtype = uint8});
}

Tensor decode_image(std::span<const std::byte> bytes, ImageReadMode mode) {
  return decode(bytes, mode, "decode_image");
}

Tensor read_image(const std::string& path, ImageReadMode mode) {
  return decode(io::read_file(path), mode, path);
}

}  // namespace miniparallel
