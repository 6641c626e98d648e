#include "engine/error.h"
#include "engine/io/decode_image.h"

#include <jerror.h>
#include <jpeglib.h>

#include <array>
#include <csetjmp>
#include <cstdio>  // jpeglib.h needs FILE

namespace miniparallel::io {
namespace {

// The 64 pixels of a block take one bit of a Huffman code at least.
constexpr std::uint64_t kMostPixelsPerByte = 64 * 8;
constexpr int kMostScans = 500;  // as libjpeg-turbo advises: each costs the time of a whole image

/// libjpeg's state, with what its callbacks need. It leaves a failing call by longjmp, past which no C++
/// object may be destroyed: the functions that call it have none.
struct State {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf failed{};
  std::array<char, JMSG_LENGTH_MAX> message{};
};

State& state_of(j_common_ptr jpeg) { return *static_cast<State*>(jpeg->client_data); }

[[noreturn]] void on_error(j_common_ptr jpeg) {
  State& state = state_of(jpeg);
  jpeg->err->format_message(jpeg, state.message.data());
  std::longjmp(state.failed, 1);
}

/// Warnings of missing pixels, which libjpeg would make up, are errors.
void on_message(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  const int code = jpeg->err->msg_code;
  if (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE) on_error(jpeg);
}

void on_progress(j_common_ptr jpeg) {
  if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number <= kMostScans) return;
  State& state = state_of(jpeg);
  std::snprintf(state.message.data(), state.message.size(), "it has more than %d scans", kMostScans);
  std::longjmp(state.failed, 1);
}

class Decoder {
 public:
  Decoder(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {
    jpeg_decompress_struct& jpeg = state_.jpeg;
    jpeg.err = jpeg_std_error(&state_.errors);
    state_.errors.error_exit = on_error;
    state_.errors.emit_message = on_message;
    jpeg.client_data = &state_;
  }
  ~Decoder() { jpeg_destroy_decompress(&state_.jpeg); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  Tensor pixels() {
    const jpeg_decompress_struct& jpeg = state_.jpeg;
    check_done(start());
    check(!jpeg.arith_code, name_, ": is a JPEG file in arithmetic coding; convert it to the usual kind");
    check(jpeg.out_color_space != JCS_UNKNOWN, name_, ": has ", jpeg.num_components,
          " colour components; expected 1, 3 or 4");
    const bool inks = jpeg.out_color_space == JCS_CMYK;
    Tensor pixels = image_memory(jpeg.image_height, jpeg.image_width, jpeg.num_components, bytes_.size(),
                                 kMostPixelsPerByte, name_);
    check_done(
        read_rows(pixels.data<std::uint8_t>(), static_cast<std::size_t>(pixels.size(1) * pixels.size(2))));
    return inks ? without_inks(pixels) : pixels;
  }

 private:
  void check_done(bool done) const {
    check(done, name_, ": the JPEG data is damaged or cut off: ", state_.message.data(),
          "; copy the file again");
  }

  bool start() {
    jpeg_decompress_struct& jpeg = state_.jpeg;
    if (setjmp(state_.failed)) return false;
    jpeg_create_decompress(&jpeg);
    state_.progress.progress_monitor = on_progress;
    jpeg.progress = &state_.progress;
    jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_read_header(&jpeg, TRUE);
    if (jpeg.jpeg_color_space == JCS_YCCK) jpeg.out_color_space = JCS_CMYK;
    return true;
  }

  bool read_rows(JSAMPROW out, std::size_t row_bytes) {
    jpeg_decompress_struct& jpeg = state_.jpeg;
    if (setjmp(state_.failed)) return false;
    jpeg_start_decompress(&jpeg);
    while (jpeg.output_scanline < jpeg.output_height) {
      JSAMPROW row = out + jpeg.output_scanline * row_bytes;
      jpeg_read_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_decompress(&jpeg);
    return true;
  }

  /// Red, green and blue of cyan, magenta, yellow and black. Programs by Adobe store how much is left white.
  Tensor without_inks(const Tensor& inks) const {
    Tensor colours = empty({inks.size(0), inks.size(1), 3}, {.dtype = uint8});
    const std::uint8_t* in = inks.data<std::uint8_t>();
    std::uint8_t* out = colours.data<std::uint8_t>();
    const int flip = state_.jpeg.saw_Adobe_marker ? 0 : 255;
    for (std::int64_t i = 0; i < inks.numel() / 4; ++i, in += 4, out += 3) {
      for (int c = 0; c < 3; ++c)
        out[c] = static_cast<std::uint8_t>(((in[c] ^ flip) * (in[3] ^ flip) + 127) / 255);
    }
    return colours;
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  State state_;
};

}  // namespace

bool is_jpeg(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && bytes[0] == std::byte{0xff} && bytes[1] == std::byte{0xd8} &&
         bytes[2] == std::byte{0xff};
}

Tensor decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  return Decoder(bytes, name).pixels();
}

}  // namespace miniparallel::io
