#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace miniparallel::io {

/// A regular file opened for reading; owns its descriptor.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const { return name_; }
  std::uint64_t size() const { return size_; }

  /// Fills `out` from byte `offset` on; throws where the file ends before.
  void read(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string name_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// The whole content of a regular file.
std::vector<std::byte> read_file(const std::filesystem::path& path);

/// Writes a temporary file next to `path` and puts it in the place of `path` at commit(). A reader sees the
/// old file or the whole new one at every moment, also after a crash; when a write fails the old file stays.
/// The temporary file is `.NAME.0.tmp`, locked while it is written; with several writers of one file at the
/// same time `.NAME.1.tmp`, ... (a number for NAME where that is too long for a name). One that a killed
/// process left is removed by the next writer.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();  ///< without commit() the temporary file is removed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void commit();  ///< content to disk, rename, folder to disk

 private:
  bool create_temporary();
  [[noreturn]] void fail(const char* step, int error) const;
  void close_descriptor();

  std::filesystem::path path_;
  int folder_ = -1;        // the path's; files in it are named relative to it, so names may have any length
  std::string temporary_;  // a name in the folder
  int descriptor_ = -1;
};

}  // namespace miniparallel::io
