#include <miniparallel/miniparallel.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <chrono>
#include <thread>

// What a wrapper tells of a machine, asked or by itself.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Mlp;
using testing::Simulated;

simulator::Machine machine(int gpus, simulator::Peers peers) {
  simulator::Machine machine = simulator::machine_with(gpus);
  machine.peers = peers;
  return machine;
}

TEST_CASE("describe: devices, replicas, links and rows") {
  {
    simulator::Machine mixed = simulator::machine_with(2);
    mixed.gpus[1] = {.memory = std::size_t{12} << 30,
                     .compute_capability = 86,
                     .multiprocessors = 100,
                     .name = "Small GPU"};
    const Simulated simulated(mixed);
    DataParallel model{Mlp{}, {.replicas = 3}};
    CHECK(model.describe() ==
          "DataParallel: 3 replicas on 2 devices, outputs on cuda:0\n"
          "  cuda:0: Simulated GPU, 16.0 GiB, 132 multiprocessors, compute capability 9.0, 0000:01:00.0; "
          "replicas 0, 1\n"
          "  cuda:1: Small GPU, 12.0 GiB, 100 multiprocessors, compute capability 8.6, 0000:02:00.0; replica "
          "2\n"
          "  copies between GPUs: direct\n"
          "  parameters: sent in one part, before the forward\n"
          "  sums of gradients: direct\n"
          "  rows: balanced\n");
    model(zeros({10, 6}));
    CHECK(model.describe().ends_with("  rows: balanced; the last batch 4, 3, 3\n"));
    model(zeros({2, 6}));
    CHECK(model.describe().ends_with("  rows: balanced; the last batch 1, 1 on replicas 0, 1\n"));
  }
  {
    const Simulated simulated(machine(4, simulator::Peers::ring));
    const Messages messages;
    DataParallel model{Mlp{}, {.output_device = Device::cpu(), .split = Split::sizes({1, 1, 1, 5})}};
    const std::string text = model.describe();
    CHECK(text.starts_with("DataParallel: 4 replicas on 4 devices, outputs on cpu\n"));
    CHECK(text.ends_with(
        "  copies between GPUs: direct, but through host memory between cuda:0 and cuda:2, cuda:1 "
        "and cuda:3\n  parameters: sent in one part, before the forward\n"
        "  sums of gradients: direct, host where cuda:0 has no link\n  rows: sizes {1, 1, 1, 5}\n"));
  }
  {
    const Simulated simulated(2);
    CHECK(DataParallel{testing::Deep{}}.describe().find(
              "  parameters: sent in 2 parts, while the forward runs\n") != std::string::npos);
  }
  {
    const Simulated simulated(2);
    DataParallel model{Mlp{}, {.shard_optimizer = true}};
    CHECK(
        model.describe().ends_with("  sums of gradients: each GPU those of its share\n"
                                   "  optimizer: sharded; at most 0.0 GiB used on cuda:0, 0.0 GiB on cuda:1\n"
                                   "  rows: balanced\n"));
    DataParallel alone{Mlp{}, {.devices = {0}, .shard_optimizer = true}};
    CHECK(alone.describe().find("optimizer") == std::string::npos);
  }
  {
    const auto sums = [](const DataParallelOptions& options) {
      const std::string text = DataParallel{Mlp{}, options}.describe();
      const std::size_t begin = text.find("  sums of gradients: ") + 21;
      return text.substr(begin, text.find('\n', begin) - begin);
    };
    const Messages messages;
    const Simulated simulated(machine(4, simulator::Peers::ring));
    CHECK(sums({.shard_optimizer = true}) ==
          "each GPU those of its share, through host memory where there is no link");
    CHECK(sums({.devices = {0, 1}, .reduction = GradientReduction::host, .shard_optimizer = true}) ==
          "each GPU those of its share, through host memory");
    CHECK(sums({.devices = {0, 1}, .reduction = GradientReduction::nccl, .shard_optimizer = true}) == "nccl");
  }
  const Simulated simulated(machine(3, simulator::Peers::none));
  const Messages messages;
  DataParallel model{Mlp{}, {.devices = {2, 0}, .split = Split::shares({1, 3})}};
  model(zeros({8, 6}));
  CHECK(model.describe() ==
        "DataParallel: 2 replicas on 2 devices, outputs on cuda:2\n"
        "  cuda:2: Simulated GPU, 16.0 GiB, 132 multiprocessors, compute capability 9.0, 0000:03:00.0; "
        "replica 0\n"
        "  cuda:0: Simulated GPU, 16.0 GiB, 132 multiprocessors, compute capability 9.0, 0000:01:00.0; "
        "replica 1\n"
        "  copies between GPUs: through host memory\n"
        "  parameters: sent in one part, before the forward\n"
        "  sums of gradients: host\n"
        "  rows: shares {1, 3}; the last batch 2, 6\n");
}

TEST_CASE("hints: GPUs that differ by more than a quarter, once at set-up") {
  const auto told = [](const simulator::Gpu& second, const DataParallelOptions& options) {
    simulator::Machine mixed = simulator::machine_with(3);
    mixed.gpus[1] = second;
    const Simulated simulated(mixed);
    const Messages messages;
    DataParallel model{Mlp{}, options};
    model(zeros({12, 6}));
    model(zeros({12, 6}));
    return messages.list;
  };
  using Lines = std::vector<std::string>;
  const simulator::Gpu slow{.multiprocessors = 98}, small{.memory = std::size_t{11} << 30};
  CHECK(told(slow, {}) == Lines{"DataParallel: cuda:1 (16.0 GiB, 98 multiprocessors) and cuda:0 (16.0 GiB, "
                                "132 multiprocessors) get "
                                "the same number of rows, and the faster one waits; .split = Split::by_speed "
                                "divides them by speed"});
  CHECK(told(small, {.split = Split::torch_chunk}) ==
        Lines{"DataParallel: cuda:1 (11.0 GiB, 132 multiprocessors) and cuda:0 (16.0 GiB, 132 "
              "multiprocessors) get "
              "the same number of rows, and the faster one waits; .split = Split::by_speed divides them by "
              "speed"});
  CHECK(told(slow, {.split = Split::by_speed}) == Lines{});
  CHECK(told(slow, {.split = Split::shares({4, 3, 4})}) == Lines{});
  CHECK(told(slow, {.hints = false}) == Lines{});
  CHECK(told({.memory = std::size_t{12} << 30, .multiprocessors = 99}, {}) == Lines{});
}

TEST_CASE("hints: a batch that leaves GPUs idle, and one that comes through the first GPU, once each") {
  const Simulated simulated(4);
  const Messages messages;
  DataParallel model{Mlp{}};
  auto new_lines = [&, seen = std::size_t{0}]() mutable {
    const std::vector<std::string> lines(messages.list.begin() + static_cast<std::ptrdiff_t>(seen),
                                         messages.list.end());
    seen = messages.list.size();
    return lines;
  };
  using Lines = std::vector<std::string>;
  model(zeros({0, 6}));
  model(zeros({8, 6}));
  CHECK(new_lines() == Lines{});
  model(zeros({3, 6}));
  CHECK(new_lines() ==
        Lines{"DataParallel: a batch of 3 rows gives work to 3 of 4 GPUs; larger batches use all"});
  model(zeros({2, 6}));
  CHECK(new_lines() == Lines{});
  const Tensor on_first = zeros({8, 6}, {.device = model.device()});
  model(zeros({8, 6}, {.device = Device::cuda(1)}));
  model(on_first.detach().clone().requires_grad_());  // what another model made is where it is
  CHECK(new_lines() == Lines{});
  model(on_first);
  CHECK(
      new_lines() ==
      Lines{"DataParallel: the batch is on cuda:0 and goes to the other GPUs from there; without .to(device) "
            "each GPU gets its rows straight from host memory"});
  model(on_first);
  CHECK(new_lines() == Lines{});
  DataParallel quiet{Mlp{}, {.hints = false}};
  quiet(on_first);
  quiet(zeros({2, 6}));
  CHECK(new_lines() == Lines{});
}

TEST_CASE("hints: GPUs without peer access, once") {
  const Simulated simulated(machine(2, simulator::Peers::none));
  const Messages messages;
  DataParallel model{Mlp{}};
  model(zeros({8, 6}));
  model(zeros({8, 6}));
  REQUIRE(messages.list.size() == 1);
  CHECK(messages.list[0] ==
        "copies from cuda:0 to cuda:1 and others like them go through host memory, which is slower: the "
        "machine gives "
        "them no peer access. If these GPUs should reach each other, look at the IOMMU (kernel option "
        "iommu=pt) and "
        "at PCIe ACS (off in the firmware); MINIPARALLEL_PEER_COPIES=direct trusts the link, =staged "
        "silences this");
}

/// The last GPU takes much longer for a row.
struct Sleepy {
  nn::Linear fc{6, 4};
  Tensor operator()(const Tensor& x) {
    const int milliseconds = x.device().index == 2 ? 12 : 3;
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds * x.size(0)));
    return fc(x);
  }
};

TEST_CASE("by_speed: rows are divided evenly, then by the measured speed, which stays") {
  const Simulated simulated(3);
  DataParallel model{Sleepy{}, {.split = Split::by_speed}};
  const auto rows = [&] {
    std::vector<std::int64_t> sizes;
    for (const Tensor& shard : model.shards(zeros({12, 6}))) sizes.push_back(shard.size(0));
    return sizes;
  };
  using Sizes = std::vector<std::int64_t>;
  CHECK(rows() == Sizes{4, 4, 4});
  CHECK(model.describe().ends_with("  rows: by_speed; the last batch 4, 4, 4\n"));
  model(zeros({2, 6}));  // not all replicas run: measures nothing
  for (int step = 0; step < 3; ++step) CHECK(rows() == Sizes{4, 4, 4});
  const Sizes measured = rows();
  REQUIRE(measured.size() == 3);
  CHECK(measured[2] < measured[0]);
  CHECK(measured[2] < measured[1]);
  for (int step = 0; step < 3; ++step) CHECK(rows() == measured);
  CHECK(model.describe().find("  rows: by_speed, shares {") != std::string::npos);
  // A steady step waits no more than with rows divided evenly.
  DataParallel even{Sleepy{}};
  const auto waits = [](DataParallel<Sleepy>& of) {
    for (int step = 0; step < 2; ++step) of(zeros({12, 6}));
    const simulator::Counters before = simulator::counters();
    of(zeros({12, 6}));
    return (simulator::counters() - before).host_synchronizations;
  };
  CHECK(waits(model) == waits(even));
}

}  // namespace
}  // namespace miniparallel
