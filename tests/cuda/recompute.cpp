#include <miniparallel/miniparallel.h>

#include "nets.h"
#include "simulated.h"

#include <cstdint>
#include <vector>

// checkpoint on a GPU: memory, captured steps, several GPUs in one function.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0);

struct Block {
  nn::Linear first{32, 32}, second{32, 32};
  nn::Dropout drop{0.2};
  Tensor operator()(const Tensor& x) { return drop(tanh(second(sigmoid(first(x))))) + x; }
};

std::int64_t peak_of_step(bool checkpoints) {
  const Simulated machine;
  std::vector<Block> blocks(10);
  to(blocks, gpu);
  Tensor h = randn({256, 32}, {.device = gpu});
  const std::int64_t before = memory_stats(gpu).used;
  reset_peak_memory(gpu);
  for (Block& block : blocks) h = checkpoints ? checkpoint(block, h) : block(h);
  mean(h).backward();
  return memory_stats(gpu).peak - before;
}

TEST_CASE("checkpoint: a chain of blocks needs less of a GPU's memory") {
  CHECK(peak_of_step(false) > peak_of_step(true) * 17 / 10);
}

TEST_CASE("checkpoint: in a captured step") {
  const auto train = [](bool captures) {
    const Simulated machine(2);
    manual_seed(5);
    struct Net {
      std::vector<Block> blocks = std::vector<Block>(3);
      nn::BatchNorm1d norm{32};
      Tensor operator()(Tensor x) {
        for (Block& block : blocks) x = checkpoint(block, x);
        return checkpoint(norm, x);
      }
    };
    DataParallel model{Net{}, {.devices = {0, 1}}};
    optim::Adam optimizer(model.parameters(), {.lr = 1e-2});
    const auto step = [&](const Tensor& x) {
      const Tensor loss = mean(square(model(x)));
      loss.backward();
      optimizer.step();
      optimizer.zero_grad();
      return loss;
    };
    auto captured = capture(step);
    std::vector<float> seen;
    for (int i = 0; i < 6; ++i) {
      const Tensor x = randn({8, 32}, {.device = gpu});
      seen.push_back((captures ? captured(x) : step(x)).item<float>());
    }
    if (captures) {
      CHECK(captured.counters().reason == "");
      CHECK(captured.counters().replayed == 3);
    }
    for (const auto& [name, tensor] : model.state_dict())
      for (const float value : tensor.to(float32).to_vector<float>()) seen.push_back(value);
    return seen;
  };
  CHECK(train(true) == train(false));
}

TEST_CASE("checkpoint: a function on several GPUs, whose nodes several threads run") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
    simulator::Machine settings = simulator::machine_with(3);
    settings.streams = streams;
    const Simulated machine(settings);
    Tensor x = randn({4, 5}, {.device = gpu, .requires_grad = true});
    const auto spread = [](const Tensor& h) {
      Tensor sum = h;
      for (int i = 0; i < 3; ++i) sum = sum + square(sigmoid(tanh(h.to(Device::cuda(i))))).to(gpu);
      return sum;
    };
    const Tensor plain = autograd::grad({sum(spread(x))}, {x})[0];
    for (int i = 0; i < 5; ++i) {
      sum(checkpoint(spread, x)).backward();
      CHECK(x.grad().to_vector<float>() == plain.to_vector<float>());
      x.set_grad({});
    }
  }
}

}  // namespace
}  // namespace miniparallel
