#include "kernels/cpu/cpu_cores.h"

#include <miniparallel/threads.h>

#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

TEST_CASE("usable_cpu_cores: at least 1") { CHECK(usable_cpu_cores() >= 1); }

TEST_CASE("control group: the tightest limit above the process counts") {
  const testing::TemporaryFolder mount;
  std::filesystem::create_directories(mount / "work/job");
  const auto cores = [&](const std::string& membership) {
    return kernels::cpu::control_group_cores(mount.path(), membership);
  };
  CHECK_FALSE(cores("0::/work/job\n").has_value());
  testing::write_text(mount / "work/cpu.max", "150000 100000\n");
  testing::write_text(mount / "work/job/cpu.max", "max 100000\n");
  CHECK(cores("0::/work/job\n") == 1.5);
  testing::write_text(mount / "work/job/cpu.max", "50000 100000\n");
  CHECK(cores("0::/work/job\n") == 0.5);
  CHECK_FALSE(cores("0::/\n").has_value());
  testing::write_text(mount / "cpu.max", "400000 100000\n");
  CHECK(cores("0::/\n") == 4);
}

TEST_CASE("control group: version 1, alone or beside version 2") {
  const testing::TemporaryFolder mount;
  std::filesystem::create_directories(mount / "cpu/work/job");
  const auto cores = [&](const std::string& membership) {
    return kernels::cpu::control_group_cores(mount.path(), membership);
  };
  const auto limit = [&](const std::string& folder, const std::string& quota) {
    testing::write_text(mount / (folder + "/cpu.cfs_quota_us"), quota + "\n");
    testing::write_text(mount / (folder + "/cpu.cfs_period_us"), "100000\n");
  };
  const std::string membership = "9:memory:/elsewhere\n4:cpu,cpuacct:/work/job\n3:cpuset:/\n0::/\n";
  CHECK_FALSE(cores(membership).has_value());
  limit("cpu/work/job", "-1");
  CHECK_FALSE(cores(membership).has_value());
  limit("cpu", "800000");
  CHECK(cores(membership) == 8);
  limit("cpu/work", "250000");
  CHECK(cores(membership) == 2.5);
  CHECK(cores("1:cpu:/not/seen/in/this/container\n") == 8);
  CHECK_FALSE(cores("3:cpuset:/work/job\nno membership\n").has_value());
  testing::write_text(mount / "cpu.max", "100000 100000\n");
  CHECK(cores(membership) == 1);
}

}  // namespace
}  // namespace miniparallel
