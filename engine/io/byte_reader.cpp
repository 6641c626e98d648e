#include "engine/io/byte_reader.h"

#include <miniparallel/error.h>

#define ZLIB_CONST  // next_in points to const
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace miniparallel::io {
namespace {

// deflate cannot shrink more than this: 258 bytes from two bits (zlib, "Maximum Compression Factor").
constexpr std::uint64_t kLargestExpansion = 1032;

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1f} && bytes[1] == std::byte{0x8b};
}

uInt clamp_to_uint(std::size_t size) {
  return static_cast<uInt>(std::min<std::size_t>(size, std::numeric_limits<uInt>::max()));
}

}  // namespace

struct ByteReader::Inflater {
  Inflater() {
    constexpr int gzip_only = 16 + MAX_WBITS;
    if (inflateInit2(&stream, gzip_only) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  z_stream stream{};
  bool finished = false;
};

ByteReader::ByteReader(std::span<const std::byte> bytes, std::string name)
    : bytes_(bytes), name_(std::move(name)) {
  if (is_gzip(bytes_)) inflater_ = std::make_unique<Inflater>();
}

ByteReader::~ByteReader() = default;

std::size_t ByteReader::read_some(std::span<std::byte> out) {
  if (!inflater_) {
    const std::size_t count = std::min(out.size(), bytes_.size());
    std::copy_n(bytes_.begin(), count, out.begin());
    bytes_ = bytes_.subspan(count);
    return count;
  }
  z_stream& stream = inflater_->stream;
  while (!out.empty() && !inflater_->finished) {
    const uInt input = clamp_to_uint(bytes_.size()), room = clamp_to_uint(out.size());
    stream.next_in = reinterpret_cast<const Bytef*>(bytes_.data());
    stream.avail_in = input;
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = room;
    const int status = inflate(&stream, Z_NO_FLUSH);
    bytes_ = bytes_.subspan(input - stream.avail_in);
    const std::size_t count = room - stream.avail_out;

    if (status == Z_STREAM_END) {
      // A gzip file is one or more compressed members after each other.
      inflater_->finished = !is_gzip(bytes_);
      if (!inflater_->finished) inflateReset(&stream);
    } else if (status == Z_BUF_ERROR || (status == Z_OK && count == 0 && bytes_.empty())) {
      throw Error(name_ + ": the gzip data is cut off; copy the file again");
    } else if (status != Z_OK) {
      throw Error(name_ + ": the gzip data is damaged: " + (stream.msg ? stream.msg : "unknown") +
                  "; copy the file again");
    }
    if (count > 0) return count;
  }
  return 0;
}

void ByteReader::read(std::span<std::byte> out, const char* what) {
  const std::size_t wanted = out.size();
  while (!out.empty()) {
    const std::size_t count = read_some(out);
    if (count == 0) {
      throw Error(name_ + ": " + what + " needs " + std::to_string(wanted) + " bytes, found " +
                  std::to_string(wanted - out.size()) + "; the file may be cut off");
    }
    out = out.subspan(count);
  }
}

std::uint64_t ByteReader::most_left() const {
  const std::uint64_t left = bytes_.size();
  // The inflater may hold output of input that it has already taken: one window of it at most.
  return inflater_ ? left * kLargestExpansion + (std::uint64_t{1} << MAX_WBITS) : left;
}

void ByteReader::expect_end() {
  std::byte extra;
  if (read_some({&extra, 1}) != 0)
    throw Error(name_ + ": has more bytes than its header says; expected the end of the file");
  // Zeros are the padding of tapes and block devices, which gzip accepts too.
  if (std::ranges::any_of(bytes_, [](std::byte byte) { return byte != std::byte{0}; }))
    throw Error(name_ + ": has bytes after the end of its gzip data; expected zeros or nothing");
}

}  // namespace miniparallel::io
