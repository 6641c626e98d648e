#include <miniparallel/parallel/find_batch_size.h>

#include "../../cuda/messages.h"
#include "../../cuda/simulated.h"
#include "../models.h"

#include <doctest/doctest.h>

#include <tuple>
#include <utility>

// What other tests do on the CPU alone, or not at all, since it happens seldom.

namespace miniparallel {
namespace {

using testing::Messages;
using testing::Mlp;
using testing::Odd;
using testing::Simulated;

Mlp float_net() {
  manual_seed(3);
  return {};
}

TEST_CASE("rare paths: a machine whose driver is too old trains on the CPU, and says so") {
  simulator::Machine settings = simulator::machine_with(2);
  settings.driver_version = 12000;
  const Simulated machine(settings);
  Messages messages;
  CudaMultiGPU model{float_net()};
  CHECK(model.device() == Device::cpu());
  REQUIRE(messages.list.size() == 1);
  CHECK(messages.list[0].find("runs on the CPU: ") != std::string::npos);
}

TEST_CASE("rare paths: members of the model that hold other parameters than before") {
  const Simulated machine(3);
  DataParallel model{float_net()};
  const Tensor x = randn({7, 6});
  model(x);
  model->second = nn::Linear(16, 4);
  to(model.model(), model.devices()[0]);
  Mlp alone = clone(model.model());
  to(alone, Device::cpu());
  const Tensor y = model(x), expected = alone(x);
  CHECK(allclose(y.cpu(), expected, 1e-5, 1e-5));
  mean(square(y)).backward();
  mean(square(expected)).backward();
  CHECK(allclose(model->second.weight.grad().cpu(), alone.second.weight.grad(), 1e-5, 1e-5));
}

struct WithScale {
  nn::Linear fc{6, 4};
  Tensor scale;  ///< none at first
  Tensor operator()(const Tensor& x) { return scale.defined() ? fc(x) * scale : fc(x); }
};

TEST_CASE("rare paths: a plain tensor that the model gets, and loses again") {
  const Simulated machine(2);
  DataParallel model{WithScale{}};
  const Tensor x = randn({6, 6});
  const Tensor plain = model(x).cpu();
  model->scale = full({4}, 3.0, {.device = model.devices()[0]});
  CHECK(allclose(model(x).cpu(), plain * 3, 1e-6, 1e-6));
  model->scale = Tensor();
  CHECK(equal(model(x).cpu(), plain));
}

TEST_CASE("rare paths: on one GPU, a parameter whose gradient comes in two parts") {
  const Simulated machine(1);
  Odd net;  // with a tied weight
  to(net, float32);
  Odd alone = clone(net);
  DataParallel model{net};
  const Tensor x = randn({5, 6});
  mean(square(model(x))).backward();
  mean(square(alone(x))).backward();
  CHECK(allclose(model->in.weight.grad().cpu(), alone.in.weight.grad(), 1e-5, 1e-5));
}

TEST_CASE("rare paths: an update of replicas that fails is made up for by the next") {
  Simulated machine(3);
  const Messages silent;
  Mlp net = float_net();
  to(net, Device::cuda(0));
  parallel::Replicas<Mlp> replicas(net, {Device::cuda(0), Device::cuda(1), Device::cuda(2)});
  int failed = 0;
  for (int nth = 1;; ++nth) {
    CAPTURE(nth);
    {
      const NoGradGuard no_grad;
      net.first.weight.add_(1);
    }
    simulator::fail_call("a kernel launch", nth, cudaErrorUnknown);
    try {
      replicas.refresh(3);
    } catch (const Error&) {
      ++failed;
    }
    const bool none_left = simulator::forget_faults() > 0;
    replicas.refresh(3);
    for (std::size_t i = 1; i < 3; ++i)
      CHECK(equal(replicas[i].first.weight.detach().cpu(), net.first.weight.detach().cpu()));
    if (none_left) break;
  }
  CHECK(failed >= 2);  // each GPU reads the parameters of a small model by a kernel
  machine.expect_failure();
}

TEST_CASE("rare paths: a backward fails when another one, inside of its hook, has left gradients") {
  Simulated machine(2);
  const Messages silent;
  // Waiting: gradients of an earlier no_sync; then those of one within the hook of a backward that takes the
  // first up, and fails. Both wait again. A fault strikes the n-th kernel of what joins them.
  const auto sum_of_three = [&](bool nests, int nth) {
    DataParallel model{float_net()};
    const Tensor x = randn({6, 6}, {.dtype = float32});
    const auto backward = [&](const Tensor& rows) { mean(square(model(rows))).backward(); };
    const auto apart = [&](const Tensor& rows) {
      const auto guard = model.no_sync();
      backward(rows);
    };
    apart(x);
    if (nests) {
      bool inside = false;
      const int hook = model->first.weight.register_hook([&](const Tensor&) -> Tensor {
        if (std::exchange(inside, true)) return {};
        set_grad_enabled(true);
        apart(x * 2);
        set_grad_enabled(false);
        if (nth > 0) simulator::fail_call("a kernel launch", nth, cudaErrorUnknown);
        throw Error("from the hook");
      });
      CHECK_THROWS_WITH_AS(backward(x * 3), "from the hook", Error);
      simulator::forget_faults();
      model->first.weight.remove_hook(hook);
    } else {
      apart(x * 2);
    }
    backward(x * 4);
    return model->second.weight.grad().cpu();
  };
  manual_seed(5);
  const Tensor expected = sum_of_three(false, 0);
  manual_seed(5);
  CHECK(allclose(sum_of_three(true, 0), expected, 1e-5, 1e-5));
  manual_seed(5);
  sum_of_three(true, 1);  // what joins them fails: the next backward runs, without what was lost
  machine.expect_failure();
}

TEST_CASE("rare paths: a GPU that fails for good while the largest batch is looked for") {
  Simulated machine(2);
  const Messages silent;
  DataParallel model{float_net()};
  simulator::fail_kernel(1, 20);
  const std::tuple sample(randn({2, 6}), randint(0, 4, {2}));
  CHECK_THROWS_AS(find_batch_size(model, sample, cross_entropy), Error);
  machine.expect_failure();
}

}  // namespace
}  // namespace miniparallel
