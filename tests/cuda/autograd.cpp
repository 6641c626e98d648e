#include <miniparallel/miniparallel.h>

#include "engine/device/accelerator.h"
#include "engine/threads/workers.h"
#include "simulated.h"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>

// Backward over graphs that lie on several GPUs: which thread runs what, in which order gradients add up, and
// what becomes of errors.

namespace miniparallel {
namespace {

using testing::Simulated;
using Threads = std::map<std::string, std::set<std::thread::id>>;

/// Every interesting machine: number of GPUs, sort of streams, seed.
template <class Body>
void on_machines(Body&& body) {
  for (const int gpus : {1, 2, 3, 4, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
      for (const std::uint64_t seed : {0u, 5u}) {
        simulator::Machine machine = simulator::machine_with(gpus);
        machine.streams = streams;
        machine.seed = seed;
        CAPTURE(gpus);
        CAPTURE(seed);
        const Simulated simulated(machine);
        body(gpus);
      }
}

std::vector<Device> all_devices(int gpus) {
  std::vector<Device> devices{Device::cpu()};
  for (int i = 0; i < gpus; ++i) devices.push_back(Device::cuda(i));
  return devices;
}

/// Sum over the devices of a small net that shares the weight w: each part on its own device.
Tensor shared_weight_loss(const Tensor& w, const std::vector<Device>& devices,
                          const Tensor::Hook& hook = {}) {
  Tensor sum = zeros({}, {.dtype = w.dtype()});
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const Tensor local = w.to(devices[i]);
    Tensor y = tanh(local * static_cast<double>(i + 1)) * local;
    if (hook) y.register_hook(hook);
    sum = sum + y.sum().to(Device::cpu());
  }
  return sum;
}

int thread_count() {
  int count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

TEST_CASE("autograd: each GPU's nodes run in its one permanent thread, the CPU's in the caller's") {
  on_machines([](int gpus) {
    const std::vector<Device> devices = all_devices(gpus);
    Threads threads;
    std::mutex mutex;
    for (int round = 0; round < 3; ++round) {
      const Tensor w = randn({50}).requires_grad_();
      const Tensor loss = shared_weight_loss(w, devices, [&](const Tensor& grad) {
        const std::scoped_lock lock(mutex);
        threads[to_string(grad.device())].insert(std::this_thread::get_id());
        return Tensor();
      });
      loss.backward();
    }
    std::set<std::thread::id> all;
    for (const auto& [device, ids] : threads) {
      CHECK(ids.size() == 1);
      all.insert(*ids.begin());
    }
    CHECK(threads["cpu"].contains(std::this_thread::get_id()));
    // With a single GPU there is nothing to overlap: no worker starts.
    CHECK(all.size() == (gpus == 1 ? 1 : static_cast<std::size_t>(gpus) + 1));
  });
}

TEST_CASE("autograd: nodes of the GPU that has the loss run in the caller's thread") {
  on_machines([](int gpus) {
    Threads threads;
    std::mutex mutex;
    const Tensor w = randn({50}).requires_grad_();
    const Tensor parts = shared_weight_loss(w, all_devices(gpus), [&](const Tensor& grad) {
      const std::scoped_lock lock(mutex);
      threads[to_string(grad.device())].insert(std::this_thread::get_id());
      return Tensor();
    });
    const Device last = Device::cuda(gpus - 1);
    parts.to(last).backward();
    std::set<std::thread::id> all;
    for (const auto& [device, ids] : threads) all.insert(ids.begin(), ids.end());
    CHECK(all.size() == static_cast<std::size_t>(gpus));
    const std::set<std::thread::id> here{std::this_thread::get_id()};
    CHECK(threads["cpu"] == here);
    CHECK(threads[to_string(last)] == here);
  });
}

TEST_CASE("autograd: workers without work sleep") {
  const Simulated machine(2);
  const Tensor w = randn({50}).requires_grad_();
  shared_weight_loss(w, all_devices(2)).backward();
  const std::clock_t start = std::clock();  // of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(std::clock() - start < CLOCKS_PER_SEC / 20);
}

TEST_CASE("autograd: gradients over several GPUs are those of the CPU") {
  on_machines([](int gpus) {
    manual_seed(1);
    const Tensor a = randn({200}, {.dtype = float64}).requires_grad_(),
                 b = a.detach().clone().requires_grad_();
    shared_weight_loss(a, std::vector<Device>(static_cast<std::size_t>(gpus) + 1)).backward();
    shared_weight_loss(b, all_devices(gpus)).backward();
    CHECK(allclose(a.grad(), b.grad(), 1e-11, 1e-11));
    const Tensor captured = autograd::grad({shared_weight_loss(b, all_devices(gpus))}, {b})[0];
    CHECK(captured.to_vector<double>() == b.grad().to_vector<double>());
  });
}

TEST_CASE("autograd: second derivatives over several GPUs") {
  for (const int gpus : {1, 3}) {
    const Simulated machine(gpus);
    const auto function = [&](const std::vector<Tensor>& in) {
      return shared_weight_loss(in[0], all_devices(gpus));
    };
    const Tensor x = randn({4}, {.dtype = float64}).requires_grad_();
    CHECK(autograd::gradcheck(function, {x}) == "");
    CHECK(autograd::gradgradcheck(function, {x}) == "");
  }
}

TEST_CASE("autograd: a graph of the CPU, or of one GPU, starts no thread") {
  const Simulated machine(2);
  const Tensor w = randn({50}).requires_grad_();
  shared_weight_loss(w, {Device::cpu(), Device::cuda(1)}).backward();
  const int before = thread_count();
  shared_weight_loss(w, {Device::cpu()}).backward();
  shared_weight_loss(w, {Device::cpu(), Device::cuda(1)}).backward();
  CHECK(thread_count() == before);
  shared_weight_loss(w, {Device::cuda(0), Device::cuda(1)}).backward();
  CHECK(thread_count() == before + 2);
  cuda::shut_down();
  CHECK(thread_count() == before);
}

TEST_CASE("autograd: workers take over the caller's state") {
  const Simulated machine(2);
  const StreamScope scope(Device::cuda(1), StreamKind::communication);
  set_default_dtype(float64);
  std::set<int> gpus;
  std::mutex mutex;
  const Tensor w = randn({50}).requires_grad_();
  const Tensor loss = shared_weight_loss(w, all_devices(2), [&](const Tensor& grad) {
    const std::scoped_lock lock(mutex);
    CHECK_FALSE(grad_enabled());
    CHECK(default_dtype() == float64);
    if (grad.device().is_cpu()) return Tensor();
    gpus.insert(grad.device().index);
    const StreamKind kind = grad.device().index == 1 ? StreamKind::communication : StreamKind::compute;
    CHECK(stream(grad.device()) == accelerator(grad.device()).stream(grad.device().index, kind));
    int current = -1;
    CHECK(cudaGetDevice(&current) == cudaSuccess);
    CHECK(current == grad.device().index);
    return Tensor();
  });
  loss.backward();
  set_default_dtype(float32);
  CHECK(gpus == std::set<int>{0, 1});
  CHECK(grad_enabled());
  post(accelerator(Device::cuda(0)), 0, [] {
    CHECK(grad_enabled());  // the worker has its own state back
    CHECK(default_dtype() == float32);
  });
}

TEST_CASE("autograd: what a node hands to a worker runs from the newest on, whenever the worker wakes") {
  const Simulated machine(2);
  constexpr int kParts = 2000;  // handing them on takes longer than waking
  std::vector<int> expected;
  for (int i = kParts; i-- > 0;) expected.push_back(i);
  for (int round = 0; round < 5; ++round) {
    const Tensor w = ones({2, 3}, Device::cuda(1)).requires_grad_();
    std::vector<int> order;
    std::vector<Tensor> parts;
    for (int i = 0; i < kParts; ++i) {
      parts.push_back(w * 2);
      parts.back().register_hook([&order, i](const Tensor&) {
        order.push_back(i);
        return Tensor();
      });
    }
    parallel::gather(parts, Device::cuda(0)).sum().backward();
    CHECK((order == expected));
  }
}

TEST_CASE("autograd: gradients from several GPUs add up in the order of the devices, whoever is first") {
  // In float32 the sum of these depends on the order.
  const std::vector<float> parts{1e8f, 3.0f, -1e8f, 5.0f, 1.0f, 7e7f, -7e7f, 11.0f};
  for (const int gpus : {2, 3, 4, 8}) {
    const Simulated machine(gpus);
    float expected = 0;
    for (int i = 0; i < gpus; ++i) expected += parts[static_cast<std::size_t>(i)];
    for (int late = 0; late < gpus; ++late) {
      const Tensor w = ones({1}).requires_grad_();
      Tensor sum = zeros({1});
      for (int i = gpus; i-- > 0;) {  // recorded in another order than that of the devices
        const Tensor y = w.to(Device::cuda(i)) * parts[static_cast<std::size_t>(i)];
        y.register_hook([=](const Tensor&) {
          std::this_thread::sleep_for(std::chrono::milliseconds(i == late ? 10 : 0));
          return Tensor();
        });
        sum = sum + y.to(Device::cpu());
      }
      sum.backward();
      CHECK(w.grad().item<float>() == expected);
    }
  }
}

TEST_CASE("autograd: gradients that reach a GPU by several ways add up in one order, whoever is first") {
  const std::vector<float> parts{3.0f, 1e8f, -1e8f};  // in float32: 3 in falling order, 0 in rising order
  for (const int delay : {0, 10}) {                   // the second time each comes alone, the first one first
    const Simulated machine(2);
    const Tensor w = ones({1}).requires_grad_(), local = w.to(Device::cuda(1));
    std::vector<Tensor> products;
    for (const float part : parts) products.push_back(local * part);
    Tensor sum = zeros({1}, {.device = Device::cuda(0)});
    for (std::size_t i = parts.size(); i-- > 0;) {
      const Tensor there = products[i].to(Device::cuda(0));
      there.register_hook([=](const Tensor&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(delay));
        return Tensor();
      });
      sum = sum + there;
    }
    sum.backward();
    CHECK(w.grad().item<float>() == 3);
  }
}

TEST_CASE("autograd: gradients that reach a GPU by one way are added up as they are written") {
  const auto launches = [](Device device) {
    const Simulated machine(2);
    const Tensor x = randn({16, 8}, {.device = device}).requires_grad_();
    const Tensor a = randn({8, 8}, {.device = device}), b = randn({8, 8}, {.device = device});
    const Tensor y = (matmul(x, a) + matmul(x, b)).to(Device::cuda(0));
    const Tensor gradient = ones({16, 8}, {.device = Device::cuda(0)});
    (void)gradient.to(device);  // tries the link out
    const simulator::Counters before = simulator::counters();
    y.backward(gradient);
    const simulator::Counters work = simulator::counters() - before;
    return work.kernels + work.library_calls;
  };
  CHECK(launches(Device::cuda(1)) == launches(Device::cuda(0)));
}

TEST_CASE("autograd: a hook may differentiate over all GPUs, on every worker at once") {
  on_machines([](int gpus) {
    const std::vector<Device> devices = all_devices(gpus);
    const Tensor w = ones({20}, {.dtype = float64}).requires_grad_();
    std::atomic<int> calls = 0;
    const Tensor inner = ones({20}, {.dtype = float64});
    const Tensor expected = [&] {
      const Tensor x = inner.detach().requires_grad_();
      return autograd::grad({shared_weight_loss(x, devices)}, {x})[0];
    }();
    const Tensor loss = shared_weight_loss(w, devices, [&](const Tensor& grad) {
      set_grad_enabled(true);
      const Tensor x = inner.detach().requires_grad_();
      const Tensor twice = autograd::grad({shared_weight_loss(x, devices)}, {x})[0];
      set_grad_enabled(false);
      CHECK(allclose(twice, expected, 1e-11, 1e-11));
      ++calls;
      return twice.to(grad.device()) * 0 + grad;
    });
    loss.backward();
    CHECK(calls == gpus + 1);
    CHECK(allclose(w.grad(), expected, 1e-11, 1e-11));
  });
}

struct Strange : std::runtime_error {
  using runtime_error::runtime_error;
};

TEST_CASE("autograd: an error on any device cancels the walk and arrives with its own type") {
  on_machines([](int gpus) {
    const std::vector<Device> devices = all_devices(gpus);
    for (const Device failing : devices) {
      const Tensor w = randn({50}).requires_grad_();
      const Tensor loss = shared_weight_loss(w, devices, [&](const Tensor& grad) -> Tensor {
        if (grad.device() == failing) throw Strange(to_string(failing));
        return {};
      });
      CHECK_THROWS_WITH_AS(loss.backward(), to_string(failing).c_str(), Strange);
      w.set_grad({});
      shared_weight_loss(w, devices).backward();  // the next one works
      CHECK(w.grad().defined());
    }
  });
}

TEST_CASE("autograd: when all devices fail at once, one error arrives and nothing is left running") {
  for (int round = 0; round < 20; ++round) {
    const Simulated machine(4);
    const Tensor w = randn({50}).requires_grad_();
    const Tensor loss = shared_weight_loss(
        w, all_devices(4), [](const Tensor& grad) -> Tensor { throw Strange(to_string(grad.device())); });
    CHECK_THROWS_AS(loss.backward(), Strange);
  }
}

TEST_CASE("autograd: several threads differentiate over the same GPUs") {
  const Simulated machine(3);
  const Tensor shared = ones({40}, {.dtype = float64}).requires_grad_();
  const Tensor expected = autograd::grad({shared_weight_loss(shared, all_devices(3))}, {shared})[0];
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5; ++i) shared_weight_loss(shared, all_devices(3)).backward();
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(allclose(shared.grad(), expected * 15, 1e-10, 1e-10));
}

struct Scale : autograd::Function<Scale> {
  static constexpr const char* name = "scale";
  static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs) {
    context.save_for_backward({inputs[0]});
    return {inputs[0] * 3};
  }
  static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients) {
    CHECK(context.saved()[0].device() == gradients[0].device());
    const Tensor x = ones({2}).requires_grad_();  // a backward inside a backward
    set_grad_enabled(true);
    (x.to(gradients[0].device()) * 2).sum().backward();
    set_grad_enabled(false);
    return {gradients[0] * 3};
  }
};

TEST_CASE("autograd: a user's function runs its backward on its device's worker") {
  const Simulated machine(4);
  const Tensor w = ones({8}).requires_grad_();
  Tensor sum = zeros({});
  for (const Device device : all_devices(4))
    sum = sum + Scale::apply({w.to(device)})[0].sum().to(Device::cpu());
  sum.backward();
  CHECK(w.grad().to_vector<float>() == std::vector<float>(8, 15));
}

TEST_CASE("autograd: shutting down ends the workers, and the next backward has new ones") {
  for (int round = 0; round < 3; ++round) {
    const Simulated machine(2);
    const Tensor w = randn({50}).requires_grad_();
    shared_weight_loss(w, all_devices(2)).backward();
    CHECK(w.grad().defined());
  }
}

}  // namespace
}  // namespace miniparallel
