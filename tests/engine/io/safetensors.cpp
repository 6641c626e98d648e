#include "engine/io/safetensors.h"

#include <miniparallel/error.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace miniparallel::io {
namespace {

SafetensorsHeader parse(const std::string& json, std::uint64_t data_size = 8) {
  return parse_safetensors_header(json, data_size, "w");
}

std::string golden(const std::string& name) {
  return testing::read_text(std::filesystem::path(MINIPARALLEL_TEST_DATA) / "safetensors" / name);
}

std::string entry(const std::string& fields) { return "{\"x\":{" + fields + "}}"; }

std::string two(const std::string& first, const std::string& second) {
  const std::string tail = "\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":";
  return "{\"a\":{" + tail + first + "},\"b\":{" + tail + second + "}}";
}

TEST_CASE("safetensors: headers written by Python are read, and written again byte for byte") {
  for (const std::string name : {"dtypes.safetensors", "names.safetensors", "empty.safetensors"}) {
    const std::string file = golden(name);
    REQUIRE(file.size() >= kSafetensorsPrefix);
    const auto length = parse_safetensors_prefix(file.substr(0, kSafetensorsPrefix), file.size(), name);
    const std::string json = file.substr(kSafetensorsPrefix, length);
    SafetensorsHeader header = parse(json, file.size() - kSafetensorsPrefix - length);

    SafetensorsHeader again = header;
    std::ranges::reverse(again.entries);
    lay_out_safetensors(again);
    CHECK(format_safetensors_header(again) == file.substr(0, kSafetensorsPrefix + length));
  }
}

TEST_CASE("safetensors: dtypes, shapes, ranges and metadata") {
  const auto header =
      parse(R"({"__metadata__":{"format":"pt"},"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
            R"("e":{"dtype":"I64","shape":[0,3],"data_offsets":[4,4]},"h":{"dtype":"BF16","shape":[2,1],)"
            R"("data_offsets":[4,8]}}   )");
  REQUIRE(header.entries.size() == 3);
  CHECK(header.metadata.at("format") == "pt");
  CHECK(header.entries[0].name == "s");
  CHECK(header.entries[0].shape.empty());
  CHECK(header.entries[1].dtype == int64);
  CHECK(header.entries[2].dtype == bfloat16);
  CHECK(header.entries[2].shape == std::vector<std::int64_t>{2, 1});
  CHECK(header.entries[2].begin == 4);
}

TEST_CASE("safetensors: a header that is cut off or not what it should be is an error") {
  const std::string good = entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])");
  CHECK(parse(good).entries.size() == 1);
  for (std::size_t size = 0; size < good.size(); ++size) CHECK_THROWS_AS(parse(good.substr(0, size)), Error);

  const std::pair<std::string, const char*> cases[] = {
      {"[]", "found a JSON array"},
      {"7", "found the number 7"},
      {"{\"x\":7}", "expected an object with dtype"},
      {"{\"x\":{}}", "tensor 'x': dtype, shape or data_offsets is missing"},
      {good + "{}", "not JSON"},
      {"{\"__metadata__\":{\"a\":1},", "expected a string"},
      {"{\"__metadata__\":{},\"__metadata__\":{}}", "'__metadata__' stands twice"},
      {"{\"\xff\":{}}", "not JSON"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"dtype":"F64")"), "'dtype' stands twice"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1)"), "under 'more'"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[0])"), "has 1 numbers; expected 2"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8])"), "has 3 numbers; expected 2"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,8,8])"), "found the number 8"},
      {entry(R"("dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8])"), "dtype F8_E4M3 is not supported"},
      {entry(R"("dtype":4,"shape":[8],"data_offsets":[0,8])"), "under 'dtype'"},
      {entry(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])"), "found the number -2"},
      {entry(R"("dtype":"F32","shape":[2.5],"data_offsets":[0,8])"), "found the number 2.5"},
      {entry(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])"), "found a JSON array"},
      {entry(R"("dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8])"), "99999999999999999999"},
      {entry(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8])"), "more than 8 dimensions"},
  };
  for (const auto& wrong : cases) {
    CAPTURE(wrong.first);
    CHECK_THROWS_WITH_AS(parse(wrong.first), doctest::Contains(wrong.second), Error);
  }
}

TEST_CASE("safetensors: sizes and offsets that do not agree are errors") {
  const std::pair<std::string, const char*> cases[] = {
      {entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), "hold 8 bytes; shape and dtype need 12"},
      {entry(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])"), "do not fit the 8 bytes"},
      {entry(R"("dtype":"F32","shape":[4],"data_offsets":[0,16])"), "do not fit the 8 bytes"},
      {entry(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8])"), "too many elements"},
      {entry(R"("dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0])"), "too many elements"},
      {entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4])"), "cover 4 bytes, but 8 bytes"},
      {two("[0,4]", "[2,6]"), "starts at byte 2 of the data; the one before it ends at 4"},
      {two("[0,4]", "[0,4]"), "starts at byte 0 of the data; the one before it ends at 4"},
      {"{}", "cover 0 bytes"},
  };
  for (const auto& wrong : cases) {
    CAPTURE(wrong.first);
    CHECK_THROWS_WITH_AS(parse(wrong.first), doctest::Contains(wrong.second), Error);
  }
  CHECK(parse(two("[4,8]", "[0,4]")).entries[0].name == "b");
  CHECK_THROWS_WITH_AS(parse(two("[0,4]", "[5,9]"), 9), doctest::Contains("starts at byte 5"), Error);
}

TEST_CASE("safetensors: the announced length of the header is held against the file") {
  using namespace std::string_literals;
  const auto prefix = [](const std::string& bytes, std::uint64_t size) {
    return parse_safetensors_prefix(bytes, size, "w");
  };
  CHECK(prefix("\x10\x01\0\0\0\0\0\0"s, 280) == 272);
  CHECK_THROWS_WITH_AS(prefix("\x10\x01\0\0\0\0\0\0"s, 279), doctest::Contains("a header of 272 bytes"),
                       Error);
  CHECK_THROWS_WITH_AS(prefix("\xff\xff\xff\xff\xff\xff\xff\xff"s, 100),
                       doctest::Contains("header of 18446744"), Error);
  CHECK_THROWS_WITH_AS(prefix("\xff\xff\xff\x7f\0\0\0\0"s, 1ULL << 40),
                       doctest::Contains("not a safetensors"), Error);
  CHECK_THROWS_WITH_AS(prefix("\x10\x01"s, 2), doctest::Contains("2 bytes; expected at least the 8"), Error);
}

}  // namespace
}  // namespace miniparallel::io
