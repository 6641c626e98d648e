#pragma once

#include <miniparallel/tensor.h>

#include <cstddef>
#include <span>
#include <string>

namespace miniparallel::io {

/// Whether the bytes begin as a PNG file does.
bool is_png(std::span<const std::byte> bytes);
/// The pixels of a PNG file: [rows, columns, channels] uint8 with 1 to 4 channels. `name` is the file that
/// errors speak of.
Tensor decode_png(std::span<const std::byte> bytes, const std::string& name);

/// Whether the bytes begin as a JPEG file does.
bool is_jpeg(std::span<const std::byte> bytes);
/// The pixels of a JPEG file: [rows, columns, channels] uint8 with 1 or 3 channels.
Tensor decode_jpeg(std::span<const std::byte> bytes, const std::string& name);

/// Memory for an image of the size that the header of a file of `bytes` bytes claims. Throws where they
/// cannot hold it at the best compression there is, so that a small file cannot ask for much.
Tensor image_memory(std::uint32_t rows, std::uint32_t columns, int channels, std::size_t bytes,
                    std::uint64_t most_pixels_per_byte, const std::string& name);

}  // namespace miniparallel::io
