#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "engine/cuda/link_probe.h"
#include "engine/device/accelerator.h"
#include "messages.h"
#include "simulated.h"

#include <chrono>
#include <cstdlib>
#include <utility>

// Copies between GPUs on every sort of machine: with peer access, without, refused, and corrupting.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Simulated;

class Environment {
 public:
  explicit Environment(const char* value) { setenv("MINIPARALLEL_PEER_COPIES", value, 1); }
  ~Environment() { unsetenv("MINIPARALLEL_PEER_COPIES"); }
};

/// Sends values round all GPUs, twice, each adding its part; true when they come back right.
bool ring_is_right(int gpus) {
  Tensor x = arange(5000).to(Device::cuda(0), float32);
  for (int hop = 1; hop <= 2 * gpus; ++hop) {
    const Tensor y = x.to(Device::cuda(hop % gpus));
    x.fill_(-1);  // after the copy
    x = y + 1;
  }
  return allclose(x.cpu(), arange(5000).to(float32) + 2 * gpus, 0, 0);
}

simulator::Machine machine(int gpus, std::uint64_t seed = 0) {
  simulator::Machine machine = simulator::machine_with(gpus);
  machine.seed = seed;
  return machine;
}

TEST_CASE("peers: with access, copies go straight, access is enabled once, and nobody waits") {
  for (const int gpus : {2, 3, 4, 8}) {
    const Simulated simulated(machine(gpus));
    const Messages messages;
    CHECK(ring_is_right(gpus));
    const auto before = simulator::counters();
    CHECK(ring_is_right(gpus));
    const auto work = simulator::counters() - before;
    CHECK(work.bytes_between_devices == 2 * gpus * 5000 * 4);
    CHECK(work.host_synchronizations == 1);  // the look at the result
    CHECK(messages.list.empty());
  }
}

TEST_CASE("peers: without access, copies go through host memory, with the same result and one warning") {
  for (const int gpus : {2, 4}) {
    for (const std::uint64_t seed : {0u, 3u, 9u}) {
      simulator::Machine apart = machine(gpus, seed);
      apart.peers = simulator::Peers::none;
      const Simulated simulated(apart);
      const Messages messages;
      const auto before = simulator::counters();
      CHECK(ring_is_right(gpus));
      CHECK((simulator::counters() - before).bytes_between_devices == 0);
      REQUIRE(messages.list.size() == 1);
      CHECK(messages.list[0].find("from cuda:0 to cuda:1") != std::string::npos);
      CHECK(messages.list[0].find("the machine gives them no peer access") != std::string::npos);
      CHECK(messages.list[0].find("IOMMU") != std::string::npos);
      CHECK(messages.list[0].find("ACS") != std::string::npos);
    }
  }
}

TEST_CASE("peers: where only some links exist, the others are staged") {
  simulator::Machine ring = machine(4);
  ring.peers = simulator::Peers::ring;
  const Simulated simulated(ring);
  const Messages messages;
  CHECK(ring_is_right(4));
  CHECK(messages.list.empty());
  const Tensor x = ones({100}, {.device = Device::cuda(0)});
  CHECK(x.to(Device::cuda(2)).to_vector<float>() == std::vector<float>(100, 1));
  CHECK(messages.list.size() == 1);
}

TEST_CASE("peers: access that the program has enabled itself is used") {
  const Simulated simulated(machine(2));
  const Messages messages;
  REQUIRE(cudaDeviceEnablePeerAccess(1, 0) == cudaSuccess);
  const auto before = simulator::counters();
  CHECK(ring_is_right(2));
  CHECK((simulator::counters() - before).bytes_between_devices > 0);
  CHECK(messages.list.empty());
}

TEST_CASE("peers: a GPU that is refused more peers stages the rest") {
  simulator::Machine few = machine(5);
  few.max_peers = 2;
  const Simulated simulated(few);
  const Messages messages;
  const Tensor x = arange(3000).to(Device::cuda(0), float32);
  const auto before = simulator::counters();
  for (int peer = 1; peer < 5; ++peer)
    CHECK(allclose(x.to(Device::cuda(peer)).cpu(), arange(3000).to(float32), 0, 0));
  for (int peer = 1; peer < 5; ++peer) static_cast<void>(x.to(Device::cuda(peer)));
  CHECK((simulator::counters() - before).bytes_to_host > 0);
  REQUIRE(messages.list.size() == 1);
  CHECK(messages.list[0].find("CUDA refuses peer access: peer mapping resources exhausted") !=
        std::string::npos);
}

TEST_CASE("peers: a link that changes bytes is found by trying and not used") {
  for (const int gpus : {2, 3}) {
    const Simulated simulated(machine(gpus));
    const Messages messages;
    simulator::corrupt_link(1 % gpus, 2 % gpus, simulator::Traffic::copies);
    CHECK(ring_is_right(gpus));
    REQUIRE(messages.list.size() == 1);
    CHECK(messages.list[0].find("bytes arrive changed") != std::string::npos);
  }
}

TEST_CASE("peers: a link whose copies are right, but not what kernels read, is found and not used") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
    simulator::Machine settings = machine(3);
    settings.streams = streams;
    const Simulated simulated(settings);
    const Messages messages;
    simulator::corrupt_link(2, 1, simulator::Traffic::kernel_reads);
    CHECK(ring_is_right(3));
    CHECK_FALSE(built_accelerator()->reaches(1, 2));
    CHECK(built_accelerator()->reaches(2, 1));
    REQUIRE(messages.list.size() == 1);
    CHECK(messages.list[0].find("copies from cuda:1 to cuda:2 and others like them go through host memory, "
                                "which is slower: a kernel reads changed bytes. If") == 0);
  }
}

/// For trials of links.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds patience)
      : previous_(std::exchange(cuda::probe_patience, patience)) {}
  ~Patience() { cuda::probe_patience = previous_; }

 private:
  std::chrono::milliseconds previous_;
};

TEST_CASE("peers: a link that hangs is found by a deadline; neither it nor a link not yet tried is used") {
  const Patience patience(std::chrono::milliseconds(500));  // on a busy machine good links need some of it
  for (const int gpus : {2, 3, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
      for (const int hanging : {0, gpus - 1}) {
        CAPTURE(gpus);
        CAPTURE(hanging);
        simulator::Machine settings = machine(gpus);
        settings.streams = streams;
        Simulated simulated(settings);
        const Messages messages;
        simulator::slow_link(hanging, (hanging + 1) % gpus, 0);
        CHECK(ring_is_right(gpus));
        const auto before = simulator::counters();
        CHECK(ring_is_right(gpus));
        CHECK((simulator::counters() - before).bytes_between_devices == 2 * hanging * 5000 * 4);
        for (int gpu = 0; gpu < gpus; ++gpu) synchronize(Device::cuda(gpu));
        REQUIRE(messages.list.size() == 1);
        CHECK(messages.list[0].find("copies from cuda:" + std::to_string(hanging)) == 0);
        CHECK(messages.list[0].find("slower: a copy has not ended within 0.5 s. If") != std::string::npos);
        simulated.expect_failure();  // the link keeps the memory of its trial
      }
}

TEST_CASE("peers: a link is tried with a kernel that reads, once") {
  const Simulated simulated(machine(2));
  const Tensor used = ones({1}, {.device = Device::cuda(0)});
  const auto before = simulator::counters(0);
  CHECK(built_accelerator()->reaches(0, 1));
  CHECK((simulator::counters(0) - before).kernels == 1);
  CHECK(built_accelerator()->reaches(0, 1));
  CHECK((simulator::counters(0) - before).kernels == 1);
}

TEST_CASE("peers: the environment forces each way") {
  {
    const Environment staged("staged");
    const Simulated simulated(machine(2));
    const Messages messages;
    const auto before = simulator::counters();
    CHECK(ring_is_right(2));
    CHECK((simulator::counters() - before).bytes_between_devices == 0);
    CHECK(messages.list.empty());
  }
  {
    const Environment direct("direct");
    const Simulated simulated(machine(2));
    const Messages messages;
    simulator::corrupt_link(0, 1);
    const Tensor x = zeros({100}, {.device = Device::cuda(0)});
    CHECK(x.to(Device::cuda(1)).to_vector<float>() != std::vector<float>(100, 0));  // trusted all the same
    CHECK(messages.list.empty());
  }
  {
    const Environment direct("direct");
    simulator::Machine apart = machine(2);
    apart.peers = simulator::Peers::none;
    const Simulated simulated(apart);
    const Messages messages;
    CHECK(ring_is_right(2));  // copied by CUDA, but no kernel may read there
    CHECK_FALSE(built_accelerator()->reaches(0, 1));
    CHECK(messages.list.empty());
  }
  {
    const Environment wrong("sideways");
    const Messages messages;
    const Simulated simulated(machine(2));
    CHECK(ring_is_right(2));
    REQUIRE(messages.list.size() == 1);
    CHECK(messages.list[0].find("may be direct, staged or auto") != std::string::npos);
  }
}

TEST_CASE("peers: large staged copies use a few blocks of pinned memory in turn, and nobody waits") {
  const Environment staged("staged");
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
    simulator::Machine two = machine(2, 4);
    two.streams = streams;
    const Simulated simulated(two);
    const std::int64_t n = 150 << 20;
    Tensor expected = full({n}, 7, {.dtype = uint8});
    expected.slice(0, 0, n, 1 << 20).fill_(3);
    const Tensor x = full({n}, 7, {.dtype = uint8, .device = Device::cuda(0)});
    x.slice(0, 0, n, 1 << 20).fill_(3);
    synchronize(Device::cuda(0));
    static_cast<void>(ones({1}, {.device = Device::cuda(1)}));  // set it up
    const auto before = simulator::counters();
    const Tensor y = x.to(Device::cuda(1));
    x.slice(0, 0, n, 1 << 20).fill_(9);  // does not overtake the copy
    const auto work = simulator::counters() - before;
    CHECK(work.host_synchronizations == 0);
    CHECK(work.pinned_allocations == 4);
    CHECK(equal(y.cpu(), expected));
  }
}

}  // namespace
}  // namespace miniparallel
