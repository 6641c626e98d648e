#include "engine/files/file.h"

#include <miniparallel/error.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <thread>

namespace miniparallel::io {
namespace {

using testing::as_bytes;
using testing::read_text;
using testing::TemporaryFolder;
using testing::write_text;

void write_atomically(const std::filesystem::path& path, const std::string& text) {
  AtomicFile file(path);
  file.write(as_bytes(text));
  file.commit();
}

std::ptrdiff_t files_in(const TemporaryFolder& folder) {
  return std::distance(std::filesystem::directory_iterator(folder.path()), {});
}

/// Files cannot grow past this while it lives, as on a full disk; the signal that goes with it is held off.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit old_{};
};

TEST_CASE("io: an atomic file replaces the old one only at commit") {
  const TemporaryFolder folder;
  const auto path = folder / "model.bin";
  write_atomically(path, "old");
  {
    AtomicFile file(path);
    file.write(as_bytes("new"));
    CHECK(read_text(path) == "old");
  }
  CHECK(read_text(path) == "old");
  CHECK(files_in(folder) == 1);
  write_atomically(path, "newer");
  CHECK(read_text(path) == "newer");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("io: an atomic file keeps the mode and the link of the file that it replaces") {
  const TemporaryFolder folder;
  write_text(folder / "target", "old");
  ::chmod((folder / "target").c_str(), 0640);
  std::filesystem::create_symlink(folder / "target", folder / "link");
  write_atomically(folder / "link", "new");
  CHECK(std::filesystem::is_symlink(folder / "link"));
  CHECK(read_text(folder / "target") == "new");
  struct stat info{};
  ::stat((folder / "target").c_str(), &info);
  CHECK((info.st_mode & 07777) == 0640);
}

TEST_CASE("io: what a killed writer left is replaced, what another writer holds is not") {
  const TemporaryFolder folder;
  const auto path = folder / "model.bin";
  write_text(folder / ".model.bin.0.tmp", "half of a fi");
  write_atomically(path, "new");
  CHECK(read_text(path) == "new");
  CHECK(files_in(folder) == 1);

  AtomicFile slow(path);
  slow.write(as_bytes("slow"));
  write_text(folder / ".model.bin.1.tmp", "left by another that wrote at the same time");
  write_atomically(path, "fast");
  CHECK(read_text(path) == "fast");
  CHECK(read_text(folder / ".model.bin.0.tmp") == "slow");
  CHECK(files_in(folder) == 2);
  slow.commit();
  CHECK(read_text(path) == "slow");
  CHECK(files_in(folder) == 1);

  // A name that is taken by what no writer has made is left alone.
  std::filesystem::create_directory(folder / ".model.bin.0.tmp");
  std::filesystem::create_symlink(path, folder / ".model.bin.1.tmp");
  write_atomically(path, "newest");
  CHECK(read_text(path) == "newest");
  CHECK(files_in(folder) == 3);
}

TEST_CASE("io: names as long as they get are written, also by several at once and after a kill") {
  const TemporaryFolder folder;
  for (std::size_t size = 238; size <= 255; ++size) {
    CAPTURE(size);
    const auto path = folder / std::string(size, 'n');
    write_atomically(path, "old");
    write_atomically(path, "new");
    CHECK(read_text(path) == "new");
  }
  CHECK(files_in(folder) == 255 - 238 + 1);
  {
    const auto path = folder / std::string(255, 'n');
    AtomicFile slow(path), other(folder / (std::string(254, 'n') + 'm'));
    slow.write(as_bytes("slow"));
    write_atomically(path, "fast");
    CHECK(read_text(path) == "fast");
    slow.commit();
    CHECK(read_text(path) == "slow");
  }
  CHECK(files_in(folder) == 255 - 238 + 1);
  CHECK_THROWS_WITH_AS(write_atomically(folder / std::string(256, 'n'), "x"), doctest::Contains("too long"),
                       Error);
  CHECK(files_in(folder) == 255 - 238 + 1);
}

TEST_CASE("io: paths as long as they get are written") {
  const TemporaryFolder folder;
  std::filesystem::path deep = folder.path();
  while (deep.native().size() + 202 < 4093) {
    deep /= std::string(200, 'd');
    std::filesystem::create_directory(deep);
  }
  deep /= std::string(4095 - deep.native().size() - 1, 'f');
  CHECK(deep.native().size() == 4095);
  write_atomically(deep, "text");
  CHECK(read_text(deep) == "text");
}

TEST_CASE("io: of many writers at once each leaves a whole file") {
  const TemporaryFolder folder;
  const auto path = folder / "model.bin";
  std::vector<std::thread> writers;
  for (char letter = 'a'; letter < 'e'; ++letter) {
    writers.emplace_back([&path, letter] {
      for (int i = 0; i < 50; ++i) write_atomically(path, std::string(10'000, letter));
    });
  }
  for (std::thread& writer : writers) writer.join();
  const std::string text = read_text(path);
  CHECK(text == std::string(10'000, text.at(0)));
  CHECK(files_in(folder) == 1);
}

TEST_CASE("io: a full disk leaves the old file and no other") {
  const TemporaryFolder folder;
  const auto path = folder / "model.bin";
  write_atomically(path, "old");
  {
    const FileSizeLimit limit(1000);
    CHECK_THROWS_WITH_AS(write_atomically(path, std::string(5000, 'x')), doctest::Contains("is unchanged"),
                         Error);
  }
  CHECK(read_text(path) == "old");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("io: a folder that cannot be written to is named") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(write_atomically(folder / "none/model.bin", "x"), doctest::Contains("none/model.bin"),
                       Error);
  CHECK_THROWS_WITH_AS(write_atomically(folder.path(), "x"), doctest::Contains("directory"), Error);
  ::mkfifo((folder / "pipe").c_str(), 0600);
  CHECK_THROWS_WITH_AS(write_atomically(folder / "pipe", "x"), doctest::Contains("not a regular file"),
                       Error);
  CHECK_THROWS_WITH_AS(write_atomically("/proc/model.bin", "x"), doctest::Contains("no file can be created"),
                       Error);
  if (::geteuid() == 0) return;  // root writes everywhere
  ::chmod(folder.path().c_str(), 0500);
  CHECK_THROWS_WITH_AS(write_atomically(folder / "a", "x"), doctest::Contains("Permission denied"), Error);
  ::chmod(folder.path().c_str(), 0700);
}

TEST_CASE("io: only regular files are read, and no further than they go") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_file(folder / "none"), doctest::Contains("No such file"), Error);
  CHECK_THROWS_WITH_AS(read_file(folder.path()), doctest::Contains("not a regular file"), Error);
  CHECK_THROWS_WITH_AS(read_file("/dev/zero"), doctest::Contains("not a regular file"), Error);
  ::mkfifo((folder / "pipe").c_str(), 0600);
  CHECK_THROWS_WITH_AS(read_file(folder / "pipe"), doctest::Contains("not a regular file"), Error);

  write_text(folder / "short", "abc");
  const InputFile file(folder / "short");
  CHECK(file.size() == 3);
  std::byte buffer[4];
  CHECK_THROWS_WITH_AS(file.read(0, buffer), doctest::Contains("ends at byte 3"), Error);
  CHECK(read_file(folder / "short").size() == 3);
}

}  // namespace
}  // namespace miniparallel::io
