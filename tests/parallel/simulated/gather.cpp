#include <miniparallel/parallel/gather.h>

#include <miniparallel/miniparallel.h>

#include "../../cuda/simulated.h"

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

using testing::Simulated;

TEST_CASE("gather: one launch, on the GPU that gets the rows, however many replicas there are") {
  for (const int gpus : {2, 4, 8}) {
    CAPTURE(gpus);
    const Simulated machine(gpus);
    std::vector<Tensor> parts, expected;
    for (int i = 0; i < gpus; ++i) {
      expected.push_back(randn({i + 1, 7}));
      parts.push_back(expected.back().to(Device::cuda(i)));
    }
    const auto launches = [&](const auto& f) {
      const simulator::Counters before = simulator::counters();
      f();
      return (simulator::counters() - before).kernels;
    };
    Tensor all = parallel::gather(parts, Device::cuda(0));  // the first tries the links out
    CHECK(launches([&] { all = parallel::gather(parts, Device::cuda(0)); }) == 1);
    CHECK(equal(all.cpu(), cat(expected)));
    // Along another dimension rows are not contiguous: a launch for each.
    std::vector<Tensor> columns;
    for (int i = 0; i < gpus; ++i) columns.push_back(expected[1].to(Device::cuda(i)));
    CHECK(launches([&] { all = parallel::gather(columns, Device::cuda(0), 1); }) == gpus);
    CHECK(equal(all.cpu(), cat(std::vector<Tensor>(static_cast<std::size_t>(gpus), expected[1]), 1)));
  }
}

}  // namespace
}  // namespace miniparallel
