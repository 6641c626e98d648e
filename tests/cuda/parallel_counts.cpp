#include <miniparallel/miniparallel.h>

#include "engine/tensor/arena.h"
#include "nets.h"
#include "parallel/buckets.h"
#include "simulated.h"

#include <span>
#include <sstream>

// What one steady training step of a DataParallel asks of the GPUs, exactly: the batch's way there,
// forward, loss, backward, step. A change that makes a step cheaper or dearer shows here; the failing test
// prints the new row.

namespace miniparallel {
namespace {

using testing::Simulated;

struct Counts {
  int gpus, replicas;
  std::int64_t kernels, library_calls, copies, between, to_host = 0;
  friend bool operator==(const Counts&, const Counts&) = default;
};

// clang-format off
// A step on one GPU has the launches, calls of libraries and copies of the first row. Each replica more adds
// those of its forward and backward, and on another GPU 2 copies, rows and the gradients of its outputs, and
// a launch that reads the parameters, whose bytes do not count here. Then there is a launch to sum gradients,
// also on each other GPU that has several replicas; and one for the outputs of all replicas.
//                          GPUs, replicas  launches of   calls of   copies  bytes copied
//                                           kernels     libraries        between GPUs
constexpr Counts kMlp[] = {{   1,     1,           9,          5,       2,         0},
                           {   2,     2,          18,         10,       4,       480},
                           {   4,     4,          32,         20,       8,       720},
                           {   8,     8,          60,         40,      16,       840},
                           {   1,     8,          53,         40,       9,         0},
                           {   2,     8,          55,         40,      13,       480}};
constexpr Counts kCnn[] = {{   1,     1,          24,          6,       2,         0},
                           {   2,     2,          48,         12,       4,       160},
                           {   4,     4,          84,         24,       8,       240},
                           {   8,     8,         164,         48,      16,       280},
                           {   2,     8,         159,         48,      13,       160}};
constexpr Counts kBlock[] = {{   1,     1,          32,         17,       2,         0},
                             {   2,     2,          64,         34,       4,     12144},
                             {   4,     4,         124,         68,       8,     18216},
                             {   8,     8,         244,        136,      16,     21252},
                             {   2,     8,         239,        136,      13,     12144}};
// Three copies more: buffers of each of two dtypes, and the statistics of all layers of batch normalisation.
constexpr Counts kNorm[] = {{   1,     1,          27,          3,       2,         0},
                            {   2,     2,          51,          6,       7,      2024},
                            {   4,     4,          89,         12,      17,      5832},
                            {   8,     8,         173,         24,      37,     13328},
                            {   2,     8,         174,         24,      22,      8288}};
// The sums of each of the two layers go to the first GPU and back, in forward and in backward: 8 copies for
// each further GPU, in place of the one of the statistics.
constexpr Counts kSync[] = {{   1,     1,          27,          3,       2,         0},
                            {   2,     2,         101,          6,      14,      1800},
                            {   4,     4,         159,         12,      38,      5160},
                            {   8,     8,         283,         24,      86,     11760}};
// With a sharded optimizer each GPU more has a launch of the sums and one of the step, and each sends its
// share to all others, in place of the launch that reads the parameters.
constexpr Counts kSharded[] = {{   1,     1,           9,          5,       2,         0},
                               {   2,     2,          19,         10,       6,      4084},
                               {   4,     4,          35,         20,      20,     11532},
                               {   8,     8,          67,         40,      72,     26068},
                               {   2,     8,          57,         40,      15,      4084}};
// Through host memory each further GPU copies its gradients there, 960 elements with the padding of their
// places.
//                          GPUs, replicas  launches of   calls of   copies  bytes copied  bytes copied
//                                           kernels     libraries        between GPUs       to the host
constexpr Counts kHost[] = {{   1,     1,           9,          5,       2,         0,             0},
                            {   2,     2,          18,         10,       5,       480,          3840},
                            {   4,     4,          32,         20,      11,       720,         11520},
                            {   8,     8,          60,         40,      23,       840,         26880},
                            {   2,     8,          55,         40,      14,       480,          3840}};
// clang-format on

struct NormCnn {
  nn::Conv2d conv1{1, 8, 3}, conv2{8, 8, 3};
  nn::BatchNorm2d norm1{8}, norm2{8};
  nn::Linear fc{8 * 16, 5};

  Tensor operator()(Tensor x) {
    x = max_pool2d(relu(norm2(conv2(relu(norm1(conv1(x)))))), 2);
    return fc(x.flatten(1));
  }
  static Tensor inputs() { return randn({16, 1, 12, 12}); }
  static Tensor targets() { return randint(0, 5, {16}); }
  using Optimizer = optim::SGD;
};

std::string row(const Counts& c) {
  std::ostringstream text;
  for (const std::int64_t count : {c.kernels, c.library_calls, c.copies, c.between, c.to_host})
    text << count << ", ";
  return text.str();
}

/// At least a row for each replica.
Tensor enough(const Tensor& batch, std::int64_t rows) {
  return rows >= 8 ? batch : cat(std::vector<Tensor>(8, batch));
}

std::vector<std::int64_t> launches_of_each(int gpus) {
  std::vector<std::int64_t> launches;
  for (int gpu = 0; gpu < gpus; ++gpu)
    launches.push_back(simulator::counters(gpu).kernels + simulator::counters(gpu).library_calls);
  return launches;
}

template <class Model, class Optimizer>
void train_step(Model& model, Optimizer& optimizer, const Tensor& inputs, const Tensor& targets) {
  const Tensor loss = cross_entropy(model(inputs), targets.to(model.device()));
  loss.backward();
  optimizer.step();
  optimizer.zero_grad();
}

template <class Net>
void check_counts(std::span<const Counts> steps, DataParallelOptions options = {}) {
  for (const Counts& expected : steps)
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
      if (streams == simulator::Streams::threaded && expected.gpus != 2)
        continue;  // counts are of calls alone
      simulator::Machine settings = simulator::machine_with(expected.gpus);
      settings.streams = streams;
      const Simulated machine(settings);
      CAPTURE(expected.gpus);
      CAPTURE(expected.replicas);
      options.replicas = expected.replicas;
      DataParallel model{Net{}, options};
      typename Net::Optimizer optimizer(model.parameters(), {.lr = 1e-2});
      const std::int64_t rows = Net::inputs().size(0);
      const Tensor inputs = enough(Net::inputs(), rows), targets = enough(Net::targets(), rows);
      for (int step = 0; step < 5; ++step) {
        const simulator::Counters before = simulator::counters();
        train_step(model, optimizer, inputs, targets);
        const simulator::Counters work = simulator::counters() - before;
        for (const Device device : model.devices()) synchronize(device);  // as they would be by the next step
        if (step < 3) continue;
        const Counts counts{.gpus = expected.gpus,
                            .replicas = expected.replicas,
                            .kernels = work.kernels,
                            .library_calls = work.library_calls,
                            .copies = work.copies,
                            .between = work.bytes_between_devices,
                            .to_host = work.bytes_to_host};
        CHECK_MESSAGE(counts == expected, "a step counts ", row(counts));
        CHECK(work.bytes_set == 0);
        CHECK(work.host_synchronizations == 0);
        CHECK(work.allocations == 0);
        CHECK(work.frees == 0);
        // A replica needs a pinned block more now and then, when others hold theirs a little longer.
        CHECK(work.pinned_allocations <= (expected.gpus > 1 ? expected.replicas : 0));
      }
    }
}

TEST_CASE("parallel counts: a steady step of an MLP") { check_counts<testing::Mlp>(kMlp); }
TEST_CASE("parallel counts: a steady step of a CNN") { check_counts<testing::Cnn>(kCnn); }
TEST_CASE("parallel counts: a steady step of a transformer block") {
  check_counts<testing::Transformer>(kBlock);
}
TEST_CASE("parallel counts: a steady step of a CNN with batch normalisation") {
  check_counts<NormCnn>(kNorm);
}
TEST_CASE("parallel counts: a steady step with batch normalisation over the whole batch") {
  check_counts<NormCnn>(kSync, {.batch_norm = BatchNormPolicy::sync});
}
TEST_CASE("parallel counts: a steady step with a sharded optimizer") {
  check_counts<testing::Mlp>(kSharded, {.shard_optimizer = true});
}
TEST_CASE("parallel counts: a steady step whose gradients are summed through host memory") {
  check_counts<testing::Mlp>(kHost, {.reduction = GradientReduction::host});
}

/// Of each GPU in a steady step, and how many buckets of gradients there are.
struct Launches {
  std::vector<std::int64_t> of_gpu;
  std::int64_t buckets = 0;
};

template <class Net>
Launches launches_of_step(int gpus, const DataParallelOptions& options) {
  const Simulated machine(gpus);
  DataParallel model{Net{}, options};
  typename Net::Optimizer optimizer(model.parameters(), {.lr = 1e-2});
  const std::int64_t rows = Net::inputs().size(0);
  const Tensor inputs = enough(Net::inputs(), rows), targets = enough(Net::targets(), rows);
  for (int step = 0; step < 2; ++step) train_step(model, optimizer, inputs, targets);
  const std::vector<std::int64_t> before = launches_of_each(gpus);
  train_step(model, optimizer, inputs, targets);
  Launches launches{launches_of_each(gpus)};
  for (std::size_t gpu = 0; gpu < before.size(); ++gpu) launches.of_gpu[gpu] -= before[gpu];
  if (gpus > 1) {
    const Arena arena = Arena::of(model.parameters());
    launches.buckets =
        static_cast<std::int64_t>(parallel::buckets_of_gradients(arena, options.bucket_bytes).size());
  }
  return launches;
}

/// Over one alone a GPU has a launch for each bucket, and one for the statistics of all batch normalisations;
/// the first one gathers the outputs, too, by one.
template <class Net>
void check_growth(int norms, const DataParallelOptions& options) {
  const std::int64_t alone = launches_of_step<Net>(1, options).of_gpu[0];
  for (const int gpus : {2, 8}) {
    CAPTURE(gpus);
    const Launches launches = launches_of_step<Net>(gpus, options);
    CHECK((options.bucket_bytes > 512 || launches.buckets > 1));
    for (int gpu = 0; gpu < gpus; ++gpu) {
      CAPTURE(gpu);
      const std::int64_t outputs = gpu == 0 ? 1 : 0;
      CHECK(launches.of_gpu[static_cast<std::size_t>(gpu)] <= alone + launches.buckets + norms + outputs);
    }
  }
}

TEST_CASE("parallel counts: over one GPU alone a step has a launch more for each bucket, whatever its way") {
  for (const GradientReduction reduction :
       {GradientReduction::direct, GradientReduction::sharded, GradientReduction::host})
    for (const bool shard_optimizer : {false, true})
      for (const std::int64_t bucket_bytes : {std::int64_t{25} << 20, std::int64_t{512}}) {
        CAPTURE(static_cast<int>(reduction));
        CAPTURE(shard_optimizer);
        CAPTURE(bucket_bytes);
        const DataParallelOptions options{
            .reduction = reduction, .bucket_bytes = bucket_bytes, .shard_optimizer = shard_optimizer};
        check_growth<testing::Mlp>(0, options);
        check_growth<NormCnn>(1, options);
      }
  check_growth<testing::Cnn>(0, {});
  check_growth<testing::Transformer>(0, {});
}

}  // namespace
}  // namespace miniparallel
