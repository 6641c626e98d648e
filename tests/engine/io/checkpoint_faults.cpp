// Disks that are full or read-only: the error names the file and the cause, and the old checkpoint is whole.

#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/mount.h>

#include <cerrno>
#include <cstring>
#include <thread>

namespace miniparallel {
namespace {

using testing::read_text;
using testing::TemporaryFolder;

/// Runs `body` in a thread that may mount what no other thread sees; says so where the machine forbids it.
void with_own_mounts(const std::function<void()>& body) {
  std::thread([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", "none", MS_REC | MS_PRIVATE, nullptr) != 0) {
      MESSAGE("skipped: a file system cannot be mounted here: ", std::strerror(errno));
      return;
    }
    body();
  }).join();
}

std::ptrdiff_t files_in(const TemporaryFolder& folder) {
  return std::distance(std::filesystem::directory_iterator(folder.path()), {});
}

std::string error_of_save(const std::string& file, nn::Linear& model) {
  try {
    save_checkpoint(file, {{"model", model}});
  } catch (const Error& error) {
    return error.what();
  }
  return "saved";
}

TEST_CASE("checkpoint: a full disk is an error, and the old checkpoint stays") {
  with_own_mounts([] {
    const TemporaryFolder folder;
    CHECK(::mount("none", folder.path().c_str(), "tmpfs", 0, "size=1m") == 0);
    const std::string file = folder / "run.safetensors";
    nn::Linear small(100, 100), large(1000, 1000);
    CHECK(error_of_save(file, small) == "saved");
    const std::string old = read_text(file);

    CHECK(error_of_save(file, large) ==
          file + ": cannot be written: No space left on device; the file that was there before is unchanged");
    CHECK(read_text(file) == old);
    CHECK(files_in(folder) == 1);
    CHECK(error_of_save(file, small) == "saved");  // the room is free again
    ::umount(folder.path().c_str());
  });
}

TEST_CASE("checkpoint: a folder that is read-only or missing is an error, and the old checkpoint stays") {
  with_own_mounts([] {
    const TemporaryFolder folder;
    const std::string file = folder / "run.safetensors";
    nn::Linear model(3, 3);
    CHECK(error_of_save(file, model) == "saved");
    const std::string old = read_text(file);
    CHECK(::mount(folder.path().c_str(), folder.path().c_str(), "none", MS_BIND, nullptr) == 0);
    CHECK(::mount("none", folder.path().c_str(), "none", MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    CHECK(error_of_save(file, model) == file +
                                            ": no file can be created in its folder: Read-only file system; "
                                            "the file that was there before is "
                                            "unchanged");
    load_checkpoint(file, {{"model", model}});
    ::umount(folder.path().c_str());
    CHECK(read_text(file) == old);
    CHECK(files_in(folder) == 1);
  });
  nn::Linear model(3, 3);
  const TemporaryFolder folder;
  const std::string file = folder / "none/run.safetensors";
  CHECK(
      error_of_save(file, model).starts_with(file + ": no file can be created in its folder: No such file"));
}

}  // namespace
}  // namespace miniparallel
