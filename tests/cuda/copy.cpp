#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "simulated.h"

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0), other = Device::cuda(1);

TEST_CASE("elements survive the way to a GPU and back, in every dtype") {
  const Simulated machine;
  for (const DType dtype : {float32, float64, int64, int32, uint8, boolean, float16, bfloat16}) {
    const Tensor x = arange(23).to(dtype);
    const Tensor y = x.to(gpu);
    CHECK(y.device() == gpu);
    CHECK(y.dtype() == dtype);
    CHECK(y.to_vector<double>() == x.to_vector<double>());
  }
}

TEST_CASE("views are copied by their elements, empty and single ones too") {
  const Simulated machine;
  const Tensor x = arange(24).reshape({2, 3, 4}).to(float32);
  CHECK(x.transpose(0, 2).to(gpu).to_vector<float>() == x.transpose(0, 2).to_vector<float>());
  CHECK(x.to(gpu).transpose(0, 2).cpu().to_vector<float>() == x.transpose(0, 2).to_vector<float>());
  CHECK(x.to(gpu).slice(2, 1, 4, 2).to_vector<float>() == x.slice(2, 1, 4, 2).to_vector<float>());
  CHECK(zeros({0, 3}).to(gpu).cpu().shape() == Shape{0, 3});
  CHECK(scalar_tensor(2.5).to(gpu).item() == 2.5);
}

TEST_CASE("a copy to a GPU does not wait, and takes the elements as they were") {
  const Simulated machine;
  const auto before = simulator::counters();
  Tensor x = ones({1000});
  const Tensor y = x.to(gpu);
  x.fill_(7);
  CHECK((simulator::counters() - before).host_synchronizations == 1);  // the probe of the first use
  CHECK(y.to_vector<float>() == std::vector<float>(1000, 1));
}

TEST_CASE("what is made on a GPU is not copied there, and nobody waits") {
  const Simulated machine;
  synchronize(gpu);  // the first use probes the GPU
  const auto before = simulator::counters();
  const Tensor x = arange(5000, {.device = gpu}), y = arange(0, 1, 0.001, {.device = gpu}),
               z = randperm(3000, {.device = gpu});
  const auto work = simulator::counters() - before;
  CHECK(work.copies == 0);
  CHECK(work.host_synchronizations == 0);
  CHECK(work.kernels == 4);  // one of them rounds to float32
}

TEST_CASE("copies larger than the staging blocks") {
  const Simulated machine;
  const Tensor x = full({68 << 20}, 7, {.dtype = uint8});
  x.slice(0, 0, 68 << 20, 1000).fill_(3);
  CHECK(x.to(gpu).to_vector<std::uint8_t>() == x.to_vector<std::uint8_t>());
}

TEST_CASE("copies between GPUs keep the order of both streams") {
  for (const simulator::Peers peers : {simulator::Peers::all, simulator::Peers::none}) {
    for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
      simulator::Machine two = simulator::machine_with(2);
      two.peers = peers;
      two.seed = seed;
      const Simulated machine(two);
      Tensor x = full({500}, 3.0, {.device = gpu});
      x.add_(1);
      const Tensor y = x.to(other);
      x.fill_(9);  // after the copy
      const Tensor z = (y * 2).to(gpu);
      CHECK((z + x).to_vector<float>() == std::vector<float>(500, 17));
      CHECK(y.to_vector<float>() == std::vector<float>(500, 4));
    }
  }
}

TEST_CASE("gradients travel back to where the tensor came from") {
  const Simulated machine(2);
  const Tensor x = tensor({1.0, 2.0, 3.0}).requires_grad_();
  const Tensor y = (x.to(gpu) * 3).to(other) * 2;
  y.backward(ones_like(y));
  CHECK(x.grad().device() == Device::cpu());
  CHECK(x.grad().to_vector<double>() == std::vector<double>{6, 6, 6});
}

TEST_CASE("creation, printing, items, in-place writes") {
  const Simulated machine;
  const Tensor x = arange(0, 6, 1, {.dtype = float32, .device = gpu}).reshape({2, 3});
  CHECK(x.to_string() == "tensor([[0., 1., 2.],\n        [3., 4., 5.]], device=cuda:0)");
  CHECK(x[1][2].item() == 5);
  CHECK(eye(2, {.device = gpu}).to_vector<float>() == std::vector<float>{1, 0, 0, 1});
  Tensor y = zeros_like(x);
  y.copy_(tensor({1.0, 2.0, 3.0}));
  y.transpose(0, 1).select(0, 1).fill_(-1);
  CHECK(y.to_vector<float>() == std::vector<float>{1, -1, 3, 1, -1, 3});
  CHECK_THROWS_WITH_AS(x.data<float>(), doctest::Contains("bring it here with cpu()"), Error);
  CHECK_THROWS_WITH_AS(x + ones({3}), doctest::Contains("tensors are on cuda:0 and on cpu"), Error);
}

TEST_CASE("events order the streams of two devices") {
  const Simulated machine(2);
  Event ready(gpu);
  CHECK(ready.is_done());
  const Tensor x = ones({10}, {.device = gpu});
  ready.record();
  ready.wait(other);
  ready.synchronize();
  CHECK(ready.is_done());
  synchronize(gpu);
}

TEST_CASE("a failed kernel is reported with the call, the device and CUDA's text") {
  Simulated machine;
  machine.expect_failure();
  Tensor x = ones({10}, {.device = gpu});
  synchronize(gpu);
  simulator::fail_kernel(0, 1);
  x.add_(1);
  CHECK_THROWS_WITH_AS(
      synchronize(gpu),
      doctest::Contains("cudaDeviceSynchronize() failed on device 0: cudaErrorLaunchFailure"), Error);
  CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains("failed on device 0: cudaErrorLaunchFailure"),
                       Error);
  CHECK_THROWS_AS(ones({4}, {.device = gpu}), Error);
  x = Tensor();
}

}  // namespace
}  // namespace miniparallel
