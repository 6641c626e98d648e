#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace miniparallel::tensorboard {

/// A message in protobuf's wire format (https://protobuf.dev/programming-guides/encoding), field by field.
class ProtobufMessage {
 public:
  ProtobufMessage& add_integer(int field, std::int64_t value) {
    tag(field, kVarint);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  ProtobufMessage& add_double(int field, double value) {
    tag(field, kFixed64);
    fixed(std::bit_cast<std::uint64_t>(value));
    return *this;
  }
  ProtobufMessage& add_float(int field, float value) {
    tag(field, kFixed32);
    fixed(std::bit_cast<std::uint32_t>(value));
    return *this;
  }
  ProtobufMessage& add_bytes(int field, std::string_view bytes) {
    tag(field, kLengthDelimited);
    varint(bytes.size());
    bytes_ += bytes;
    return *this;
  }
  ProtobufMessage& add_message(int field, const ProtobufMessage& message) {
    return add_bytes(field, message.bytes_);
  }
  /// repeated double, packed
  ProtobufMessage& add_doubles(int field, const std::vector<double>& values) {
    ProtobufMessage packed;
    for (const double value : values) packed.fixed(std::bit_cast<std::uint64_t>(value));
    return add_message(field, packed);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  enum WireType { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

  void tag(int field, WireType type) { varint(static_cast<std::uint64_t>(field) << 3 | type); }

  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  template <class Bits>
  void fixed(Bits bits) {  // little-endian
    for (std::size_t i = 0; i < sizeof bits; ++i) bytes_ += static_cast<char>(bits >> 8 * i & 0xff);
  }

  std::string bytes_;
};

}  // namespace miniparallel::tensorboard
