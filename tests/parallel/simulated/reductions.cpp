#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"
#include "parallel/reduce.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>

// The ways of gradients to the first GPU: none changes a bit.

namespace miniparallel {
namespace {

using parallel::Part;
using testing::Messages;
using testing::Mlp;
using testing::Simulated;
using Values = std::vector<std::vector<double>>;

constexpr GradientReduction kPaths[] = {GradientReduction::automatic, GradientReduction::direct,
                                        GradientReduction::sharded, GradientReduction::host};

simulator::Machine machine(int gpus, simulator::Peers peers = simulator::Peers::all) {
  simulator::Machine machine = simulator::machine_with(gpus);
  machine.peers = peers;
  return machine;
}

std::vector<Device> gpus(int count) {
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) devices.push_back(Device::cuda(i));
  return devices;
}

Values gradients(int replicas, GradientReduction reduction) {
  manual_seed(5);
  DataParallel model{Mlp{}, {.replicas = replicas, .reduction = reduction}};
  mean(square(model(Mlp::batch(13).to(float32)))).backward();
  Values all;
  for (const Tensor& parameter : model.parameters()) all.push_back(parameter.grad().to_vector<double>());
  return all;
}

TEST_CASE("reductions: every way gives the same bits, for 1 to 8 replicas on any number of GPUs") {
  for (int replicas = 1; replicas <= 8; ++replicas) {
    CAPTURE(replicas);
    Values expected;
    for (const int count : {1, 2, 3, 4, 8}) {
      if (count > replicas) continue;
      CAPTURE(count);
      for (const GradientReduction reduction : kPaths) {
        CAPTURE(static_cast<int>(reduction));
        const Simulated simulated(machine(count));
        const Values values = gradients(replicas, reduction);
        if (expected.empty()) expected = values;
        CHECK(values == expected);
      }
      for (const simulator::Peers peers : {simulator::Peers::none, simulator::Peers::ring}) {
        const Simulated simulated(machine(count, peers));
        const Messages messages;
        CHECK(gradients(replicas, GradientReduction::automatic) == expected);
      }
    }
  }
}

TEST_CASE("reductions: in every order of streams, of every dtype, size and placement") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const std::uint64_t seed : {0u, 5u}) {
      simulator::Machine settings = machine(4);
      settings.streams = streams;
      settings.seed = seed;
      const Simulated simulated(settings);
      const std::vector<Device> devices = gpus(4);
      for (const DType dtype : {float32, float16})
        for (const std::int64_t n : {1, 129, 600})
          for (const std::size_t count : {3u, 11u}) {
            CAPTURE(dtype);
            CAPTURE(n);
            CAPTURE(count);
            std::vector<Tensor> values;
            for (std::size_t i = 0; i < count; ++i) values.push_back((randn({n}) * 100).to(dtype));
            const std::vector<double> expected =
                parallel::reduce_add(values, Device::cpu()).to_vector<double>();
            for (const GradientReduction reduction : kPaths) {
              std::vector<Part> parts;
              for (std::size_t i = 0; i < count; ++i)
                parts.push_back(
                    {static_cast<int>(i), values[i].to(devices[n == 129 ? (i + 1) % 4 : i * 4 / count])});
              const Tensor sum = empty({n}, {.dtype = dtype, .device = devices[0]});
              parallel::sum_parts(parts, sum, reduction);
              for (const Part& part : parts) Tensor(part.values).fill_(-1);  // after they were read
              CHECK(sum.to_vector<double>() == expected);
            }
          }
    }
}

struct Work {
  std::int64_t kernels, copies, bytes;
  friend bool operator==(const Work&, const Work&) = default;
};

TEST_CASE("reductions: what each way asks of the GPUs") {
  const auto work_of = [](std::int64_t n, GradientReduction reduction) {
    std::vector<Part> parts;
    for (int i = 0; i < 4; ++i) parts.push_back({i, ones({n}, {.device = Device::cuda(i)})});
    const Tensor sum = empty({n}, {.device = Device::cuda(0)});
    parallel::sum_parts(parts, sum, reduction);  // tries the links
    const simulator::Counters before = simulator::counters();
    const std::int64_t bytes = parallel::sum_parts(parts, sum, reduction);
    const simulator::Counters work = simulator::counters() - before;
    CHECK(work.bytes_between_devices == 0);
    CHECK(work.host_synchronizations == 0);
    CHECK(work.allocations == 0);
    CHECK(equal(sum.cpu(), full({n}, 4.0)));
    return Work{work.kernels, work.copies, bytes};
  };
  constexpr std::int64_t small = 4096, large = std::int64_t{1} << 20;
  using enum GradientReduction;
  {
    const Simulated simulated(4);
    CHECK(work_of(small, automatic) == Work{1, 0, 3 * 4 * small});
    CHECK(work_of(small, direct) == Work{1, 0, 3 * 4 * small});
    CHECK(work_of(small, sharded) == Work{4, 0, 3 * 4 * small + 3 * small});
    CHECK(work_of(small, host) == Work{1, 3, 3 * 4 * small});
    CHECK(work_of(large, automatic) == Work{4, 0, 3 * 4 * large + 3 * large});
    CHECK(work_of(large, direct) == Work{1, 0, 3 * 4 * large});
  }
  const Messages messages;
  {
    const Simulated simulated(machine(4, simulator::Peers::none));
    CHECK(work_of(large, automatic) == Work{1, 3, 3 * 4 * large});
  }
  const Simulated simulated(machine(4, simulator::Peers::ring));
  CHECK(work_of(large, automatic) == Work{1, 1, 3 * 4 * large});
}

class Environment {
 public:
  explicit Environment(const char* value) { setenv("MINIPARALLEL_REDUCTION", value, 1); }
  ~Environment() { unsetenv("MINIPARALLEL_REDUCTION"); }
};

TEST_CASE("reductions: are chosen by links, an option or the environment, and described") {
  const auto line = [](GradientReduction reduction) {
    const std::string text = DataParallel(Mlp{}, {.reduction = reduction}).describe();
    const std::size_t begin = text.find("sums of gradients: ");
    return begin == std::string::npos ? "" : text.substr(begin, text.find('\n', begin) - begin);
  };
  using enum GradientReduction;
  {
    const Simulated simulated(1);
    CHECK(line(sharded) == "");
  }
  {
    const Simulated simulated(2);
    CHECK(line(automatic) == "sums of gradients: direct");
  }
  {
    const Simulated simulated(3);
    CHECK(line(automatic) == "sums of gradients: direct, sharded from 4 MiB on");
    CHECK(line(sharded) == "sums of gradients: sharded");
    const Environment environment("host");
    CHECK(line(automatic) == "sums of gradients: host");
    CHECK(line(direct) == "sums of gradients: direct");
  }
  const Messages messages;
  {
    const Simulated simulated(machine(4, simulator::Peers::ring));
    CHECK(line(automatic) == "sums of gradients: direct, host where cuda:0 has no link");
    CHECK_THROWS_WITH_AS(line(direct),
                         "DataParallel: the reduction 'direct' needs memory that cuda:0 and cuda:2 do not "
                         "read of each other; take automatic, or host",
                         Error);
  }
  const Simulated simulated(machine(3, simulator::Peers::none));
  CHECK(line(automatic) == "sums of gradients: host");
  CHECK_THROWS_WITH_AS(line(sharded),
                       "DataParallel: the reduction 'sharded' needs memory that cuda:0 and cuda:1 do not "
                       "read of each other; take automatic, or host",
                       Error);
  const Environment environment("fast");
  CHECK_THROWS_WITH_AS(line(automatic),
                       "MINIPARALLEL_REDUCTION is 'fast'; it may be automatic, direct, sharded, host or nccl",
                       Error);
}

TEST_CASE("reductions: the environment is read when a wrapper is made, and describe tells what was chosen") {
  const Simulated simulated(2);
  std::optional<DataParallel<Mlp>> made_before, made_under;
  made_before.emplace(Mlp{});
  {
    const Environment environment("host");
    made_under.emplace(Mlp{});
    CHECK(made_before->describe().find("sums of gradients: direct\n") != std::string::npos);
  }
  CHECK(made_under->describe().find("sums of gradients: host\n") != std::string::npos);
  CHECK(made_under->options().reduction == GradientReduction::host);
  const Environment environment("fast");
  CHECK(made_before->describe().find("sums of gradients: direct\n") != std::string::npos);
}

}  // namespace
}  // namespace miniparallel
