#include <miniparallel/npy.h>

#include "engine/error.h"
#include "engine/files/file.h"
#include "engine/io/npy.h"
#include "engine/io/safetensors_file.h"

#define ZLIB_CONST  // next_in points to const
#include <zlib.h>

#include <cstring>
#include <limits>
#include <new>
#include <string_view>
#include <vector>

// A .npz file is a ZIP archive of .npy files (PKWARE: "APPNOTE.TXT", sections 4.3 and 4.5.3).

namespace miniparallel {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::uint32_t kLocalHeader = 0x04034b50, kDirectoryEntry = 0x02014b50, kDirectoryEnd = 0x06054b50;
constexpr std::size_t kLocalSize = 30, kEntrySize = 46, kEndSize = 22, kLongestComment = 65535;
constexpr std::uint64_t kLargestExpansion = 1032;  // of deflate
constexpr std::uint32_t kIn64Bits = 0xffffffff;    // the number is in the extra field

/// Numbers at offsets of a part of the file; throws past its end.
class Fields {
 public:
  Fields(Bytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::uint64_t at(std::size_t offset, std::size_t count) const {
    const Bytes field = part(offset, count);
    std::uint64_t value = 0;
    for (std::size_t i = count; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(field[i]);
    return value;
  }
  Bytes part(std::uint64_t offset, std::uint64_t count) const {
    check(offset <= bytes_.size() && count <= bytes_.size() - offset, name_,
          ": this .npz file ends too early; copy it again");
    return bytes_.subspan(offset, count);
  }

 private:
  Bytes bytes_;
  const std::string& name_;
};

struct Entry {
  std::string name;
  std::uint64_t method = 0, crc = 0, packed = 0, size = 0, header = 0;
};

/// Takes sizes and place of an entry from its extra field, where 32 bits do not hold them.
void read_64_bits(Entry& entry, Bytes extra, const std::string& file) {
  const Fields fields(extra, file);
  for (std::size_t at = 0; at + 4 <= extra.size();) {
    const std::size_t length = fields.at(at + 2, 2);
    if (fields.at(at, 2) == 1) {
      const Fields numbers(fields.part(at + 4, length), file);
      std::size_t next = 0;
      for (std::uint64_t* const number : {&entry.size, &entry.packed, &entry.header}) {
        if (*number != kIn64Bits) continue;
        *number = numbers.at(next, 8);
        next += 8;
      }
    }
    at += 4 + length;
  }
}

std::size_t find_directory_end(Bytes bytes, const std::string& file) {
  const Fields fields(bytes, file);
  for (std::size_t back = kEndSize; back <= bytes.size() && back <= kEndSize + kLongestComment; ++back) {
    if (fields.at(bytes.size() - back, 4) == kDirectoryEnd) return bytes.size() - back;
  }
  fail(file, ": does not end as a .npz file does; it may be cut off");
}

std::vector<Entry> read_directory(Bytes bytes, const std::string& file) {
  const Fields fields(bytes, file);
  const std::size_t end = find_directory_end(bytes, file);
  const std::uint64_t count = fields.at(end + 10, 2);
  std::uint64_t at = fields.at(end + 16, 4), packed = 0;
  check(count != 0xffff && at != kIn64Bits, file, ": has more than 65534 arrays or 4 GiB; use safetensors");
  std::vector<Entry> entries;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Fields entry(fields.part(at, kEntrySize), file);
    check(entry.at(0, 4) == kDirectoryEntry, file, ": the list of arrays is damaged; copy the file again");
    const std::uint64_t name = entry.at(28, 2), extra = entry.at(30, 2), comment = entry.at(32, 2);
    const Bytes text = fields.part(at + kEntrySize, name);
    entries.push_back({.name = {reinterpret_cast<const char*>(text.data()), text.size()},
                       .method = entry.at(10, 2),
                       .crc = entry.at(16, 4),
                       .packed = entry.at(20, 4),
                       .size = entry.at(24, 4),
                       .header = entry.at(42, 4)});
    read_64_bits(entries.back(), fields.part(at + kEntrySize + name, extra), file);
    check((entry.at(8, 2) & 1) == 0, file, ": '", entries.back().name, "' is encrypted; save it without");
    // Arrays that share their bytes could unpack to much more than the file could hold.
    check(!__builtin_add_overflow(packed, entries.back().packed, &packed) && packed <= bytes.size(), file,
          ": its arrays claim more bytes than it has; copy it again");
    at += kEntrySize + name + extra + comment;
  }
  return entries;
}

std::vector<std::byte> inflated(Bytes packed, const Entry& entry, const std::string& name) {
  check(entry.size / kLargestExpansion <= packed.size() && entry.size <= std::numeric_limits<uInt>::max() &&
            packed.size() <= std::numeric_limits<uInt>::max(),
        name, ": claims ", entry.size, " bytes, which ", packed.size(), " compressed ones cannot hold");
  std::vector<std::byte> out(entry.size);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc();
  stream.next_in = reinterpret_cast<const Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&stream, Z_FINISH);
  const bool whole = status == Z_STREAM_END && stream.avail_out == 0;
  inflateEnd(&stream);
  check(whole, name, ": its compressed data is damaged or cut off; copy the file again");
  return out;
}

std::uint32_t checksum(std::uint32_t before, Bytes bytes) {
  if (bytes.empty()) return before;  // zlib takes a null pointer for a wish to begin anew
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

Tensor read_entry(Bytes file, const Entry& entry, const std::string& name) {
  const Fields fields(file, name);
  const Fields local(fields.part(entry.header, kLocalSize), name);
  check(local.at(0, 4) == kLocalHeader, name, ": is not where the list says; copy the file again");
  const std::uint64_t begin = entry.header + kLocalSize + local.at(26, 2) + local.at(28, 2);
  const Bytes packed = fields.part(begin, entry.packed);
  std::vector<std::byte> unpacked;
  Bytes content = packed;
  if (entry.method == 8) {
    unpacked = inflated(packed, entry, name);
    content = unpacked;
  } else {
    check(entry.method == 0 && entry.size == entry.packed, name, ": is compressed by method ", entry.method,
          "; expected 0, none, or 8, deflate");
  }
  check(checksum(0, content) == entry.crc, name, ": its checksum differs; copy the file again");
  return io::parse_npy(content, name);
}

// --- writing

void append(std::string& bytes, std::uint64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> 8 * i & 0xff);
}

/// What the header before an array and its entry in the list share.
std::string shared_fields(const Entry& entry) {
  std::string bytes;
  append(bytes, 20, 2);          // version 2.0 reads it
  append(bytes, 1 << 11, 2);     // names are UTF-8
  append(bytes, 0, 2);           // no compression
  append(bytes, 0x00210000, 4);  // 1980-01-01: equal tensors give equal files
  append(bytes, entry.crc, 4);
  append(bytes, entry.packed, 4);
  append(bytes, entry.size, 4);
  append(bytes, entry.name.size(), 2);
  append(bytes, 0, 2);  // no extra field
  return bytes;
}

constexpr std::string_view kEnding = ".npy";

}  // namespace

StateDict io::parse_npz(Bytes bytes, const std::string& name) {
  StateDict arrays;
  for (const Entry& entry : read_directory(bytes, name)) {
    const std::string of = name + ": " + entry.name;
    check(entry.name.ends_with(kEnding), of, ": is no .npy file; a .npz file holds nothing else");
    const std::string key = entry.name.substr(0, entry.name.size() - kEnding.size());
    check(arrays.emplace(key, read_entry(bytes, entry, of)).second, of, ": is there twice");
  }
  return arrays;
}

StateDict load_npz(const std::string& path) { return io::parse_npz(io::read_file(path), path); }

void save_npz(const StateDict& tensors, const std::string& path) {
  io::AtomicFile file(path);
  std::string directory;
  std::uint64_t at = 0;
  for (const auto& [key, tensor] : tensors) {
    check(tensor.defined(), "save_npz: the tensor '", key,
          "' is undefined; assign it first, or leave it out");
    const Tensor plain = tensor.detach().cpu().contiguous();
    const std::string header = io::npy_header(plain, "save_npz: '" + key + "'");
    const Bytes head = std::as_bytes(std::span(header)), elements = io::bytes_of(plain);
    Entry entry{.name = key + std::string(kEnding), .header = at};
    entry.crc = checksum(checksum(0, head), elements);
    entry.size = entry.packed = head.size() + elements.size();
    check(tensors.size() < 0xffff && entry.name.size() < 0xffff && at + entry.size < kIn64Bits - (1 << 20),
          "save_npz: '", key,
          "' is past the 4 GiB or 65534 arrays of a .npz file; use save, which has no limit");

    std::string local;
    append(local, kLocalHeader, 4);
    local += shared_fields(entry) + entry.name;
    file.write(std::as_bytes(std::span(local)));
    file.write(head);
    file.write(elements);
    at += local.size() + entry.size;

    append(directory, kDirectoryEntry, 4);
    append(directory, 20, 2);
    directory += shared_fields(entry);
    append(directory, 0, 2);  // no comment
    append(directory, 0, 8);  // one disk, no attributes
    append(directory, entry.header, 4);
    directory += entry.name;
  }
  std::string end;
  append(end, kDirectoryEnd, 4);
  append(end, 0, 4);
  append(end, tensors.size(), 2);
  append(end, tensors.size(), 2);
  append(end, directory.size(), 4);
  append(end, at, 4);
  append(end, 0, 2);
  file.write(std::as_bytes(std::span(directory)));
  file.write(std::as_bytes(std::span(end)));
  file.commit();
}

}  // namespace miniparallel
