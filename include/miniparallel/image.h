#pragma once

#include <miniparallel/tensor.h>

#include <string>

namespace miniparallel {

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
