#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator_clock.h>
#include <miniparallel/simulator_costs.h>

#include "simulated.h"

namespace miniparallel::testing {
namespace {

TEST_CASE("the cost of gather is that of its elements, and of their positions but in rows") {
  const Simulated machine;
  const Device gpu = Device::cuda(0);
  constexpr std::int64_t n = 1000;
  const Tensor x = ones({n, 1}, {.device = gpu}), index = zeros({n, 1}, {.dtype = int64, .device = gpu});
  gather(x, 0, index);
  gather(x, 1, index);
  synchronize(gpu);
  simulator::start_clock({.memory = 1,
                          .float32 = 1,
                          .tf32 = 1,
                          .half = 1,
                          .float64 = 1,
                          .bus = 1,
                          .launch = 0,
                          .bus_latency = 0,
                          .call = 0,
                          .event = 0,
                          .hand_over = 0});
  const simulator::KernelCosts costs;
  gather(x, 0, index);
  synchronize(gpu);
  // Indices and positions of 8 bytes, then elements of 4 from one array to another.
  const double by_positions = simulator::host_time();
  CHECK(by_positions == doctest::Approx(n * (8 + 8 + 4 + 4)));
  gather(x, 1, index);
  synchronize(gpu);
  CHECK(simulator::host_time() - by_positions == doctest::Approx(n * (4 + 4)));
}

}  // namespace
}  // namespace miniparallel::testing
