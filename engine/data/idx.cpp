#include "engine/data/idx.h"

#include <miniparallel/error.h>

#include "engine/io/byte_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <sstream>

namespace miniparallel::data {
namespace {

[[noreturn]] void fail(const std::string& name, const std::string& what) { throw Error(name + ": " + what); }

std::string hex(std::byte value) {
  std::ostringstream text;
  text << "0x" << std::hex << std::to_integer<int>(value);
  return text.str();
}

DType read_dtype(std::byte code, const std::string& name) {
  switch (std::to_integer<int>(code)) {
    case 0x08:
      return uint8;
    case 0x0c:
      return int32;
    case 0x0d:
      return float32;
    case 0x0e:
      return float64;
    default:  // int8 (0x09) and int16 (0x0b) have no tensor to become
      fail(name, "IDX element type " + hex(code) +
                     " is not supported; expected 0x8 (uint8), 0xc (int32), 0xd (float32) or 0xe (float64)");
  }
}

std::int64_t read_dimension(io::ByteReader& reader) {
  std::array<std::byte, 4> bytes;
  reader.read(bytes, "a dimension of the IDX header");
  std::uint32_t value = 0;
  for (const std::byte byte : bytes) value = value << 8 | std::to_integer<std::uint32_t>(byte);
  return value;
}

void to_host_order(std::vector<std::byte>& bytes, std::size_t element) {
  if (std::endian::native == std::endian::big || element == 1) return;
  for (auto at = bytes.begin(); at != bytes.end(); at += static_cast<std::ptrdiff_t>(element)) {
    std::reverse(at, at + static_cast<std::ptrdiff_t>(element));
  }
}

}  // namespace

IdxArray parse_idx(std::span<const std::byte> file, const std::string& name) {
  io::ByteReader reader(file, name);
  std::array<std::byte, 4> magic;
  reader.read(magic, "the IDX header");
  if (magic[0] != std::byte{0} || magic[1] != std::byte{0}) {
    fail(name,
         "not an IDX file: it starts with " + hex(magic[0]) + " " + hex(magic[1]) + ", expected 0x0 0x0");
  }
  IdxArray array{.dtype = read_dtype(magic[2], name), .shape = {}, .bytes = {}};
  const auto rank = std::to_integer<std::size_t>(magic[3]);
  if (rank == 0) fail(name, "the IDX header names no dimension");

  const std::size_t element = size_of(array.dtype);
  std::uint64_t size = element;
  for (std::size_t i = 0; i < rank; ++i) {
    array.shape.push_back(read_dimension(reader));
    if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(array.shape.back()), &size)) {
      fail(name, "the sizes in the IDX header are too large");
    }
  }
  if (size > reader.most_left()) {
    fail(name, "the IDX header announces " + std::to_string(size) +
                   " bytes of elements, more than the file's " + std::to_string(file.size()) +
                   " bytes can hold");
  }
  array.bytes.resize(size);
  reader.read(array.bytes, "the IDX array");
  reader.expect_end();
  to_host_order(array.bytes, element);
  return array;
}

}  // namespace miniparallel::data
