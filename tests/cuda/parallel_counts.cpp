#include <miniparallel/miniparallel.h>

#include "nets.h"
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
  std::int64_t kernels, library_calls, copies, between;
  friend bool operator==(const Counts&, const Counts&) = default;
};

// clang-format off
// A step on one GPU has the launches, calls of libraries and copies of the first row. Each replica more adds
// those of its forward and backward, and on another GPU 3 copies: rows, parameters, and the gradients of its
// outputs. Then there is a launch to sum gradients, also on each other GPU that has several replicas; and one
// for the outputs of each replica.
//                          GPUs, replicas  launches of   calls of   copies  bytes copied
//                                           kernels     libraries        between GPUs
constexpr Counts kMlp[] = {{   1,     1,          11,          5,       2,         0},
                           {   2,     2,          20,         10,       5,      4084},
                           {   4,     4,          34,         20,      11,     11532},
                           {   8,     8,          62,         40,      23,     26068},
                           {   1,     8,          62,         40,       9,         0},
                           {   2,     8,          63,         40,      14,      4084}};
constexpr Counts kCnn[] = {{   1,     1,          26,          6,       2,         0},
                           {   2,     2,          50,         12,       5,     95668},
                           {   4,     4,          86,         24,      11,    286764},
                           {   8,     8,         166,         48,      23,    668836},
                           {   2,     8,         167,         48,      14,     95668}};
constexpr Counts kBlock[] = {{   1,     1,          38,         17,       2,         0},
                             {   2,     2,          74,         34,       5,     25292},
                             {   4,     4,         142,         68,      11,     57660},
                             {   8,     8,         278,        136,      23,    113288},
                             {   2,     8,         279,        136,      14,     25292}};
// Three copies more: buffers of each of two dtypes, and the statistics of all layers of batch normalisation.
constexpr Counts kNorm[] = {{   1,     1,          29,          3,       2,         0},
                            {   2,     2,          53,          6,       8,      8956},
                            {   4,     4,          91,         12,      20,     26628},
                            {   8,     8,         175,         24,      44,     61852},
                            {   2,     8,         182,         24,      23,     15220}};
// The sums of each of the two layers go to the first GPU and back, in forward and in backward: 8 copies for
// each further GPU, in place of the one of the statistics.
constexpr Counts kSync[] = {{   1,     1,          29,          3,       2,         0},
                            {   2,     2,         103,          6,      15,      8732},
                            {   4,     4,         161,         12,      41,     25956},
                            {   8,     8,         285,         24,      93,     60284}};
// With a sharded optimizer each GPU more has a launch of the sums and one of the step, and each sends its
// share to all others, in place of the one copy of the parameters.
constexpr Counts kSharded[] = {{   1,     1,          11,          5,       2,         0},
                               {   2,     2,          22,         10,       6,      4084},
                               {   4,     4,          40,         20,      20,     11532},
                               {   8,     8,          76,         40,      72,     26068},
                               {   2,     8,          66,         40,      15,      4084}};
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
  for (const std::int64_t count : {c.kernels, c.library_calls, c.copies, c.between}) text << count << ", ";
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

/// A GPU launches no more than one alone would. The first one also sums the bucket of gradients and the
/// statistics of batch normalisation, and gathers the outputs, one launch for each replica's.
void check_each_gpu(const Counts& alone, const Counts& counts, const std::vector<std::int64_t>& before) {
  const std::vector<std::int64_t> after = launches_of_each(counts.gpus);
  const std::int64_t most = alone.kernels + alone.library_calls;
  for (std::size_t gpu = 0; gpu < after.size(); ++gpu) {
    CAPTURE(gpu);
    CHECK(after[gpu] - before[gpu] <= (gpu > 0 ? most : most + 2 + counts.replicas));
  }
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
        const std::vector<std::int64_t> launches = launches_of_each(expected.gpus);
        {
          const Tensor loss = cross_entropy(model(inputs), targets.to(model.device()));
          loss.backward();
          optimizer.step();
          optimizer.zero_grad();
        }
        const simulator::Counters work = simulator::counters() - before;
        for (const Device device : model.devices()) synchronize(device);  // as they would be by the next step
        if (step < 3) continue;
        const Counts counts{.gpus = expected.gpus,
                            .replicas = expected.replicas,
                            .kernels = work.kernels,
                            .library_calls = work.library_calls,
                            .copies = work.copies,
                            .between = work.bytes_between_devices};
        CHECK_MESSAGE(counts == expected, "a step counts ", row(counts));
        if (counts.replicas == counts.gpus && counts.gpus > 1 &&
            options.batch_norm == BatchNormPolicy::merge && !options.shard_optimizer)
          check_each_gpu(steps[0], counts, launches);
        CHECK(work.bytes_set == 0);
        CHECK(work.host_synchronizations == 0);
        CHECK(work.allocations == 0);
        CHECK(work.frees == 0);
        // Threads that run at the same time need more pinned blocks now and then.
        CHECK((streams == simulator::Streams::threaded || work.pinned_allocations == 0));
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

}  // namespace
}  // namespace miniparallel
