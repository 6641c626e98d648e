#pragma once

#include <jpeglib.h>
#include <zlib.h>

#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstdlib>
#include <string>

namespace miniparallel::testing {

inline std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xff);
  return bytes;
}

inline std::string png_chunk(const std::string& type, const std::string& content) {
  const std::string checked = type + content;
  const auto crc =
      ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
  return big_endian(static_cast<std::uint32_t>(content.size())) + checked +
         big_endian(static_cast<std::uint32_t>(crc));
}

struct PngKind {
  int bits = 8, colour_type = 2;  ///< ISO/IEC 15948, table 9
  std::string chunks = {};        ///< before the pixels
  bool interlaced = false;
};

/// A PNG file of these lines, each after the byte of its filter.
inline std::string png_file(std::uint32_t columns, std::uint32_t rows, const std::string& lines,
                            const PngKind& kind = {}) {
  uLongf size = ::compressBound(lines.size());
  std::string data(size, '\0');
  ::compress(reinterpret_cast<Bytef*>(data.data()), &size, reinterpret_cast<const Bytef*>(lines.data()),
             lines.size());
  data.resize(size);
  const std::string header = big_endian(columns) + big_endian(rows) + static_cast<char>(kind.bits) +
                             static_cast<char>(kind.colour_type) + std::string(2, '\0') +
                             static_cast<char>(kind.interlaced);
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", header) + kind.chunks + png_chunk("IDAT", data) +
         png_chunk("IEND", {});
}

struct JpegKind {
  J_COLOR_SPACE colours = JCS_RGB;
  int quality = 100;
  bool progressive = false, arithmetic = false;
};

/// A JPEG file of these pixels, row after row, channel beside channel.
inline std::string jpeg_file(unsigned columns, unsigned rows, std::string pixels, const JpegKind& kind = {}) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* out = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &out, &size);
  jpeg.image_width = columns;
  jpeg.image_height = rows;
  jpeg.input_components = static_cast<int>(pixels.size() / (columns * rows));
  jpeg.in_color_space = kind.colours;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, kind.quality, TRUE);
  if (kind.progressive) jpeg_simple_progression(&jpeg);
  jpeg.arith_code = kind.arithmetic;
  jpeg_start_compress(&jpeg, TRUE);
  const std::size_t row_bytes = pixels.size() / rows;
  while (jpeg.next_scanline < rows) {
    auto* row = reinterpret_cast<JSAMPROW>(pixels.data() + jpeg.next_scanline * row_bytes);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string file(reinterpret_cast<const char*>(out), size);
  std::free(out);
  return file;
}

}  // namespace miniparallel::testing
