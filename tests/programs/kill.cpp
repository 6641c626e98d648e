// Kills a program that saves in a loop, at random moments:
// the file is the old or the new one, and nothing piles up.

#include <miniparallel/miniparallel.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>
#include <thread>

namespace miniparallel {
namespace {

/// The number that the checkpoint holds; checks that its parts are of one save.
std::int64_t number_in(const std::string& file) {
  nn::Linear model(1000, 500);
  std::int64_t number = 0;
  load_checkpoint(file, {{"model", model}, {"number", number}});
  for (const Tensor& parameter : parameters(model)) {
    CHECK(parameter.amin().item() == static_cast<double>(number));
    CHECK(parameter.amax().item() == static_cast<double>(number));
  }
  return number;
}

std::ptrdiff_t files_in(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), {});
}

/// Runs save_repeatedly and kills it `delay` after it is seen to write.
void run_and_kill(const std::string& file, std::chrono::microseconds delay) {
  std::string program = MINIPARALLEL_SAVE_REPEATEDLY, argument = file;
  char* const arguments[] = {program.data(), argument.data(), nullptr};
  pid_t child = 0;
  REQUIRE(::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ) == 0);
  const auto started = std::filesystem::exists(file) ? std::filesystem::last_write_time(file)
                                                     : std::filesystem::file_time_type{};
  int status = 0;
  while (!std::filesystem::exists(file) || std::filesystem::last_write_time(file) == started) {
    if (::waitpid(child, &status, WNOHANG) != 0) FAIL("save_repeatedly ended with status ", status);
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  std::this_thread::sleep_for(delay);
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
}

TEST_CASE("a checkpoint whose writer is killed at a random moment is the old or the new one") {
  const char* wanted = std::getenv("MINIPARALLEL_KILL_ROUNDS");
  const int rounds = wanted == nullptr ? 50 : std::atoi(wanted);
  const testing::TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  std::minstd_rand random(1);
  std::int64_t last = 0;
  int in_the_middle = 0;
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    run_and_kill(file, std::chrono::microseconds(random() % 60'000));
    const auto files = files_in(folder.path());
    CHECK(files <= 2);
    in_the_middle += files == 2;  // the file and what was being written
    const std::int64_t number = number_in(file);
    CHECK(number > last);
    last = number;
  }
  CHECK(in_the_middle > 0);
  MESSAGE(rounds, " kills, ", in_the_middle, " in the middle of a save; ", last, " checkpoints");

  std::int64_t number = 0;
  save_checkpoint(file, {{"number", number}});
  CHECK(files_in(folder.path()) == 1);
}

}  // namespace
}  // namespace miniparallel
