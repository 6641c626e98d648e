#include "engine/files/file.h"

#include <miniparallel/error.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace miniparallel::io {
namespace {

std::string reason(int error) { return std::generic_category().message(error); }

// read and write may transfer less than asked, and more than 2 GiB at once is an error on some systems.
constexpr std::size_t kLargestTransfer = std::size_t{1} << 30;

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// A link stays a link: the file that it names is the one to replace.
std::filesystem::path follow_link(const std::filesystem::path& path) {
  std::error_code error;
  auto target = std::filesystem::canonical(path, error);
  return error ? path : target;
}

// Whether `descriptor` is still the file `name` of `folder`.
bool is_at(int descriptor, int folder, const std::string& name) {
  struct stat open{}, there{};
  return ::fstat(descriptor, &open) == 0 &&
         ::fstatat(folder, name.c_str(), &there, AT_SYMLINK_NOFOLLOW) == 0 && open.st_dev == there.st_dev &&
         open.st_ino == there.st_ino;
}

// A lock ends with its process. Where the file system has none, a file counts as taken.
bool lock(int descriptor) { return ::flock(descriptor, LOCK_EX | LOCK_NB) == 0; }

// Removes the file `name` of `folder` unless a writer holds it.
bool remove_abandoned(int folder, const std::string& name) {
  const int descriptor = ::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return errno == ENOENT;
  const bool removed =
      lock(descriptor) && is_at(descriptor, folder, name) && ::unlinkat(folder, name.c_str(), 0) == 0;
  ::close(descriptor);
  return removed;
}

/// The start of the temporary names of the file `name`: the name itself, where the folder takes names that
/// much longer, otherwise its FNV-1a hash.
std::string temporary_stem(const std::string& name, int folder) {
  constexpr std::size_t extra = sizeof ".." + sizeof "1234567890.tmp";
  const long limit = ::fpathconf(folder, _PC_NAME_MAX);
  if (name.size() + extra <= static_cast<std::size_t>(limit < 0 ? 255 : limit)) return "." + name + ".";
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return "." + std::to_string(hash) + ".";
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()) {
  // O_NONBLOCK: opening a pipe must not wait for its writer; it has no effect on a regular file.
  descriptor_ = ::open(name_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0)
    throw Error(name_ + ": cannot be opened for reading: " + reason(errno) +
                "; check the path and its permissions");
  struct stat info{};
  const bool known = ::fstat(descriptor_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    throw Error(name_ + ": not a regular file; only regular files are read");
  }
  size_ = static_cast<std::uint64_t>(info.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

void InputFile::read(std::uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const auto count =
        ::pread(descriptor_, out.data(), std::min(out.size(), kLargestTransfer), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw Error(name_ + ": cannot be read: " + reason(errno) + "; check the disk");
    if (count == 0) {
      throw Error(name_ + ": ends at byte " + std::to_string(offset) + ", " + std::to_string(out.size()) +
                  " more were expected; the file was cut off while it was read");
    }
    offset += static_cast<std::uint64_t>(count);
    out = out.subspan(static_cast<std::size_t>(count));
  }
}

std::vector<std::byte> read_file(const std::filesystem::path& path) {
  const InputFile file(path);
  std::vector<std::byte> bytes(file.size());
  file.read(0, bytes);
  return bytes;
}

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(follow_link(path)) {
  std::error_code ignored;
  const auto status = std::filesystem::status(path_, ignored);
  if (std::filesystem::is_directory(status)) fail("cannot be written", EISDIR);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw Error(path_.string() + ": not a regular file; name another, only regular files are replaced");
  folder_ = ::open(folder_of(path_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder_ < 0) fail("no file can be created in its folder", errno);
  try {
    const std::string stem = temporary_stem(path_.filename().string(), folder_);
    for (int number = 0; descriptor_ < 0; ++number) {
      temporary_ = stem + std::to_string(number) + ".tmp";
      while (!create_temporary() && remove_abandoned(folder_, temporary_)) {
      }
    }
  } catch (...) {
    ::close(folder_);
    throw;
  }
  struct stat old{};
  if (::stat(path_.c_str(), &old) == 0) ::fchmod(descriptor_, old.st_mode & 07777);
}

// False where another file has the name.
bool AtomicFile::create_temporary() {
  descriptor_ = ::openat(folder_, temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0 && errno != EEXIST) fail("no file can be created in its folder", errno);
  if (descriptor_ < 0) return false;
  // Until it is locked another writer may take it for abandoned.
  if (lock(descriptor_) ? is_at(descriptor_, folder_, temporary_) : errno != EWOULDBLOCK) return true;
  close_descriptor();
  return false;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) {
    close_descriptor();
    ::unlinkat(folder_, temporary_.c_str(), 0);
  }
  ::close(folder_);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto count = ::write(descriptor_, bytes.data(), std::min(bytes.size(), kLargestTransfer));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("cannot be written", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0) fail("cannot be written to disk", errno);
  if (::renameat(folder_, temporary_.c_str(), folder_, path_.filename().c_str()) != 0)
    fail("cannot be put in place", errno);
  close_descriptor();

  // The rename itself is on disk only once the folder is. Some network file systems cannot sync a folder.
  const int folder = ::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = folder >= 0 && ::fsync(folder) == 0;
  const int error = errno;
  if (folder >= 0) ::close(folder);
  if (!synced && error == EIO) {
    throw Error(path_.string() + ": written, but its folder could not be synced: " + reason(error) +
                "; check the disk, a crash may lose the file");
  }
}

void AtomicFile::fail(const char* step, int error) const {
  throw Error(path_.string() + ": " + step + ": " + reason(error) +
              "; the file that was there before is unchanged");
}

void AtomicFile::close_descriptor() { ::close(std::exchange(descriptor_, -1)); }

}  // namespace miniparallel::io
