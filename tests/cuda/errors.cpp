#include <miniparallel/cuda.h>
#include <miniparallel/miniparallel.h>

#include "kernels/cuda/device/check.h"
#include "simulated.h"

#include <functional>

// What a GPU reports late, and what becomes of a process whose GPU has failed for good.

namespace miniparallel {
namespace {

using testing::Simulated;

const Device gpu = Device::cuda(0), other = Device::cuda(1);

/// A loss whose labels are out of range, and the parameter behind it.
Tensor bad_loss(const Tensor& weight) {
  return cross_entropy(matmul(ones({3, 4}, {.device = weight.device()}), weight),
                       tensor({1, 7, 2}).to(weight.device()));
}

constexpr const char* kBadLabel =
    "cross_entropy: index 7 is out of range; it must be at least 0 and below 5 (found by cuda:0 after the "
    "call had returned)";

TEST_CASE("errors: a bad label is thrown by the next step, without waiting, and the parameter stays") {
  const Simulated machine;
  const Tensor weight = ones({4, 5}, {.device = gpu}).requires_grad_();
  optim::SGD optimizer({weight}, {.lr = 0.1});
  bad_loss(weight).backward();
  Event done(gpu);
  done.record();
  while (!done.is_done()) continue;  // the work is done, and nobody has waited for it
  const auto before = simulator::counters();
  CHECK_THROWS_WITH_AS(optimizer.step(), kBadLabel, Error);
  CHECK((simulator::counters() - before).host_synchronizations == 0);
  CHECK(weight.detach().to_vector<float>() == std::vector<float>(20, 1));
  optimizer.zero_grad();
  cross_entropy(matmul(ones({3, 4}, {.device = gpu}), weight), tensor({1, 0, 2}).to(gpu)).backward();
  optimizer.step();  // reported once; the next batch trains
  CHECK(weight.detach().to_vector<float>() != std::vector<float>(20, 1));
}

TEST_CASE("errors: every way of waiting throws a bad label") {
  const std::vector<std::pair<const char*, std::function<void(const Tensor&)>>> ways{
      {"synchronize", [](const Tensor&) { synchronize(gpu); }},
      {"item", [](const Tensor& loss) { static_cast<void>(loss.item()); }},
      {"cpu", [](const Tensor& loss) { static_cast<void>(loss.cpu()); }},
      {"to_string", [](const Tensor& loss) { static_cast<void>(loss.detach().to_string()); }},
      {"Event::synchronize",
       [](const Tensor&) {
         Event event(gpu);
         event.record();
         event.synchronize();
       }},
      {"Event::wait", [](const Tensor&) {
         Event event(gpu);
         event.record();
         event.wait(Device::cpu());
       }}};
  for (const auto& way : ways) {
    CAPTURE(way.first);
    const auto& wait = way.second;
    const Simulated machine;
    const Tensor weight = ones({4, 5}, {.device = gpu}).requires_grad_();
    const Tensor loss = bad_loss(weight);
    CHECK_THROWS_WITH_AS(wait(loss), kBadLabel, Error);
    CHECK_NOTHROW(wait(loss));  // once
  }
}

TEST_CASE("errors: a bad index on another GPU is thrown by the step, too") {
  const Simulated machine(2);
  const Tensor weight = ones({4, 5}, {.device = gpu}).requires_grad_();
  optim::SGD optimizer({weight}, {.lr = 0.1});
  const Tensor picked = index_select(ones({3}, {.device = other}), 0, tensor({-1}).to(other));
  Event done(other);
  done.record();
  while (!done.is_done()) continue;
  weight.set_grad(ones_like(weight));
  CHECK_THROWS_WITH_AS(optimizer.step(), doctest::Contains("index -1 is out of range"), Error);
}

/// Everything that a program may call after its GPU has failed.
struct AfterFailure {
  Tensor x = ones({16, 16}, {.device = gpu}), on_cpu = ones({16, 16}),
         elsewhere = ones({4}, {.device = other});
  Tensor weight = ones({16, 16}, {.device = gpu}).requires_grad_();
  Tensor loss = (matmul(x, weight) * 2).sum();
  optim::SGD optimizer{{weight}, {.lr = 0.1}};
  Event event{gpu};

  std::vector<std::pair<const char*, std::function<void()>>> calls() {
    return {{"add", [&] { static_cast<void>(x + x); }},
            {"add_", [&] { x.add_(1); }},
            {"matmul", [&] { static_cast<void>(matmul(x, x)); }},
            {"sum", [&] { static_cast<void>(x.sum()); }},
            {"ones", [&] { static_cast<void>(ones({3}, {.device = gpu})); }},
            {"zeros of a large size", [&] { static_cast<void>(zeros({1 << 22}, {.device = gpu})); }},
            {"rand", [&] { static_cast<void>(rand({3}, {.device = gpu})); }},
            {"item", [&] { static_cast<void>(x[0][0].item()); }},
            {"cpu", [&] { static_cast<void>(x.cpu()); }},
            {"to GPU", [&] { static_cast<void>(on_cpu.to(gpu)); }},
            {"to the other GPU", [&] { static_cast<void>(x.to(other)); }},
            {"work of the other GPU", [&] { static_cast<void>(elsewhere + elsewhere); }},
            {"backward", [&] { loss.backward({}, true); }},
            {"step",
             [&] {
               weight.set_grad(weight.detach());
               optimizer.step();
             }},
            {"record", [&] { event.record(); }},
            {"wait", [&] { event.wait(other); }},
            {"is_done", [&] { static_cast<void>(event.is_done()); }},
            {"event synchronize", [&] { event.synchronize(); }},
            {"empty_cache", [&] { empty_cache(gpu); }},
            {"synchronize", [&] { synchronize(gpu); }},
            {"synchronize the other", [&] { synchronize(other); }}};
  }
};

TEST_CASE("errors: after a sticky one every call throws it, nothing hangs, destructors are quiet") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const auto& [code, name] : {std::pair(cudaErrorLaunchFailure, "cudaErrorLaunchFailure"),
                                     std::pair(cudaErrorIllegalAddress, "cudaErrorIllegalAddress")}) {
      simulator::Machine two = simulator::machine_with(2);
      two.streams = streams;
      Simulated machine(two);
      machine.expect_failure();
      {
        AfterFailure after;
        after.event.record();
        after.elsewhere.add_(static_cast<double>(after.x.to(other)[0][0].item()));
        {
          const Tensor cached = zeros({2000}, {.device = gpu});
        }
        synchronize(gpu);
        synchronize(other);
        simulator::fail_kernel(0, 1, code);
        after.x.add_(1);
        CHECK_THROWS_WITH_AS(synchronize(gpu), doctest::Contains(name), cuda::CudaError);
        for (int round = 0; round < 2; ++round)
          for (const auto& call : after.calls()) {
            CAPTURE(call.first);
            CHECK_THROWS_WITH_AS(call.second(), doctest::Contains(name), Error);
          }
      }
      cuda::shut_down();  // quiet as well
    }
}

TEST_CASE("errors: a lost device is an error on each call to it, and the others go on") {
  Simulated machine(2);
  machine.expect_failure();
  Tensor x = ones({8}, {.device = gpu}), y = ones({8}, {.device = other});
  synchronize(gpu);
  simulator::lose_device(0);
  CHECK_THROWS_WITH_AS(x + x, doctest::Contains("device 0: cudaErrorDevicesUnavailable"), cuda::CudaError);
  CHECK_THROWS_AS(x.cpu(), cuda::CudaError);
  CHECK_THROWS_AS(synchronize(gpu), cuda::CudaError);
  CHECK((y + y).to_vector<float>() == std::vector<float>(8, 2));
}

TEST_CASE("errors: a sticky error on one GPU ends a backward over several") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int failing : {0, 1, 2}) {
      simulator::Machine three = simulator::machine_with(3);
      three.streams = streams;
      Simulated machine(three);
      machine.expect_failure();
      const Tensor w = ones({50}).requires_grad_();
      Tensor sum = zeros({});
      for (int i = 0; i < 3; ++i) sum = sum + tanh(w.to(Device::cuda(i))).sum().cpu();
      simulator::fail_kernel(failing, 1);
      CHECK_THROWS_WITH_AS(sum.backward(), doctest::Contains("cudaErrorLaunchFailure"), cuda::CudaError);
      CHECK_THROWS_WITH_AS(sum.backward(), doctest::Contains(""), Error);
    }
}

TEST_CASE("errors: while CUDA unloads nothing is thrown") {
  Simulated machine;
  machine.expect_failure();
  {
    const Tensor x = ones({16}, {.device = gpu});
    Event event(gpu);
    synchronize(gpu);
    simulator::fail_kernel(0, 1, cudaErrorCudartUnloading);  // from now on every call returns it
    x.detach().add_(1);
    synchronize(gpu);
    CHECK_NOTHROW(x.detach().add_(1));
    CHECK_NOTHROW(event.record());
    CHECK_NOTHROW(synchronize(gpu));
  }
  cuda::shut_down();
}

}  // namespace
}  // namespace miniparallel
