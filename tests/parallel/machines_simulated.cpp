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
  for (const int count : {1, 2, 3, 4, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
      for (const bool hostile : {false, true}) {
        simulator::Machine machine = simulator::machine_with(count);
        machine.streams = streams;
        if (!hostile)
          machine.seed = 0;
        else if (machine.seed == 0)  // MINIPARALLEL_SIMULATED_SEED names another
          machine.seed = 5;
        on(machine, body);
      }
}

}  // namespace miniparallel::testing
