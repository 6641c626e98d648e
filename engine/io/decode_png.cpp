#include "engine/error.h"
#include "engine/io/decode_image.h"

#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <vector>

namespace miniparallel::io {
namespace {

// deflate cannot shrink more than by 1032, and a pixel has at least one bit.
constexpr std::uint64_t kMostPixelsPerByte = 1032 * 8;

/// What libpng's callbacks need. libpng leaves a failing call by longjmp, past which no C++ object may be
/// destroyed: the functions that call it have none.
struct Source {
  std::span<const std::byte> bytes;  // still to be read
  std::array<char, 160> message{};   // of the error
};

void read_bytes(png_structp png, png_bytep out, std::size_t size) {
  auto& source = *static_cast<Source*>(png_get_io_ptr(png));
  if (size > source.bytes.size()) png_error(png, "it ends too early");
  std::memcpy(out, source.bytes.data(), size);
  source.bytes = source.bytes.subspan(size);
}

[[noreturn]] void on_error(png_structp png, png_const_charp message) {
  auto& source = *static_cast<Source*>(png_get_error_ptr(png));
  std::snprintf(source.message.data(), source.message.size(), "%s", message);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}  // of parts that are not needed

class Decoder {
 public:
  Decoder(std::span<const std::byte> bytes, const std::string& name) : source_{bytes}, name_(name) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, on_error, on_warning);
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw std::bad_alloc();
    }
  }
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Tensor pixels() {
    const std::size_t size = source_.bytes.size();
    check_done(read_header());
    Tensor pixels = image_memory(png_get_image_height(png_, info_), png_get_image_width(png_, info_),
                                 png_get_channels(png_, info_), size, kMostPixelsPerByte, name_);
    const std::size_t row_bytes = png_get_rowbytes(png_, info_);
    std::vector<png_bytep> rows(static_cast<std::size_t>(pixels.size(0)));
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = pixels.data<std::uint8_t>() + i * row_bytes;
    check_done(read_rows(rows.data()));
    return pixels;
  }

 private:
  void check_done(bool done) const {
    check(done, name_, ": the PNG data is damaged or cut off: ", source_.message.data(),
          "; copy the file again");
  }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_set_read_fn(png_, &source_, read_bytes);
    png_read_info(png_, info_);
    png_set_expand(png_);  // palettes, fewer than 8 bits, a transparent colour
    png_set_strip_16(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

  Source source_;
  const std::string& name_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

}  // namespace

bool is_png(std::span<const std::byte> bytes) {
  return bytes.size() >= 8 && png_sig_cmp(reinterpret_cast<png_const_bytep>(bytes.data()), 0, 8) == 0;
}

Tensor decode_png(std::span<const std::byte> bytes, const std::string& name) {
  return Decoder(bytes, name).pixels();
}

}  // namespace miniparallel::io
