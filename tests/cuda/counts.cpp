#include <miniparallel/miniparallel.h>

#include "nets.h"
#include "simulated.h"

#include <sstream>

// What one steady training step asks of the GPU, exactly: the batch's way there, forward, loss, backward,
// step. A change that makes a step cheaper or dearer shows here; the failing test prints the new row.

namespace miniparallel {
namespace {

using testing::Simulated;

struct Counts {
  std::int64_t kernels, library_calls, copies, to_device, to_host, on_device, set, tensors;
  friend bool operator==(const Counts&, const Counts&) = default;
};

// clang-format off
//                             launches    calls of   copies  bytes copied              bytes  memory blocks
//                             of kernels  libraries          to device, to host, within  set  for tensors
constexpr Counts mlp         = {        9,        5,        2,      4224,       0,      0,    0,         16};
constexpr Counts cnn         = {       24,        6,        2,      9344,       0,      0,    0,         30};
constexpr Counts transformer = {       32,       17,        2,       528,       0,      0,    0,         55};
// clang-format on

std::string row(const Counts& c) {
  std::ostringstream text;
  for (const std::int64_t count :
       {c.kernels, c.library_calls, c.copies, c.to_device, c.to_host, c.on_device, c.set, c.tensors})
    text << count << ", ";
  return text.str();
}

template <class Net>
void check_steady_step(const Counts& expected, const simulator::Machine& settings) {
  const Simulated machine(settings);
  const Device gpu = Device::cuda(0);
  manual_seed(3);
  Net net;
  const Tensor inputs = Net::inputs(), targets = Net::targets();
  to(net, gpu);
  typename Net::Optimizer optimizer(parameters(net), {.lr = 1e-2});
  for (int step = 0; step < 8; ++step) {
    const simulator::Counters before = simulator::counters();
    const std::int64_t tensors_before = memory_stats(gpu).allocations;
    {
      const Tensor loss = cross_entropy(net(inputs.to(gpu)), targets.to(gpu));
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
    }
    const simulator::Counters work = simulator::counters() - before;
    const Counts counts{.kernels = work.kernels,
                        .library_calls = work.library_calls,
                        .copies = work.copies,
                        .to_device = work.bytes_to_device,
                        .to_host = work.bytes_to_host,
                        .on_device = work.bytes_on_device,
                        .set = work.bytes_set,
                        .tensors = memory_stats(gpu).allocations - tensors_before};
    synchronize(gpu);  // as a GPU would have done by the next step
    if (step < 3) continue;
    CHECK_MESSAGE(counts == expected, "a step counts ", row(counts));
    CHECK(work.host_synchronizations == 0);
    CHECK(work.allocations == 0);
    CHECK(work.frees == 0);
    CHECK(work.pinned_allocations == 0);
  }
}

template <class Net>
void check_counts(const Counts& expected) {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const std::uint64_t seed : {0u, 7u}) {
      simulator::Machine machine = simulator::machine_with(1);
      machine.streams = streams;
      machine.seed = seed;
      check_steady_step<Net>(expected, machine);
    }
}

TEST_CASE("counts: a steady step of an MLP") { check_counts<testing::Mlp>(mlp); }
TEST_CASE("counts: a steady step of a CNN") { check_counts<testing::Cnn>(cnn); }
TEST_CASE("counts: a steady step of a transformer block") { check_counts<testing::Transformer>(transformer); }

TEST_CASE("counts: a residual and relu within batch normalisation's four launches") {
  const Simulated machine;
  const Device gpu = Device::cuda(0);
  const TensorOptions leaf{.device = gpu, .requires_grad = true};
  const Tensor x = randn({4, 3, 5}, leaf), residual = randn({4, 3, 5}, leaf), weight = ones({3}, leaf),
               bias = zeros({3}, leaf);
  const Tensor g = randn({4, 3, 5}, {.device = gpu});
  for (const bool with_residual : {false, true})
    for (const Activation activation : {Activation::none, Activation::relu}) {
      const auto before = simulator::counters();
      const Tensor y = batch_norm(
          x, weight, bias, {}, {},
          {.training = true, .activation = activation, .residual = with_residual ? residual : Tensor()});
      std::vector<Tensor> inputs{x, weight, bias};
      if (with_residual) inputs.push_back(residual);
      autograd::grad({y}, inputs, {.gradients = {g}});
      const simulator::Counters work = simulator::counters() - before;
      CHECK(work.kernels == 4);
      CHECK(work.copies == 0);
    }
}

TEST_CASE("counts: dropout, a residual and layer normalisation in three launches") {
  const Simulated machine;
  const TensorOptions leaf{.device = Device::cuda(0), .requires_grad = true};
  const Tensor x = randn({12, 64}, leaf), residual = randn({12, 64}, leaf), weight = randn({64}, leaf);
  const Tensor bias = randn({64}, leaf), g = randn({12, 64}, {.device = Device::cuda(0)});
  const auto before = simulator::counters();
  const AddNorm made = add_layer_norm(x, residual, {64}, weight, bias, {.dropout = 0.1});
  CHECK((simulator::counters() - before).kernels == 1);
  autograd::grad({made.y}, {x, residual, weight, bias}, {.gradients = {g}});
  CHECK((simulator::counters() - before).kernels == 3);
  CHECK((simulator::counters() - before).copies == 0);
}

/// Of a forward and a backward pass over a sequence.
template <class Layer>
simulator::Counters launches_of_a_walk(std::int64_t length) {
  const Simulated machine;
  const Device gpu = Device::cuda(0);
  Layer layer{3, 8};
  to(layer, gpu);
  const Tensor x = ones({length, 4, 3}, {.device = gpu});
  const simulator::Counters before = simulator::counters();
  sum(layer(x).first).backward();
  return simulator::counters() - before;
}

TEST_CASE_TEMPLATE("a step of a walk is one kernel and one product, forward and backward each", Layer,
                   nn::LSTM, nn::GRU) {
  constexpr std::int64_t more = 16;
  const simulator::Counters few = launches_of_a_walk<Layer>(more), many = launches_of_a_walk<Layer>(2 * more);
  CHECK(many.library_calls - few.library_calls == 2 * more);
  // Sums over more rows may take another kernel or two.
  CHECK(many.kernels - few.kernels >= 2 * more);
  CHECK(many.kernels - few.kernels <= 2 * more + 2);
}

}  // namespace
}  // namespace miniparallel
