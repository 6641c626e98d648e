#include <miniparallel/miniparallel.h>

#include "messages.h"
#include "nets.h"
#include "simulated.h"

// The page-locked host memory that copies go through, and machines that have little of it.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

TEST_CASE("pinned memory: a block is used again only after its copy, which the host may have outrun") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const std::uint64_t seed : {0u, 3u, 8u}) {
      simulator::Machine one = simulator::machine_with(1);
      one.streams = streams;
      one.seed = seed;
      const Simulated machine(one);
      std::vector<Tensor> copies;
      for (int i = 0; i < 20; ++i) copies.push_back(full({5000}, i).to(gpu));
      for (int i = 0; i < 20; ++i)
        CHECK(copies[static_cast<std::size_t>(i)].to_vector<float>() ==
              std::vector<float>(5000, static_cast<float>(i)));
      synchronize(gpu);  // all copies are done, and known to be: their blocks are free
      const auto before = simulator::counters();
      for (int i = 0; i < 3; ++i) copies.push_back(full({5000}, i).to(gpu));
      CHECK((simulator::counters() - before).pinned_allocations == 0);
    }
}

/// Two GPUs without peer access, so that copies between them go through host memory too.
simulator::Machine apart(std::size_t pinned_bytes) {
  simulator::Machine machine = simulator::machine_with(2);
  machine.peers = simulator::Peers::none;
  machine.pinned_memory = pinned_bytes;
  return machine;
}

/// The losses of a net whose batches come from the host and whose logits go to the other GPU.
std::vector<float> losses() {
  manual_seed(4);
  const Device other = Device::cuda(1);
  testing::Mlp net;
  to(net, gpu);
  optim::Adam optimizer(parameters(net), {.lr = 1e-2});
  std::vector<float> all;
  for (int step = 0; step < 3; ++step) {
    const Tensor inputs = randn({500, 20}), targets = randint(0, 5, {500});
    const Tensor loss = cross_entropy(net(inputs.to(gpu)).to(other), targets.to(other));
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
    all.push_back(loss.item<float>());
  }
  return all;
}

std::vector<float> losses_on(const simulator::Machine& machine) {
  const Simulated simulated(machine);
  return losses();
}

TEST_CASE("pinned memory used up: cached blocks are given back first") {
  simulator::Machine one = simulator::machine_with(1);
  one.pinned_memory = 1 << 20;
  const Simulated machine(one);
  const testing::Messages messages;
  const Tensor first = ones({150'000}).to(gpu), second = full({200'000}, 2.0).to(gpu);
  CHECK(first.to_vector<float>() == std::vector<float>(150'000, 1));
  CHECK(second.to_vector<float>() == std::vector<float>(200'000, 2));
  CHECK(simulator::pinned_bytes_in_use() < 1 << 20);
  CHECK(messages.list.empty());
}

TEST_CASE("pinned memory used up: copies go through pageable memory, which one warning says") {
  const testing::Messages silent;
  const std::vector<float> expected = losses_on(apart(1 << 30));
  REQUIRE(silent.list.size() == 1);  // of the missing peer access
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const std::size_t bytes : {4u << 10, 8u << 10, 20u << 10}) {  // a batch takes 40 KiB
      simulator::Machine machine = apart(bytes);
      machine.streams = streams;
      const testing::Messages messages;
      CHECK(losses_on(machine) == expected);
      REQUIRE(messages.list.size() == 2);
      CHECK(messages.list[0].find("the system pins no more host memory: 40000 bytes were asked for, 0 are in "
                                  "use. Copies to GPUs, ") == 0);
    }
}

TEST_CASE("pinned memory used up: a large copy goes through what there is of both sorts") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
    simulator::Machine machine = apart(40 << 20);  // two of four blocks
    machine.streams = streams;
    const Simulated simulated(machine);
    const testing::Messages messages;
    const std::int64_t n = 70 << 20;
    Tensor expected = full({n}, 7, {.dtype = uint8});
    expected.slice(0, 0, n, 1 << 20).fill_(3);
    const Tensor x = expected.to(gpu);
    const Tensor y = x.to(Device::cuda(1));
    x.slice(0, 0, n, 1 << 20).fill_(9);  // does not overtake the copy
    CHECK(equal(y.cpu(), expected));
    CHECK(simulator::pinned_bytes_in_use() >= 32 << 20);
    CHECK(messages.list.size() == 2);
  }
}

TEST_CASE("pinned memory: whichever allocation fails, training goes on with the same numbers") {
  const testing::Messages silent;
  std::vector<float> expected;
  int allocations = 0;
  {
    const Simulated machine(apart(1 << 30));
    expected = losses();
    allocations = static_cast<int>(simulator::counters().pinned_allocations);
  }
  REQUIRE(allocations > 4);
  for (int nth = 1; nth <= allocations; ++nth) {
    CAPTURE(nth);
    const Simulated machine(apart(1 << 30));
    simulator::fail_call("cudaHostAlloc", nth);
    CHECK(losses() == expected);
  }
  int failures = 0;
  for (int nth = 1; nth <= allocations; ++nth) {
    CAPTURE(nth);
    const Simulated machine(apart(1 << 30));
    simulator::fail_call("cudaHostAlloc", nth);
    simulator::fail_call("cudaHostAlloc", nth + 1);  // also when it is tried again
    try {
      const std::vector<float> found = losses();
      CHECK(found == expected);
    } catch (const OutOfMemoryError& error) {  // what kernels report to cannot lie elsewhere
      CHECK(std::string(error.what()).find(": out of memory: a word of pinned host memory was asked for") !=
            std::string::npos);
      ++failures;
      CHECK(losses() == expected);
    }
  }
  CHECK(failures == 1);
}

TEST_CASE("without any pinned memory only what reports bad indices is refused") {
  const Simulated machine(apart(0));
  const testing::Messages messages;
  const Tensor x = arange(1000).to(gpu, float32);
  CHECK((x + x).sum().item() == 999'000);
  CHECK(x.to(Device::cuda(1)).sum().item() == 499'500);
  CHECK_THROWS_WITH_AS(index_select(x, 0, tensor({3}).to(gpu)),
                       "cuda:0: out of memory: a word of pinned host memory was asked for, and cached memory "
                       "has been given back; "
                       "use a smaller batch or free tensors",
                       OutOfMemoryError);
  CHECK((x * 2).sum().item() == 999'000);
}

}  // namespace
}  // namespace miniparallel
