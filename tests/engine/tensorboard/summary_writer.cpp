#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <thread>

// Reads event files back by the rules of TensorFlow's records and of protobuf, without what wrote them. That
// TensorBoard reads them, too, is checked by tests/programs/read_log.py.

namespace miniparallel::tensorboard {
namespace {

/// Bit by bit, as the definition has it.
std::uint32_t crc32c_by_bits(const std::string& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = crc % 2 ? crc / 2 ^ 0x82f63b78 : crc / 2;
  }
  return ~crc;
}

template <class T>
T number_at(const std::string& bytes, std::size_t at) {
  T value;
  REQUIRE(at + sizeof value <= bytes.size());
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

void check_crc(const std::string& bytes, std::uint32_t masked) {
  const std::uint32_t rotated = masked - 0xa282ead8u;
  CHECK((rotated >> 17 | rotated << 15) == crc32c_by_bits(bytes));
}

std::vector<std::string> read_records(const std::string& file) {
  std::vector<std::string> records;
  for (std::size_t at = 0; at < file.size();) {
    const auto length = number_at<std::uint64_t>(file, at);
    check_crc(file.substr(at, 8), number_at<std::uint32_t>(file, at + 8));
    records.push_back(file.substr(at + 12, length));
    check_crc(records.back(), number_at<std::uint32_t>(file, at + 12 + length));
    at += 16 + length;
  }
  return records;
}

/// The fields of a message, as bytes; of one that repeats the last.
using Fields = std::map<std::uint64_t, std::string>;

std::uint64_t read_varint(const std::string& bytes, std::size_t& at) {
  std::uint64_t value = 0;
  for (int shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(at++));
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
}

Fields parse(const std::string& message) {
  Fields fields;
  for (std::size_t at = 0; at < message.size();) {
    const std::uint64_t tag = read_varint(message, at);
    std::uint64_t size = 0;
    switch (tag & 7) {
      case 0: {
        const std::uint64_t value = read_varint(message, at);
        fields[tag >> 3] = std::string(reinterpret_cast<const char*>(&value), sizeof value);
        continue;
      }
      case 1:
        size = 8;
        break;
      case 2:
        size = read_varint(message, at);
        break;
      case 5:
        size = 4;
        break;
      default:
        FAIL("no wire type: ", tag & 7);
    }
    REQUIRE(at + size <= message.size());
    fields[tag >> 3] = message.substr(at, size);
    at += size;
  }
  return fields;
}

std::vector<double> doubles(const std::string& packed) {
  std::vector<double> values(packed.size() / sizeof(double));
  std::memcpy(values.data(), packed.data(), packed.size());
  return values;
}

std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator entries(folder);
  return {begin(entries), end(entries)};
}

/// The events of the one file in a folder.
std::vector<Fields> events_in(const std::filesystem::path& folder) {
  const auto files = files_in(folder);
  REQUIRE(files.size() == 1);
  CHECK(files[0].filename().string().rfind("events.out.tfevents.", 0) == 0);
  std::vector<Fields> events;
  for (const std::string& record : read_records(testing::read_text(files[0])))
    events.push_back(parse(record));
  return events;
}

/// The Value in the Summary of an event.
Fields value_of(const Fields& event) { return parse(parse(event.at(5)).at(1)); }

TEST_CASE("SummaryWriter: records are framed and hold version, time, step, tag and value") {
  const testing::TemporaryFolder folder;
  {
    SummaryWriter writer(folder / "runs" / "a");
    CHECK(writer.log_dir() == (folder / "runs" / "a").string());
    writer.add_scalar("loss/train", 0.25, 3);
    writer.add_scalar("loss/train", -std::numeric_limits<double>::infinity(), std::int64_t{1} << 40);
    writer.add_scalar("", 1, -1);
  }
  const auto events = events_in(folder / "runs" / "a");
  REQUIRE(events.size() == 4);
  CHECK(events[0].at(3) == "brain.Event:2");
  const double now = static_cast<double>(std::time(nullptr));
  for (const Fields& event : events) CHECK(std::abs(number_at<double>(event.at(1), 0) - now) < 60);
  CHECK(number_at<std::int64_t>(events[1].at(2), 0) == 3);
  CHECK(value_of(events[1]).at(1) == "loss/train");
  CHECK(number_at<float>(value_of(events[1]).at(2), 0) == 0.25f);
  CHECK(number_at<std::int64_t>(events[2].at(2), 0) == std::int64_t{1} << 40);
  CHECK(number_at<float>(value_of(events[2]).at(2), 0) == -std::numeric_limits<float>::infinity());
  CHECK(number_at<std::int64_t>(events[3].at(2), 0) == -1);
  CHECK(value_of(events[3]).at(1).empty());
}

TEST_CASE("SummaryWriter: images and histograms") {
  const testing::TemporaryFolder folder;
  const Tensor gray = rand({4, 5}), coloured = rand({3, 4, 6});
  {
    SummaryWriter writer(folder.path());
    writer.add_image("gray", gray, 0);
    writer.add_image("coloured", coloured, 1);
    writer.add_histogram("weights", tensor<float>({-1, 0.5, 0.5, 2}), 2);
    CHECK_THROWS_WITH_AS(writer.add_histogram("weights", zeros({0}), 3),
                         "add_histogram: weights has no values", Error);
    CHECK_THROWS_AS(writer.add_image("bad", zeros({2, 2, 2}), 3), Error);
  }
  const auto events = events_in(folder.path());
  REQUIRE(events.size() == 4);
  const auto image = [&](std::size_t event) { return parse(value_of(events[event]).at(4)); };
  const auto number = [](const std::string& bytes) { return number_at<std::int64_t>(bytes, 0); };
  CHECK(number(image(1).at(1)) == 4);
  CHECK(number(image(1).at(2)) == 5);
  CHECK(number(image(1).at(3)) == 1);
  CHECK(image(1).at(4) == encode_png(gray));
  CHECK(number(image(2).at(3)) == 3);
  CHECK(image(2).at(4) == encode_png(coloured));

  const Fields histogram = parse(value_of(events[3]).at(5));
  const auto real = [&](std::uint64_t field) { return number_at<double>(histogram.at(field), 0); };
  CHECK(real(1) == -1);
  CHECK(real(2) == 2);
  CHECK(real(3) == 4);
  CHECK(real(4) == 2);
  CHECK(real(5) == 5.5);
  const auto limits = doubles(histogram.at(6)), counts = doubles(histogram.at(7));
  REQUIRE(limits.size() == counts.size());
  for (std::size_t i = 0; i < limits.size(); ++i)
    CHECK((counts[i] == 2) == (limits[i] >= 0.5 && limits[i] < 0.55));
}

TEST_CASE("SummaryWriter: threads share one; each has a file of its own; flush hands it on") {
  const testing::TemporaryFolder folder;
  SummaryWriter first(folder / "one"), second(folder / "two"), third(folder / "two");
  CHECK(files_in(folder / "two").size() == 2);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) first.add_scalar("x", i, i);
    });
  for (std::thread& thread : threads) thread.join();
  first.flush();
  CHECK(events_in(folder / "one").size() == 401);
}

TEST_CASE("SummaryWriter: a folder that cannot be made is an error") {
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "file", "");
  CHECK_THROWS_WITH_AS(SummaryWriter(folder / "file" / "log"), doctest::Contains("the folder cannot be made"),
                       Error);
  CHECK_THROWS_AS(SummaryWriter("/dev/full"), Error);
}

}  // namespace
}  // namespace miniparallel::tensorboard
