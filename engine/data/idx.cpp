#include "engine/data/idx.h"

#include <miniparallel/error.h>

#include "engine/io/byte_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

namespace miniparallel::data {
namespace {

[[noreturn]] void fail(const std::string& name, const std::string& what) { throw Error(name + ": " + what); }

std::string hex(std::byte value) {
  char digits[2];
  return "0x" + std::string(digits, std::to_chars(digits, digits + 2, std::to_integer<int>(value), 16).ptr);
}

/// An element type: its bytes in the file, and the dtype that it becomes.
struct Element {
  std::size_t size;
  DType dtype;
};

Element read_element(std::byte code, const std::string& name) {
  switch (std::to_integer<int>(code)) {
    case 0x08:
      return {1, uint8};
    case 0x09:
      return {1, int32};
    case 0x0b:
      return {2, int32};
    case 0x0c:
      return {4, int32};
    case 0x0d:
      return {4, float32};
    case 0x0e:
      return {8, float64};
    default:
      fail(name, "IDX element type " + hex(code) +
                     " is not known; expected 0x8 (uint8), 0x9 (int8), 0xb (int16), 0xc (int32), "
                     "0xd (float32) or 0xe (float64)");
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

/// Whole numbers of type Narrow as int32.
template <class Narrow>
std::vector<std::byte> widen(const std::vector<std::byte>& bytes) {
  std::vector<std::byte> wide(bytes.size() / sizeof(Narrow) * sizeof(std::int32_t));
  for (std::size_t i = 0; i < bytes.size() / sizeof(Narrow); ++i) {
    Narrow narrow;
    std::memcpy(&narrow, bytes.data() + i * sizeof narrow, sizeof narrow);
    const std::int32_t value = narrow;
    std::memcpy(wide.data() + i * sizeof value, &value, sizeof value);
  }
  return wide;
}

}  // namespace

IdxArray parse_idx(std::span<const std::byte> file, const std::string& name) {
  io::ByteReader reader(file, name);
  std::array<std::byte, 4> magic;
  reader.read(magic, "the IDX header");
  if (magic[0] != std::byte{0} || magic[1] != std::byte{0}) {
    fail(name,
         "not an IDX file: it starts with " + hex(magic[0]) + " " + hex(magic[1]) + "; expected 0x0 0x0");
  }
  const Element element = read_element(magic[2], name);
  IdxArray array{.dtype = element.dtype, .shape = {}, .bytes = {}};
  const auto rank = std::to_integer<std::size_t>(magic[3]);
  if (rank == 0) fail(name, "the IDX header names no dimension; expected at least one");

  std::uint64_t size = element.size;
  for (std::size_t i = 0; i < rank; ++i) {
    array.shape.push_back(read_dimension(reader));
    if (__builtin_mul_overflow(size, static_cast<std::uint64_t>(array.shape.back()), &size)) {
      fail(name, "the sizes in the IDX header are too large; expected less than 2^64 bytes");
    }
  }
  if (size > reader.most_left()) {
    fail(name, "the IDX header announces " + std::to_string(size) +
                   " bytes of elements, more than the file's " + std::to_string(file.size()) +
                   " bytes can hold; the file may be cut off");
  }
  array.bytes.resize(size);
  reader.read(array.bytes, "the IDX array");
  reader.expect_end();
  to_host_order(array.bytes, element.size);
  if (element.dtype == int32 && element.size == 1) array.bytes = widen<std::int8_t>(array.bytes);
  if (element.dtype == int32 && element.size == 2) array.bytes = widen<std::int16_t>(array.bytes);
  return array;
}

}  // namespace miniparallel::data
