#include <miniparallel/miniparallel.h>

#include "engine/tensor/tensor_impl.h"
#include "messages.h"
#include "simulated.h"

#include <functional>
#include <vector>

// Batches of a DataLoader that are made in page-locked memory, from which GPUs copy without the host.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

bool is_pinned(const Tensor& tensor) { return tensor.impl()->storage->is_pinned(); }

std::int64_t pinned_allocations() { return simulator::counters().pinned_allocations; }

struct Example {
  Tensor x;
  std::int64_t label;
};

/// Example i is 1,000 times the number i.
struct Numbers {
  std::int64_t size() const { return 60; }
  Example get(std::int64_t i) const { return {full({1000}, static_cast<float>(i)), i}; }
};

data::DataLoaderOptions pinned(int workers = 0) {
  return {.batch_size = 3, .num_workers = workers, .pin_memory = true};
}

void in_every_order(int gpus, const std::function<void(simulator::Streams)>& body) {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const std::uint64_t seed : {0u, 3u, 8u}) {
      simulator::Machine machine = simulator::machine_with(gpus);
      machine.streams = streams;
      machine.seed = seed;
      const Simulated simulated(machine);
      body(streams);
    }
}

TEST_CASE("pinned batches: are sent as they are") {
  for (const bool pin : {true, false}) {
    CAPTURE(pin);
    const Simulated machine;
    data::DataLoader batches(Numbers{}, {.batch_size = 3, .pin_memory = pin});
    auto at = batches.begin();
    const auto& [x, labels] = *at;
    CHECK(is_pinned(x) == pin);
    CHECK(is_pinned(labels) == pin);
    CHECK_FALSE(is_pinned(x + 1));  // what the program makes of them is not
    const auto before = simulator::counters();
    const Tensor sent = x.to(gpu);
    CHECK((simulator::counters() - before).pinned_allocations == (pin ? 0 : 1));  // a block to go through
    CHECK((simulator::counters() - before).bytes_to_device == 12'000);
    if (pin) CHECK((simulator::counters() - before).host_synchronizations == 0);
    CHECK(equal(sent.cpu(), x));
    CHECK(equal(labels.to(gpu).cpu(), tensor({0, 1, 2})));
  }
}

TEST_CASE("pinned batches: memory is used again only after its copy, which the host may have outrun") {
  for (const int workers : {0, 2})
    in_every_order(1, [&](simulator::Streams) {
      std::vector<Tensor> sent;
      data::DataLoader batches(Numbers{}, pinned(workers));
      for (auto& [x, labels] : batches) sent.push_back(x.to(gpu));
      for (std::size_t i = 0; i < sent.size(); ++i)
        CHECK(equal(sent[i].cpu().select(1, 999), arange(3).to(float32) + 3.0 * static_cast<double>(i)));
    });
}

TEST_CASE("pinned batches: a write waits for the copies, through views and pointers too") {
  const std::vector<std::function<void(Tensor&)>> writes = {
      [](Tensor& x) { x.fill_(-1); },
      [](Tensor& x) { x.narrow(0, 1, 1).mul_(5); },
      [](Tensor& x) { x.copy_(zeros({3, 1000})); },
      [](Tensor& x) { x.data<float>()[1500] = -1; },
      [](Tensor& x) { x.uniform_(); },
  };
  in_every_order(1, [&](simulator::Streams) {
    for (const auto& write : writes) {
      data::DataLoader batches(Numbers{}, pinned());
      auto at = batches.begin();
      auto& [x, labels] = *at;
      const Tensor expected = x.clone(), sent = x.to(gpu);
      write(x);
      CHECK_FALSE(equal(x, expected));
      CHECK(equal(sent.cpu(), expected));
      const Tensor again = x.to(gpu);
      CHECK(equal(again.cpu(), x));
    }
  });
}

TEST_CASE("pinned batches: a batch that is only read, or was never sent, waits for nothing") {
  const Simulated machine;
  data::DataLoader batches(Numbers{}, pinned());
  auto at = batches.begin();
  auto& [x, labels] = *at;
  const auto waits = [before = simulator::counters().host_synchronizations] {
    return simulator::counters().host_synchronizations - before;
  };
  x.add_(1);
  const Tensor sent = x.to(gpu), y = x * 2;
  CHECK(waits() == 0);
  x.add_(1);
  CHECK(waits() == 1);
  x.add_(1);
  CHECK(waits() == 1);
}

TEST_CASE("pinned batches: steady steps pin no more memory") {
  in_every_order(1, [](simulator::Streams streams) {
    nn::Linear fc(1000, 60);
    to(fc, gpu);
    const auto epoch = [&](int workers) {
      std::vector<std::int64_t> counts;
      data::DataLoader batches(Numbers{}, pinned(workers));
      for (auto& [x, labels] : batches) {
        CHECK(cross_entropy(fc(x.to(gpu)), labels.to(gpu)).item() >= 0);
        counts.push_back(pinned_allocations());
      }
      return counts;
    };
    const std::vector<std::int64_t> alone = epoch(0);
    // A stream with a thread of its own may be late to say that a copy is done: then one
    // block more takes turns.
    CHECK(alone.back() - alone[3] <= (streams == simulator::Streams::lazy ? 0 : 6));
    CHECK(epoch(2).back() - alone.back() <= 2 * (1 + 4 + 2));
  });
}

TEST_CASE("pinned batches: where no more memory can be pinned they are pageable, which one warning says") {
  simulator::Machine machine = simulator::machine_with(1);
  machine.pinned_memory = 8 << 10;
  const Simulated simulated(machine);
  const testing::Messages messages;
  data::DataLoader batches(Numbers{}, pinned());
  double sum = 0;
  for (auto& [x, labels] : batches) {
    CHECK_FALSE(is_pinned(x));
    sum += x.to(gpu).sum().item();
  }
  CHECK(sum == 1000 * 59 * 30);
  REQUIRE(messages.list.size() == 1);
  CHECK(messages.list[0].find("the system pins no more host memory: 12000 bytes were asked for") == 0);
}

/// A dataset whose rows are on the GPU: its batches come back to the host.
struct Remote {
  Tensor rows = arange(6000).to(gpu, float32).view({6, 1000});
  std::int64_t size() const { return 6; }
  Tensor get_batch(std::span<const std::int64_t> indices) const {
    return (rows.narrow(0, indices[0], std::ssize(indices)) + 1).cpu();
  }
};

TEST_CASE("pinned batches: what comes from a GPU is there when the batch is") {
  in_every_order(1, [](simulator::Streams) {
    data::DataLoader batches(Remote{}, pinned());
    double next = 1;
    for (const Tensor& x : batches) {
      CHECK(is_pinned(x));
      CHECK(equal(x.view({3000}), arange(3000).to(float32) + next));
      next += 3000;
    }
  });
}

TEST_CASE("pinned batches: each GPU of a DataParallel copies its rows from them") {
  in_every_order(4, [](simulator::Streams) {
    nn::Linear net(1000, 4), alone = clone(net);
    DataParallel model{net};
    model(randn({10, 1000}, {.device = gpu}));  // tries the links between GPUs
    data::DataLoader batches(Numbers{}, {.batch_size = 10, .pin_memory = true});
    for (auto& [x, labels] : batches) {
      const auto before = pinned_allocations();
      const Tensor y = model(x);
      CHECK(pinned_allocations() == before);
      CHECK(allclose(y.cpu(), alone(x), 1e-5, 1e-4));
    }
  });
}

}  // namespace
}  // namespace miniparallel
