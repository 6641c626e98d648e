#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "messages.h"
#include "simulated.h"

// What GPUs are, and which of them reach each other.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Simulated;

simulator::Machine machine(int gpus, simulator::Peers peers) {
  simulator::Machine machine = simulator::machine_with(gpus);
  machine.peers = peers;
  return machine;
}

std::vector<int> peers_of(int device) {
  std::vector<int> peers;
  for (const CudaLink& link : cuda_device_properties(device).links) {
    peers.push_back(link.peer);
    CHECK(link.performance_rank == 0);
    CHECK(link.atomics);
  }
  return peers;
}

TEST_CASE("properties: name, memory, multiprocessors, compute capability and PCI bus id of each GPU") {
  simulator::Machine mixed = simulator::machine_with(2);
  mixed.gpus[1] = {
      .memory = std::size_t{8} << 30, .compute_capability = 86, .multiprocessors = 46, .name = "Small GPU"};
  const Simulated gpus(mixed);
  const CudaDeviceProperties first = cuda_device_properties(), second = cuda_device_properties(1);
  CHECK(first.name == "Simulated GPU");
  CHECK(first.multi_processor_count == 132);
  CHECK(first.major == 9);
  CHECK(first.minor == 0);
  CHECK(second.name == "Small GPU");
  CHECK(second.total_memory == std::int64_t{8} << 30);
  CHECK(second.multi_processor_count == 46);
  CHECK(second.major == 8);
  CHECK(second.minor == 6);
  CHECK(first.pci_bus_id == "0000:01:00.0");
  CHECK(second.pci_bus_id == "0000:02:00.0");
}

TEST_CASE("properties: the links are those that the driver offers") {
  {
    const Simulated gpus(machine(4, simulator::Peers::all));
    CHECK(peers_of(1) == std::vector<int>{0, 2, 3});
  }
  {
    const Simulated gpus(machine(4, simulator::Peers::ring));
    CHECK(peers_of(1) == std::vector<int>{0, 2});
  }
  const Simulated gpus(machine(4, simulator::Peers::none));
  CHECK(peers_of(1).empty());
}

TEST_CASE("properties: a GPU that does not exist is named") {
  const Simulated gpus(2);
  CHECK_THROWS_WITH_AS(cuda_device_properties(2), doctest::Contains("cuda:2: there is no such device"),
                       Error);
  CHECK_THROWS_AS(cuda_device_properties(-1), Error);
}

TEST_CASE("properties: asking sets no GPU up") {
  const Simulated gpus(2);
  static_cast<void>(cuda_device_properties(1));
  CHECK(simulator::counters().allocations == 0);
}

TEST_CASE("reaches: a link counts when real data came through it") {
  const Simulated gpus(machine(3, simulator::Peers::all));
  const Messages messages;
  Accelerator& owner = accelerator(Device::cuda(0));
  simulator::corrupt_link(0, 1);
  CHECK(owner.reaches(0, 0));
  CHECK_FALSE(owner.reaches(0, 1));
  CHECK(owner.reaches(1, 2));
  CHECK(messages.list.size() == 1);
}

}  // namespace
}  // namespace miniparallel
