#pragma once

#include <miniparallel/tensor.h>

#include <cstddef>
#include <span>
#include <string>

namespace miniparallel {

/// The channels that an image is read with.
enum class ImageReadMode {
  unchanged,  ///< those of the file: gray, gray and alpha, colours, or colours and alpha
  gray,       ///< 1: 0.299 red + 0.587 green + 0.114 blue
  rgb,        ///< 3: red, green, blue
};

/// The image in the bytes of a PNG or JPEG file: [channels, rows, columns] uint8, on the CPU. Samples of 16
/// bits keep their upper 8, palettes are replaced by their colours, the four inks of print by red, green and
/// blue; `gray` and `rgb` drop alpha. Gamma and the orientation of a camera (EXIF) are not applied. The bytes
/// are not trusted: damaged, cut off or neither PNG nor JPEG is an `Error`, and so are more than 2^30 values.
Tensor decode_image(std::span<const std::byte> bytes, ImageReadMode mode = ImageReadMode::unchanged);

/// `decode_image` of a file, which errors name.
Tensor read_image(const std::string& path, ImageReadMode mode = ImageReadMode::unchanged);

/// The bytes of a PNG file (ISO/IEC 15948). `image`: [rows, columns], or [channels, rows, columns] with 1
/// channel (gray) or 3 (red, green, blue); uint8 from 0 to 255, or floating from 0 to 1, other values
/// clamped and NaN black. Throws `Error` for another shape or dtype.
std::string encode_png(const Tensor& image);

/// Writes `encode_png(image)` to a file.
void write_png(const Tensor& image, const std::string& path);

/// One picture of many: images [n, channels, rows, columns] in rows of `per_row`, `padding` pixels of
/// `pad_value` between and around them. The result is [channels, rows, columns].
Tensor make_grid(const Tensor& images, int per_row = 8, int padding = 2, double pad_value = 0);

}  // namespace miniparallel
