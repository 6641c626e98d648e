#include <miniparallel/miniparallel.h>

#include "simulated.h"
#include "tests/support/temporary_folder.h"

#include <algorithm>

namespace miniparallel {
namespace {

using testing::Simulated;

TEST_CASE("recommended_num_workers: the cores of this machine over its GPUs") {
  const Simulated machine(2);
  CHECK(recommended_num_workers() == std::max(1, usable_cpu_cores() / 2));
  CHECK(recommended_num_workers(16) == 8);
  CHECK(recommended_num_workers(16, 3) == 5);
}

TEST_CASE("to(device, batch): every tensor of a batch is copied to the GPU, the batch stays") {
  struct Batch {
    Tensor images;
    std::map<std::string, std::vector<Tensor>> targets;
    std::optional<Tensor> mask;
    std::string name;
  };
  const Simulated machine(2);
  const Device device = Device::cuda(1);
  const Batch batch{ones({4, 2}), {{"boxes", {zeros({4}), full({4}, 2.0)}}}, full({4}, 3.0), "first"};
  const Batch there = to(device, batch);
  nested::for_each(there, [&](const Tensor& tensor) { CHECK(tensor.device() == device); });
  nested::for_each(batch, [](const Tensor& tensor) { CHECK(tensor.device().is_cpu()); });
  CHECK(equal(there.targets.at("boxes")[1].cpu(), batch.targets.at("boxes")[1]));
  CHECK(there.name == "first");
  CHECK(to(device, there).images.is_same(there.images));
}

struct Mlp {
  nn::Linear first{6, 16};
  nn::Dropout drop{0.25};
  nn::Linear second{16, 3};

  Tensor operator()(const Tensor& x) { return second(drop(relu(first(x)))); }
};

/// A run on a simulated GPU.
struct Run {
  Run() : model(on_gpu(Mlp{})), optimizer(parameters(model), {.lr = 0.01}) {}

  static Mlp on_gpu(Mlp model) { return to(model, Device::cuda(0)); }

  /// Saves to `file` in the middle of the second epoch and stops, where it is given.
  void train(const std::string& file = {}) {
    while (batches.position().epoch < 3) {
      for (auto& [x] : batches) {
        const Tensor input = x.to(Device::cuda(0));
        model(input).pow(2).sum().backward();
        optimizer.step();
        optimizer.zero_grad();
        if (!file.empty() && batches.position() == data::LoaderPosition{batches.position().seed, 1, 2})
          return save_checkpoint(file, checkpoint);
      }
      scheduler.step();
    }
  }

  Mlp model;
  optim::Adam optimizer;
  optim::CosineAnnealingLR scheduler{optimizer, {.t_max = 4}};
  data::DataLoader<data::TensorDataset<1>> batches{
      data::TensorDataset((arange(60, {.dtype = float32}) / 60).view({10, 6})),
      {.batch_size = 3, .shuffle = true, .num_workers = 2}};
  Checkpoint checkpoint{
      {"model", model}, {"optimizer", optimizer}, {"scheduler", scheduler}, {"batches", batches}};
};

TEST_CASE("checkpoint: a run on a GPU goes on bit-identically in the middle of an epoch") {
  const Simulated machine;
  const testing::TemporaryFolder folder;
  const std::string file = folder / "run.safetensors";
  manual_seed(1);
  Run straight;
  straight.train();
  manual_seed(1);
  Run().train(file);
  manual_seed(2);
  Run resumed;
  load_checkpoint(file, resumed.checkpoint);
  resumed.train();
  const StateDict expected = state_dict(straight.model), got = state_dict(resumed.model);
  for (const auto& entry : expected) {
    CAPTURE(entry.first);
    CHECK(got.at(entry.first).device() == Device::cuda(0));
    CHECK(got.at(entry.first).to_vector<float>() == entry.second.to_vector<float>());
  }
  CHECK(resumed.optimizer.lr() == straight.optimizer.lr());
}

}  // namespace
}  // namespace miniparallel
