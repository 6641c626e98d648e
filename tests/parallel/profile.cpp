#include <miniparallel/miniparallel.h>

#include "machines.h"

#include <doctest/doctest.h>

#include <map>
#include <string>

// What a profile shows of a step on several devices.

namespace miniparallel {
namespace {

struct Named {
  nn::Linear fc{6, 4};
  Tensor operator()(const Tensor& x) {
    const RecordFunction record("the layer");
    return fc(x);
  }
};

TEST_CASE("profile: the work of all replicas is recorded, each forward as a range by its name") {
  testing::on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Named{}, {.devices = devices}};
    const Tensor x = randn({8, 6});
    model(x).sum().backward();
    Profiler profile("", {.table_rows = 0});
    model(x).sum().backward();
    model(x.narrow(0, 0, 2)).sum().backward();  // two rows, for two replicas
    profile.stop();
    std::map<std::string, OpStats> rows;
    for (const OpStats& row : profile.key_averages()) rows[row.name] = row;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      const std::string name = "replica " + std::to_string(i) + " on " + to_string(devices[i]);
      CAPTURE(name);
      REQUIRE(rows.contains(name));
      CHECK(rows[name].calls == (i < 2 ? 2 : 1));
      CHECK(rows[name].self < rows[name].total);  // kernels are within
    }
    CHECK(rows["the layer"].calls == 5);
    CHECK(rows["linear backward"].calls == 5);
  });
}

}  // namespace
}  // namespace miniparallel
