#include <miniparallel/miniparallel.h>

#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <optional>

// Parameters that arrive while the replicas run: what each layer waits for. The copy of the bucket that a
// layer must not wait for is made to fail.

namespace miniparallel {
namespace {

using testing::Simulated;

/// What replica 1 has enqueued until a layer of it is done.
struct Marks {
  std::optional<Event> early, late;
};
Marks marks;

void mark(std::optional<Event>& event, Device device) {
  if (device.index != 1) return;
  event.emplace(device);
  event->record();
}

struct Forward {
  testing::Deep net;
  Tensor operator()(const Tensor& x) {
    Tensor h = tanh(net.first(x));
    mark(marks.early, h.device());
    h = net.last(relu(net.wide(h)));
    mark(marks.late, h.device());
    return h;
  }
};

/// The layer that is declared last runs first.
struct Backwards {
  nn::Linear narrow{64, 4}, wide{64, 8192}, first{8192, 64};
  Tensor operator()(const Tensor& x) {
    Tensor h = first(x);
    mark(marks.early, h.device());
    h = narrow(h) + mean(wide(h));
    mark(marks.late, h.device());
    return h;
  }
};

/// Runs a forward that sends all parameters anew, in two buckets of which the second copy fails.
template <class Net>
void check_second_copy_is_late(std::int64_t columns) {
  simulator::Machine settings = simulator::machine_with(2);
  settings.streams = simulator::Streams::lazy;
  settings.seed = 0;  // nothing runs that nobody waits for
  Simulated machine(settings);
  {
    DataParallel model{Net{}};
    const Tensor x = randn({4, columns});
    model(x);
    for (const Device device : model.devices()) synchronize(device);
    {
      const NoGradGuard no_grad;
      for (Tensor& parameter : model.parameters()) parameter.mul_(0.5);
    }
    const simulator::Counters before = simulator::counters();
    simulator::fail_copy(0, 2);
    model(x);
    CHECK(simulator::faults_to_come() == 0);
    CHECK((simulator::counters() - before).host_synchronizations == 0);
    marks.early->synchronize();  // throws if it needs what has failed
    machine.expect_failure();
    CHECK_THROWS_AS(marks.late->synchronize(), Error);
    marks = {};
  }
}

TEST_CASE("refresh: a layer starts before parameters of later layers have arrived") {
  check_second_copy_is_late<Forward>(64);
}

TEST_CASE("refresh: on a slow link the first layer has run before the last bucket arrives") {
  simulator::Machine settings = simulator::machine_with(2);
  settings.streams = simulator::Streams::threaded;
  const Simulated machine(settings);
  DataParallel model{Forward{}};
  const Tensor x = randn({4, 64});
  model(x);
  for (const Device device : model.devices()) synchronize(device);
  {
    const NoGradGuard no_grad;
    for (Tensor& parameter : model.parameters()) parameter.mul_(0.5);
  }
  simulator::slow_link(0, 1, 2e6);  // the second bucket takes half a second
  model(x);
  marks.early->synchronize();
  CHECK_FALSE(marks.late->is_done());
  marks.late->synchronize();
  marks = {};
}

TEST_CASE("refresh: buckets are sent in the order in which the last forward asked for them") {
  check_second_copy_is_late<Backwards>(8192);
}

TEST_CASE("refresh: a steady step neither waits nor allocates, and sends each bucket once to each GPU") {
  for (const int gpus : {2, 8})
    for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded}) {
      if (streams == simulator::Streams::threaded && gpus > 2) continue;  // counts are of calls alone
      simulator::Machine settings = simulator::machine_with(gpus);
      settings.streams = streams;
      const Simulated machine(settings);
      DataParallel model{testing::Deep{}};
      optim::SGD optimizer(model.parameters(), {.lr = 1e-2});
      const Tensor inputs = testing::Deep::batch(8), targets = randn({8, 64});
      for (int step = 0; step < 6; ++step) {
        const simulator::Counters before = simulator::counters();
        model(inputs);
        const simulator::Counters forward = simulator::counters() - before;
        mse_loss(model(inputs), targets.to(model.device())).backward();
        optimizer.step();
        optimizer.zero_grad();
        const simulator::Counters work = simulator::counters() - before;
        for (const Device device : model.devices()) synchronize(device);
        if (step < 3) continue;
        CHECK(forward.copies == gpus + 2 * (gpus - 1));  // rows, buckets
        CHECK(work.host_synchronizations == 0);
        CHECK(work.allocations == 0);
      }
    }
}

TEST_CASE("refresh: a write to a parameter waits until the parameter has left") {
  for (const std::uint64_t seed : {0u, 3u, 4u}) {
    simulator::Machine settings = simulator::machine_with(3);
    settings.seed = seed;
    const Simulated machine(settings);
    DataParallel model{testing::Deep{}};
    const NoGradGuard no_grad;
    const Tensor x = testing::Deep::batch(6);
    for (int step = 0; step < 3; ++step) {
      const Tensor y = model(x);
      for (Tensor& parameter : model.parameters()) parameter.zero_();
      const std::vector<Tensor> parts = y.chunk(3);
      CHECK(amax(parts[1].abs()).item() > 0);
      CHECK(amax(parts[2].abs()).item() > 0);
      for (Tensor& parameter : model.parameters()) parameter.normal_();
    }
  }
}

/// Floats, in one bucket.
struct Small {
  nn::Linear first{8, 16}, second{16, 4};
  Tensor operator()(const Tensor& x) { return second(relu(first(x))); }
};

TEST_CASE("refresh: a write to a parameter of a small model waits until the other GPUs have read it") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
      simulator::Machine settings = simulator::machine_with(3);
      settings.streams = streams;
      settings.seed = seed;
      const Simulated machine(settings);
      DataParallel model{Small{}};
      const NoGradGuard no_grad;
      const Tensor x = ones({6, 8});
      for (int step = 1; step < 6; ++step) {
        for (Tensor& parameter : model.parameters()) parameter.fill_(step);
        const std::vector<Tensor> parts = model.shards(x);  // which waits for nothing
        for (Tensor& parameter : model.parameters()) parameter.fill_(-1);
        const float expected = static_cast<float>(16 * (9 * step) * step + step);
        for (const Tensor& part : parts) CHECK(equal(part.cpu(), full({2, 4}, expected)));
      }
    }
}

TEST_CASE("refresh: what a GPU could not read of a small model the next forward reads") {
  const Simulated machine(3);
  DataParallel model{Small{}};
  const NoGradGuard no_grad;
  const Tensor x = ones({6, 8});
  model(x);
  for (Tensor& parameter : model.parameters()) parameter.fill_(1);
  simulator::fail_call("cudaStreamWaitEvent", 1, 999);  // cudaErrorUnknown, in the first of the other threads
  CHECK_THROWS_AS(model(x), Error);
  CHECK(simulator::faults_to_come() == 0);
  CHECK(equal(model(x).cpu(), full({6, 4}, 145.0F)));
  CHECK(model.counters().bytes_refreshed > 0);
  model(x);
  CHECK(model.counters().bytes_refreshed == 0);
}

TEST_CASE("refresh: a parameter that a forward returns is gathered when it has arrived") {
  struct Shows {
    testing::Deep net;
    Tensor operator()(const Tensor& x) {
      if (x.device().index == 0) return zeros({1, 64}, {.device = x.device()});  // and not what departs there
      return net.last.bias.view({1, -1});
    }
  };
  for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
    simulator::Machine settings = simulator::machine_with(4);
    settings.streams = simulator::Streams::lazy;
    settings.seed = seed;
    const Simulated machine(settings);
    DataParallel model{Shows{}};
    const NoGradGuard no_grad;
    for (int step = 0; step < 4; ++step) {
      for (Tensor& parameter : model.parameters()) parameter.fill_(step);
      CHECK(equal(model(zeros({4, 1})).cpu().narrow(0, 1, 3), full({3, 64}, static_cast<float>(step))));
    }
  }
}

}  // namespace
}  // namespace miniparallel
