#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace miniparallel::io {

/// Reads a byte string front to back, inflating it on the way when it starts as a gzip file does (1f 8b).
class ByteReader {
 public:
  /// `bytes` must outlive the reader; `name` is the file that errors speak of.
  ByteReader(std::span<const std::byte> bytes, std::string name);
  ~ByteReader();

  /// Fills `out`; the error for bytes that end too early says that `what` was to be read.
  void read(std::span<std::byte> out, const char* what);

  /// No more than this many bytes are left. A size that a header claims is checked against it before memory
  /// is allocated, so that a small file cannot ask for much.
  std::uint64_t most_left() const;

  /// Throws unless everything was read and, for gzip, the checksum agrees; zeros may follow gzip data.
  void expect_end();

 private:
  struct Inflater;

  std::size_t read_some(std::span<std::byte> out);  // 0 at the end

  std::span<const std::byte> bytes_;
  std::string name_;
  std::unique_ptr<Inflater> inflater_;
};

}  // namespace miniparallel::io
