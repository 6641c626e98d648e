#include "engine/io/byte_reader.h"

#include <miniparallel/error.h>

#include "tests/support/gzip.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

namespace miniparallel::io {
namespace {

using testing::as_bytes;
using testing::gzip;

std::string read_all(const std::string& bytes, std::size_t size) {
  ByteReader reader(as_bytes(bytes), "file");
  std::string text(size, '?');
  reader.read(std::as_writable_bytes(std::span(text)), "the text");
  reader.expect_end();
  return text;
}

std::string sample(std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += static_cast<char>('a' + i * i % 23);
  return text;
}

TEST_CASE("byte reader: plain and gzip give the same bytes") {
  for (const std::size_t size : {0, 1, 100, 100'000}) {
    const std::string text = sample(size);
    CHECK(read_all(text, size) == text);
    CHECK(read_all(gzip(text), size) == text);
    CHECK(read_all(gzip(text) + gzip(text), 2 * size) == text + text);
  }
}

TEST_CASE("byte reader: zeros may follow gzip data, as padding; nothing else may") {
  const std::string text = sample(300), zeros(5000, '\0');
  CHECK(read_all(gzip(text) + zeros, text.size()) == text);
  CHECK(read_all(gzip(text) + gzip(text) + '\0', 2 * text.size()) == text + text);
  CHECK_THROWS_WITH_AS(read_all(gzip(text) + zeros + 'x', text.size()),
                       doctest::Contains("bytes after the end of its gzip data"), Error);
  CHECK_THROWS_AS(read_all(gzip(text) + zeros + gzip(text), 2 * text.size()), Error);
  CHECK_THROWS_AS(read_all(gzip(text) + zeros, text.size() + 1), Error);
  CHECK_THROWS_AS(read_all(text + zeros, text.size()), Error);  // plain files have no padding
}

TEST_CASE("byte reader: gzip cut off at any byte is an error") {
  const std::string text = sample(500), packed = gzip(text);
  for (std::size_t size = 2; size < packed.size(); ++size) {
    CHECK_THROWS_AS(read_all(packed.substr(0, size), text.size()), Error);
  }
}

TEST_CASE("byte reader: gzip with any byte changed never gives other bytes") {
  const std::string text = sample(300), packed = gzip(text);
  for (std::size_t i = 0; i < packed.size(); ++i) {
    std::string damaged = packed;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    std::string read;
    try {
      read = read_all(damaged, text.size());
    } catch (const Error&) {
      continue;
    }
    if (i >= 2) CHECK(read == text);  // header fields such as the time do not matter
  }
}

TEST_CASE("byte reader: too few and too many bytes are errors") {
  CHECK_THROWS_WITH_AS(read_all("abc", 4), "file: the text needs 4 bytes, found 3; the file may be cut off",
                       Error);
  CHECK_THROWS_WITH_AS(read_all(gzip("abc"), 4),
                       "file: the text needs 4 bytes, found 3; the file may be cut off", Error);
  CHECK_THROWS_WITH_AS(read_all("abc", 2), doctest::Contains("more bytes than"), Error);
  CHECK_THROWS_WITH_AS(read_all(gzip("abc"), 2), doctest::Contains("more bytes than"), Error);
  CHECK_THROWS_WITH_AS(read_all(gzip("abc") + "x", 3), doctest::Contains("after the end"), Error);
}

TEST_CASE("byte reader: the bound on what is left holds for the best compression") {
  const std::string zeros(10'000'000, '\0'), packed = gzip(zeros);  // NOLINT: it is meant to be long
  ByteReader reader(as_bytes(packed), "file");
  CHECK(reader.most_left() >= zeros.size());
  std::string text(zeros.size() / 2, '?');
  reader.read(std::as_writable_bytes(std::span(text)), "the first half");
  CHECK(reader.most_left() >= zeros.size() - text.size());
  CHECK(ByteReader(as_bytes(zeros), "file").most_left() == zeros.size());
}

}  // namespace
}  // namespace miniparallel::io
