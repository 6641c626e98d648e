#include "gpus.h"
#include "simulated.h"

namespace miniparallel::testing {

Gpus::Gpus(int count, std::uint64_t seed) : count_(count) {
  simulator::Machine machine = simulator::machine_with(count);
  if (seed != 0) machine.seed = seed;
  machine_ = std::make_shared<Simulated>(machine);
}

Gpus::~Gpus() = default;

}  // namespace miniparallel::testing
