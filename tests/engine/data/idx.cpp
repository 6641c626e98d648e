#include "engine/data/idx.h"

#include <miniparallel/error.h>

#include "tests/support/idx_files.h"

#include <doctest/doctest.h>

#include <cstring>

namespace miniparallel::data {
namespace {

using testing::as_bytes;
using testing::gzip;
using testing::idx_file;
using namespace std::string_literals;

IdxArray parse(const std::string& bytes) { return parse_idx(as_bytes(bytes), "digits.idx"); }

template <class T>
std::vector<T> values(const IdxArray& array) {
  std::vector<T> result(array.bytes.size() / sizeof(T));
  std::memcpy(result.data(), array.bytes.data(), array.bytes.size());
  return result;
}

TEST_CASE("idx: every element type, plain and gzip") {
  const std::string bytes = idx_file(8, {2, 3}, "abcdef");
  for (const auto& file : {bytes, gzip(bytes)}) {
    const IdxArray array = parse(file);
    CHECK(array.dtype == uint8);
    CHECK(array.shape == std::vector<std::int64_t>{2, 3});
    CHECK(values<char>(array) == std::vector<char>{'a', 'b', 'c', 'd', 'e', 'f'});
  }
  CHECK(values<std::int32_t>(parse(idx_file(0x0c, {2}, "\x00\x00\x01\x02\xff\xff\xff\xfe"s))) ==
        std::vector<std::int32_t>{258, -2});
  const IdxArray signed_bytes = parse(idx_file(0x09, {3}, "\x01\xff\x80"s));
  CHECK(signed_bytes.dtype == int32);
  CHECK(values<std::int32_t>(signed_bytes) == std::vector<std::int32_t>{1, -1, -128});
  const IdxArray shorts = parse(idx_file(0x0b, {2, 1}, "\x01\x02\x80\x00"s));
  CHECK(shorts.dtype == int32);
  CHECK(values<std::int32_t>(shorts) == std::vector<std::int32_t>{258, -32768});
  CHECK(values<float>(parse(idx_file(0x0d, {1, 1}, "\x40\x20\x00\x00"s))) == std::vector<float>{2.5F});
  CHECK(values<double>(parse(idx_file(0x0e, {1}, "\xbf\xf0\x00\x00\x00\x00\x00\x00"s))) ==
        std::vector<double>{-1});
  CHECK(parse(idx_file(8, {0, 28}, "")).bytes.empty());
  CHECK(parse(idx_file(9, {0}, "")).bytes.empty());
}

TEST_CASE("idx: a file cut off at any byte is an error") {
  const std::string bytes = idx_file(8, {2, 3}, "abcdef"), packed = gzip(bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    CHECK_THROWS_AS(parse(bytes.substr(0, size)), Error);
  for (std::size_t size = 0; size < packed.size(); ++size)
    CHECK_THROWS_AS(parse(packed.substr(0, size)), Error);
}

TEST_CASE("idx: errors name the file, what was found and what was expected") {
  CHECK_THROWS_WITH_AS(parse("PK\x03\x04"),
                       "digits.idx: not an IDX file: it starts with 0x50 0x4b; expected 0x0 0x0", Error);
  CHECK_THROWS_WITH_AS(parse(idx_file(0x0f, {1}, "a")), doctest::Contains("element type 0xf is not known"),
                       Error);
  CHECK_THROWS_WITH_AS(parse(idx_file(8, {}, "")), doctest::Contains("names no dimension"), Error);
  CHECK_THROWS_WITH_AS(parse(idx_file(8, {1}, "ab")), doctest::Contains("more bytes than"), Error);
}

TEST_CASE("idx: a header cannot ask for more than the file can hold") {
  CHECK_THROWS_WITH_AS(parse(idx_file(8, {0xffffffff}, "a")), doctest::Contains("announces 4294967295 bytes"),
                       Error);
  CHECK_THROWS_WITH_AS(parse(gzip(idx_file(8, {0xffffffff, 0xffff}, "a"))), doctest::Contains("announces"),
                       Error);
  CHECK_THROWS_WITH_AS(parse(idx_file(0x0e, {0xffffffff, 0xffffffff, 0xffffffff}, "a")),
                       doctest::Contains("too large"), Error);
}

}  // namespace
}  // namespace miniparallel::data
