#include "../cuda/simulated.h"
#include "machines.h"

namespace miniparallel::testing {
namespace {

void on(const simulator::Machine& machine, const std::function<void(const std::vector<Device>&)>& body) {
  const Simulated simulated(machine);
  const int count = static_cast<int>(machine.gpus.size());
  const auto seed = machine.seed;
  CAPTURE(count);
  CAPTURE(seed);
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) devices.push_back(Device::cuda(i));
  body(devices);
}

}  // namespace

void on_machine(int count, const std::function<void(const std::vector<Device>&)>& body) {
  on(simulator::machine_with(count), body);
}

void on_machines(const std::function<void(const std::vector<Device>&)>& body) {
  struct Order {
    simulator::Streams streams;
    std::uint64_t seed;  // MINIPARALLEL_SIMULATED_SEED names another one
  };
  for (const int count : {1, 2, 3, 4, 8})
    for (const Order order : {Order{simulator::Streams::lazy, 5}, Order{simulator::Streams::threaded, 0}}) {
      simulator::Machine machine = simulator::machine_with(count);
      machine.streams = order.streams;
      if (machine.seed == 0) machine.seed = order.seed;
      on(machine, body);
    }
}

}  // namespace miniparallel::testing
