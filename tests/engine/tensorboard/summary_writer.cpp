#include <miniparallel/miniparallel.h>

#include "tests/support/forked.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
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
                         "add_histogram: weights has no values; pass at least one", Error);
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

/// Whether `condition` holds within ten seconds.
bool comes_true(const std::function<bool()>& condition) {
  for (int i = 0; i < 1000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST_CASE("SummaryWriter: what is written reaches the file in time without another call") {
  const testing::TemporaryFolder folder;
  SummaryWriter writer(folder.path(), {.flush_secs = 0.05});
  for (std::size_t count = 2; count < 5; ++count) {
    const auto start = std::chrono::steady_clock::now();
    writer.add_scalar("x", 1, 1);
    CHECK(comes_true([&] { return events_in(folder.path()).size() == count; }));
    CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(5));
  }
}

TEST_CASE("SummaryWriter: flush_secs") {
  const testing::TemporaryFolder folder;
  SummaryWriter at_once(folder / "0", {.flush_secs = 0}), never(folder / "1", {.flush_secs = 1e300});
  at_once.add_scalar("x", 1, 1);
  CHECK(events_in(folder / "0").size() == 2);
  never.add_scalar("x", 1, 1);
  CHECK(events_in(folder / "1").size() == 1);
  for (const double seconds : {-1.0, std::numeric_limits<double>::infinity(), double{NAN}})
    CHECK_THROWS_WITH_AS(SummaryWriter(folder / "2", {.flush_secs = seconds}),
                         doctest::Contains("flush_secs"), Error);
}

TEST_CASE("SummaryWriter: a disk that is full for a while loses nothing") {
  const testing::TemporaryFolder folder;
  SummaryWriter writer(folder.path(), {.flush_secs = 0.01});
  writer.add_scalar("x", 1, 1);
  writer.flush();
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  ::getrlimit(RLIMIT_FSIZE, &old);
  const rlimit full{std::filesystem::file_size(files_in(folder.path()).at(0)) + 7, old.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &full);
  writer.add_scalar("x", 2, 2);  // fails in the background, in the middle of the record
  std::string error;
  CHECK(comes_true([&] {
    try {
      writer.add_scalar("x", 3, 3);
    } catch (const Error& caught) {
      error = caught.what();
    }
    return !error.empty();
  }));
  CHECK(error.find("cannot be written: File too large") != std::string::npos);
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  writer.flush();
  const auto events = events_in(folder.path());
  REQUIRE(events.size() >= 4);
  for (std::size_t i = 1; i < events.size(); ++i)
    CHECK(number_at<std::int64_t>(events[i].at(2), 0) ==
          std::min<std::int64_t>(static_cast<std::int64_t>(i), 3));
}

TEST_CASE("SummaryWriter: a forked child writes nothing twice, and may write on" *
          doctest::skip(!testing::kForksWithThreads)) {
  const testing::TemporaryFolder folder;
  auto writer = std::make_unique<SummaryWriter>(folder.path(), SummaryWriterOptions{.flush_secs = 1e6});
  writer->add_scalar("parent", 1, 1);
  testing::run_forked([&] {
    writer.reset();
    return true;
  });
  CHECK(events_in(folder.path()).size() == 1);
  testing::run_forked([&] {
    writer->add_scalar("child", 2, 2);
    writer.reset();
    return true;
  });
  CHECK(events_in(folder.path()).size() == 2);
  writer->add_scalar("parent", 3, 3);
  writer.reset();
  const auto events = events_in(folder.path());
  REQUIRE(events.size() == 4);
  CHECK(value_of(events[1]).at(1) == "child");
  CHECK(value_of(events[3]).at(1) == "parent");
}

TEST_CASE("SummaryWriter: what was written just before a kill by force is in the file" *
          doctest::skip(!testing::kForksWithThreads)) {
  const testing::TemporaryFolder folder;
  const pid_t process = ::fork();
  if (process == 0) {
    SummaryWriter writer(folder.path(), {.flush_secs = 0.05});
    writer.add_scalar("x", 1, 1);
    for (;;) ::pause();
  }
  CHECK(comes_true(
      [&] { return files_in(folder.path()).size() == 1 && events_in(folder.path()).size() == 2; }));
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  CHECK(events_in(folder.path()).size() == 2);
}

TEST_CASE("SummaryWriter: exit() writes what is pending" * doctest::skip(!testing::kForksWithThreads)) {
  const testing::TemporaryFolder folder;
  const pid_t process = ::fork();
  if (process == 0) {
    ::alarm(60);
    std::fclose(stdout);
    SummaryWriter writer(folder.path(), {.flush_secs = 1e6});
    writer.add_scalar("x", 1, 1);
    std::exit(0);
  }
  int status = -1;
  REQUIRE(::waitpid(process, &status, 0) == process);
  CHECK(status == 0);
  CHECK(events_in(folder.path()).size() == 2);
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
