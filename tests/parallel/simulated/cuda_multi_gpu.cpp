#include <miniparallel/parallel/cuda_multi_gpu.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../../support/temporary_folder.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

// The wrapper that finds the GPUs by itself, on machines with several.

namespace miniparallel {
namespace {

using testing::DropoutMlp;
using testing::Messages;
using testing::Mlp;
using testing::NormCnn;
using testing::Simulated;
using testing::Transformer;

template <class Net>
Net double_net() {
  manual_seed(3);
  Net net;
  to(net, float64);
  return net;
}

std::vector<Device> gpus_up_to(int count) {
  std::vector<Device> devices;
  for (int i = 0; i < count; ++i) devices.push_back(Device::cuda(i));
  return devices;
}

TEST_CASE("CudaMultiGPU: takes all GPUs, in order, and tells of them") {
  for (const int gpus : {1, 2, 3, 8}) {
    const Simulated machine(gpus);
    CudaMultiGPU model{Mlp{}};
    CHECK(model.devices() == gpus_up_to(gpus));
    CHECK(model.device() == Device::cuda(0));
    CHECK(model->first.weight.device() == Device::cuda(0));
    const Tensor y = model(randn({16, 6}));
    CHECK(y.device() == Device::cuda(0));
    CHECK(y.shape() == Shape{16, 4});
    CHECK(model.counters().replicas_used == gpus);
    const std::string text = model.describe();
    CAPTURE(text);
    for (const Device device : model.devices()) CHECK(text.find(to_string(device)) != std::string::npos);
    CHECK(text.find(to_string(Device::cuda(gpus))) == std::string::npos);
    CudaMultiGPU elsewhere{Mlp{}, {.output_device = Device::cuda(gpus - 1)}};
    CHECK(elsewhere.device() == Device::cuda(gpus - 1));
    CHECK(elsewhere(randn({16, 6})).device() == Device::cuda(gpus - 1));
    CHECK(elsewhere->first.weight.device() == Device::cuda(0));
  }
}

TEST_CASE("CudaMultiGPU: uses the GPUs that CUDA_VISIBLE_DEVICES shows") {
  const auto devices_of = [](const char* list) {
    setenv("MINIPARALLEL_SIMULATED_GPUS", "4", 1);
    setenv("CUDA_VISIBLE_DEVICES", list, 1);
    const Simulated machine(simulator::machine_from_environment());
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("MINIPARALLEL_SIMULATED_GPUS");
    const Messages silent;
    CudaMultiGPU model{Mlp{}};
    CHECK(model(randn({9, 6})).shape() == Shape{9, 4});
    CHECK_THROWS_AS(CudaMultiGPU(Mlp{}, {.devices = {3}}), Error);  // numbers are those of what is shown
    return model.devices();
  };
  CHECK(devices_of("3,1") == gpus_up_to(2));
  CHECK(devices_of("1,2,0") == gpus_up_to(3));
  CHECK(devices_of("2,9,0") == gpus_up_to(1));
  CHECK(devices_of("") == std::vector<Device>{Device::cpu()});
}

template <class Model>
void train(Model& model, const std::vector<Tensor>& batches, Device device) {
  optim::Adam optimizer(parameters(model), {.lr = 1e-2});
  for (const Tensor& x : batches) {
    mean(square(model(x.to(device)) - 1)).backward();
    optimizer.step();
    optimizer.zero_grad();
  }
}

TEST_CASE_TEMPLATE("CudaMultiGPU: trains as one device does", Net, Mlp, DropoutMlp, NormCnn) {
  for (const int gpus : {1, 2, 3, 4}) {
    CAPTURE(gpus);
    const Simulated machine(gpus);
    const Net net = double_net<Net>();
    Net alone = clone(net);
    CudaMultiGPU<Net> model(clone(net), {.batch_norm = BatchNormPolicy::sync, .hints = false});
    std::vector<Tensor> batches;
    for (const std::int64_t rows : {16, 13, 16, 11, 16}) batches.push_back(Net::batch(rows));
    manual_seed(7);
    train(alone, batches, Device::cpu());
    manual_seed(7);
    train(model, batches, model.device());
    const StateDict ours = model.state_dict();
    for (const auto& [name, tensor] : state_dict(alone)) {
      CAPTURE(name);
      CHECK(allclose(ours.at(name).cpu(), tensor, 1e-9, 1e-9));
    }
  }
}

/// What a step asks for, once memory has found its places: of GPUs, and blocks of memory of host and GPU.
struct Work {
  simulator::Counters gpus;
  std::int64_t blocks = 0;
};

std::int64_t blocks_so_far() {
  std::int64_t blocks = memory_stats().allocations;
  for (int i = 0; i < cuda_device_count(); ++i) blocks += memory_stats(Device::cuda(i)).allocations;
  return blocks;
}

template <class Model>
Work steady_step(Model& model, const Tensor& x, Device device) {
  optim::Adam optimizer(parameters(model), {.lr = 1e-3});
  Work work;
  for (int step = 0; step < 5; ++step) {
    const simulator::Counters before = simulator::counters();
    const std::int64_t blocks_before = blocks_so_far();
    mean(square(model(x.to(device)))).backward();
    optimizer.step();
    optimizer.zero_grad();
    work = {simulator::counters() - before, blocks_so_far() - blocks_before};
    for (int i = 0; i < cuda_device_count(); ++i) synchronize(Device::cuda(i));
  }
  return work;
}

TEST_CASE_TEMPLATE("CudaMultiGPU: with one GPU, or none, a step asks for no more than the model alone", Net,
                   Mlp, DropoutMlp, NormCnn, Transformer) {
  for (const int gpus : {0, 1}) {
    CAPTURE(gpus);
    const Simulated machine(gpus);
    const Messages silent;
    const Net net = double_net<Net>();
    const Device device = gpus == 0 ? Device::cpu() : Device::cuda(0);
    Net alone = clone(net);
    to(alone, device);
    CudaMultiGPU<Net> model(clone(net));
    const Tensor x = Net::batch(16);
    const Work bare = steady_step(alone, x, device), wrapped = steady_step(model, x, device);
    CHECK(wrapped.blocks <= bare.blocks);
    CHECK(wrapped.gpus.kernels <= bare.gpus.kernels);
    CHECK(wrapped.gpus.library_calls <= bare.gpus.library_calls);
    CHECK(wrapped.gpus.copies <= bare.gpus.copies);
    CHECK(wrapped.gpus.allocations == 0);
    CHECK(wrapped.gpus.pinned_allocations == 0);
    CHECK(wrapped.gpus.host_synchronizations <= bare.gpus.host_synchronizations);
    CHECK(wrapped.gpus.event_records <= bare.gpus.event_records);
    CHECK(wrapped.gpus.stream_waits <= bare.gpus.stream_waits);
    if (gpus == 1) CHECK(wrapped.gpus.kernels > 0);
  }
}

TEST_CASE("CudaMultiGPU: what is said to the wrapper is said to the model") {
  const Simulated machine(3);
  CudaMultiGPU model{double_net<DropoutMlp>()};
  const Tensor x = Mlp::batch(10);

  model.eval();
  CHECK_FALSE(model->drop.training.on);
  const Tensor calm = model(x).cpu();
  CHECK(equal(model(x).cpu(), calm));  // in no replica is anything dropped
  model.train();
  CHECK(model->drop.training.on);
  CHECK_FALSE(equal(model(x).cpu(), calm));

  model(x).sum().backward();
  for (const Tensor& parameter : model.parameters()) CHECK(parameter.grad().defined());
  model.zero_grad();
  for (const Tensor& parameter : model.parameters()) CHECK_FALSE(parameter.grad().defined());

  std::vector<std::string> names;
  for (const auto& [name, tensor] : model.state_dict()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"first.bias", "first.weight", "second.bias", "second.weight"});
  CHECK(model.named_parameters().size() == 4);
  CHECK(model.named_buffers().empty());

  model.eval();
  model.to(float32);
  CHECK(model->first.weight.dtype() == float32);
  CHECK(allclose(model(x.to(float32)).cpu().to(float64), calm, 1e-4, 1e-5));
  CHECK(&model.to(Device::cuda(0)) == &model);
  CHECK_THROWS_AS(model.to(Device::cuda(1)), Error);
  CHECK(summary(model, {10, 6}) == summary(model.model(), {10, 6}));
}

TEST_CASE("CudaMultiGPU: a file that it saves is the model's, for any number of GPUs or none") {
  const testing::TemporaryFolder folder;
  const std::string file = (folder.path() / "model.safetensors").string();
  {
    const Simulated machine(4);
    CudaMultiGPU model{double_net<NormCnn>()};
    model(NormCnn::batch(12));  // statistics
    model.eval();
    save(model, file);
  }
  const auto outputs = [&](auto& model, const Tensor& images) {
    load(model, file);
    eval(model);
    return model(images).cpu();
  };
  manual_seed(9);
  const Tensor images = NormCnn::batch(10);
  NormCnn alone;
  to(alone, float64);
  const Tensor by_cpu = outputs(alone, images);
  for (const int gpus : {1, 2, 3}) {
    const Simulated machine(gpus);
    NormCnn net;
    to(net, float64);
    CudaMultiGPU model{net};
    CHECK(allclose(outputs(model, images), by_cpu, 1e-11, 1e-11));
  }
}

}  // namespace
}  // namespace miniparallel
