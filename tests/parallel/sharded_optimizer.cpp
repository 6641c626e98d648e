#include <miniparallel/miniparallel.h>

#include "machines.h"
#include "models.h"
#include "tests/support/temporary_folder.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

// `.shard_optimizer`: every device steps a share of the elements. The oracle is
// the master's device that steps all.

namespace miniparallel {
namespace {

using testing::on_machine;
using testing::on_machines;
using Values = std::vector<std::vector<double>>;

Values values_of(const std::vector<Tensor>& tensors) {
  Values all;
  for (const Tensor& tensor : tensors)
    all.push_back(tensor.defined() ? tensor.to_vector<double>() : std::vector<double>());
  return all;
}

std::vector<Tensor> gradients_of(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> gradients;
  for (const Tensor& parameter : parameters) gradients.push_back(parameter.grad());
  return gradients;
}

Values values_of(const StateDict& state) {
  Values all;
  for (const auto& [name, tensor] : state) all.push_back(tensor.to_vector<double>());
  return all;
}

using Make = std::unique_ptr<optim::Optimizer> (*)(const std::vector<Tensor>&);
constexpr Make kSgd = [](auto& p) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.05, .weight_decay = 0.1});
};
constexpr Make kMomentum = [](auto& p) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.05, .momentum = 0.8, .dampening = 0.3});
};
constexpr Make kNesterov = [](auto& p) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<optim::SGD>(p, optim::SGDOptions{.lr = 0.05, .momentum = 0.8, .nesterov = true});
};
constexpr Make kAdam = [](auto& p) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<optim::Adam>(p, optim::AdamOptions{.lr = 0.02, .weight_decay = 0.1});
};
constexpr Make kAdamW = [](auto& p) -> std::unique_ptr<optim::Optimizer> {
  return std::make_unique<optim::AdamW>(p, optim::AdamWOptions{.lr = 0.02});
};

/// Everything that can be seen in six steps, with whatever a program does
/// between them. Gradients stay on their devices where nobody looks at them.
template <class Net>
Values train(Make make, DataParallelOptions options, bool looks) {
  manual_seed(11);
  DataParallel<Net> model(Net(), options);
  const std::vector<Tensor> parameters = model.parameters();
  const auto optimizer = make(parameters);
  Values seen;
  const auto see = [&](const Values& values) { seen.insert(seen.end(), values.begin(), values.end()); };
  const auto backward = [&] { mean(square(model(Net::batch(11).to(float32)))).backward(); };
  for (int step = 0; step < 6; ++step) {
    if (step == 2) {
      const parallel::NoSync guard = model.no_sync();
      backward();
    }
    if (step == 3) backward();  // adds to the gradients
    backward();
    if (looks || step == 3) {
      if (step % 2 == 1) see(values_of({nn::utils::clip_grad_norm_(parameters, 0.05)}));
      if (step == 4) nn::utils::clip_grad_value_(parameters, 0.01);
      see(values_of(gradients_of(parameters)));
    }
    optimizer->step();
    if (step != 1) optimizer->zero_grad(step != 4);
    if (step == 3) {
      const NoGradGuard no_grad;
      parameters[0].detach().mul_(0.5);  // before the next forward
    }
    if (step == 5) optimizer->step();  // without a forward, and with gradients gone
    model.eval();
    const NoGradGuard no_grad;
    see(values_of({model(Net::batch(7).to(float32))}));
    see(values_of(parameters));
    model.train();
  }
  see(values_of(optimizer->state_dict()));
  return seen;
}

template <class Net>
void compare(Make make, DataParallelOptions options) {
  for (const bool looks : {true, false}) {
    CAPTURE(looks);
    options.shard_optimizer = false;
    const Values expected = train<Net>(make, options, looks);
    options.shard_optimizer = true;
    CHECK(train<Net>(make, options, looks) == expected);
  }
}

TEST_CASE("sharded optimizer: the bits of the master's, in all that can be seen") {
  on_machines([](const std::vector<Device>& devices) { compare<testing::Mlp>(kAdam, {.devices = devices}); });
  on_machine(3, [](const std::vector<Device>& devices) {
    for (const Make make : {kSgd, kMomentum, kNesterov, kAdamW})
      compare<testing::Mlp>(make, {.devices = devices});
    compare<testing::Odd>(kMomentum, {.devices = devices});
    compare<testing::Transformer>(kAdamW, {.devices = devices});
  });
}

TEST_CASE(
    "sharded optimizer: the same with several replicas on a device, in "
    "whatever order") {
  on_machine(4, [](const std::vector<Device>& devices) {
    for (const Make make : {kNesterov, kAdamW}) {
      compare<testing::Odd>(make, {.devices = devices, .replicas = 6});
      compare<testing::Mlp>(make, {.devices = {devices[2], devices[0], devices[2], devices[1]}});
      compare<testing::Mlp>(make, {.devices = {devices[1], devices[1]}});
      compare<testing::Odd>(make, {.devices = devices, .bucket_bytes = 300});
    }
    compare<testing::DropoutMlp>(kAdam, {.devices = devices, .replicas = 8, .bucket_bytes = 256});
  });
}

TEST_CASE("sharded optimizer: `grad` is all of it for whoever looks, whenever and however") {
  on_machines([](const std::vector<Device>& devices) {
    const auto look = [&](bool sharded) {
      manual_seed(7);
      Values seen;
      const auto see = [&](const std::vector<Tensor>& tensors) {
        for (auto& values : values_of(tensors)) seen.push_back(std::move(values));
      };
      std::vector<Tensor> parameters, kept;
      {
        DataParallel model{testing::Mlp{},
                           {.devices = devices, .bucket_bytes = 1024, .shard_optimizer = sharded}};
        parameters = model.parameters();
        optim::Adam optimizer(parameters, {.lr = 0.02});
        const auto backward = [&] { mean(square(model(testing::Mlp::batch(11).to(float32)))).backward(); };
        backward();
        kept = gradients_of(parameters);
        optimizer.step();
        see(kept);  // after the step
        optimizer.zero_grad();
        for (int step = 0; step < 3; ++step) {  // the kept ones stay while others come and go
          backward();
          optimizer.step();
          optimizer.zero_grad();
        }
        see(kept);
        backward();
        kept = gradients_of(parameters);
        optimizer.zero_grad();
        backward();
        backward();  // adds to what nobody has looked at
        see(gradients_of(parameters));
        see(kept);
        optimizer.zero_grad();
        backward();
        {
          const NoGradGuard no_grad;
          parameters[0].grad().narrow(0, 15, 1).mul_(3);  // one row of it is written
        }
        optimizer.step();
        see(parameters);
        optimizer.zero_grad();
        Tensor in_hook;
        parameters[0].register_hook([&](const Tensor& gradient) {
          in_hook = gradient * 2;
          return gradient * 3;
        });
        backward();
        see({in_hook});
        see(gradients_of(parameters));
        optimizer.step();
        see(parameters);
        optimizer.zero_grad();
        backward();
      }
      see(gradients_of(parameters));  // when the wrapper is gone
      return seen;
    };
    CHECK(look(true) == look(false));
  });
}

TEST_CASE("sharded optimizer: wrappers of one model, with buckets of their own, take turns") {
  on_machine(4, [](const std::vector<Device>& devices) {
    const auto train = [&](bool sharded) {
      manual_seed(9);
      testing::Mlp net;
      DataParallel one{net, {.devices = devices, .bucket_bytes = 512, .shard_optimizer = sharded}};
      DataParallel two{net, {.devices = devices, .bucket_bytes = 256, .shard_optimizer = sharded}};
      DataParallel plain{net, {.devices = devices}};
      optim::AdamW optimizer(one.parameters(), {.lr = 0.02});
      const auto step = [&](auto& model) {
        mean(square(model(testing::Mlp::batch(11).to(float32)))).backward();
        optimizer.step();
        optimizer.zero_grad();
      };
      for (int i = 0; i < 3; ++i) {
        step(one);
        step(two);
        step(plain);
      }
      return values_of(one.parameters());
    };
    CHECK(train(true) == train(false));
  });
}

TEST_CASE("sharded optimizer: a gradient that is another parameter's is the one that is stepped with") {
  on_machine(3, [](const std::vector<Device>& devices) {
    const auto train = [&](bool sharded) {
      struct Twins {
        nn::Linear a{16, 16}, b{16, 16};
        Tensor operator()(const Tensor& x) { return b(tanh(a(x))); }
      };
      manual_seed(7);
      DataParallel model{Twins{}, {.devices = devices, .shard_optimizer = sharded}};
      const std::vector<Tensor> parameters = model.parameters();
      optim::Adam optimizer(parameters, {.lr = 0.02});
      for (int step = 0; step < 3; ++step) {
        mean(square(model(randn({9, 16})))).backward();
        const Tensor first = parameters[0].grad();
        parameters[0].set_grad(parameters[2].grad());
        parameters[2].set_grad(first);
        optimizer.step();
        optimizer.zero_grad();
      }
      return values_of(parameters);
    };
    CHECK(train(true) == train(false));
  });
}

TEST_CASE(
    "sharded optimizer: a parameter is written on its device, whoever "
    "stepped it, and counts one write") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{testing::Mlp{}, {.devices = devices, .shard_optimizer = true}};
    const std::vector<Tensor> parameters = model.parameters();
    optim::SGD optimizer(parameters, {.lr = 1});
    mean(square(model(testing::Mlp::batch(6).to(float32)))).backward();
    std::vector<Tensor> expected;
    std::vector<std::uint32_t> versions;
    for (const Tensor& parameter : parameters) {
      expected.push_back((parameter.detach() - parameter.grad()).cpu());
      versions.push_back(parameter.version());
    }
    optimizer.step();
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(equal(parameters[i].cpu(), expected[i]));
      CHECK(parameters[i].version() == versions[i] + 1);
      CHECK(parameters[i].device() == devices[0]);
    }
  });
}

/// The whole training after some steps, as a file.
std::string checkpoint(const std::vector<Device>& devices, bool sharded, const std::string& from, int steps,
                       const std::string& file) {
  manual_seed(11);
  DataParallel model{testing::DropoutMlp{}, {.devices = devices, .replicas = 8, .shard_optimizer = sharded}};
  optim::Adam optimizer(model.parameters(), {.lr = 0.02});
  const Checkpoint training{{"model", model}, {"optimizer", optimizer}};
  if (!from.empty()) load_checkpoint(from, training);
  for (int step = 0; step < steps; ++step) {
    mean(square(model(testing::DropoutMlp::batch(11).to(float32)))).backward();
    optimizer.step();
    optimizer.zero_grad();
  }
  save_checkpoint(file, training);
  return testing::read_text(file);
}

TEST_CASE(
    "sharded optimizer: a checkpoint is the same file for any number of "
    "devices, and loads on any") {
  const testing::TemporaryFolder folder;
  const std::string first = folder / "first", second = folder / "second", other = folder / "other";
  std::string after3, after5;
  on_machine(1, [&](const std::vector<Device>& devices) {
    after3 = checkpoint(devices, false, "", 3, first);
    after5 = checkpoint(devices, false, first, 2, second);
  });
  for (const int gpus : {1, 2, 3, 4, 8})
    on_machine(gpus, [&](const std::vector<Device>& devices) {
      CHECK(checkpoint(devices, true, "", 3, other) == after3);
      CHECK(checkpoint(devices, true, first, 2, other) == after5);
      CHECK(checkpoint(devices, true, first, 0, other) == after3);  // loaded, not stepped
    });
}

TEST_CASE(
    "sharded optimizer: a model that is converted, moved to another "
    "wrapper or left without one goes on") {
  on_machine(3, [](const std::vector<Device>& devices) {
    const auto run = [&](bool sharded) {
      manual_seed(3);
      testing::Mlp net;
      optim::Adam optimizer(parameters(net), {.lr = 0.02});
      const auto step = [&](auto& model, DType dtype) {
        mean(square(model(testing::Mlp::batch(6).to(dtype)))).backward();
        optimizer.step();
        optimizer.zero_grad();
      };
      {
        DataParallel model{net, {.devices = devices, .shard_optimizer = sharded}};
        for (int i = 0; i < 2; ++i) step(model, float32);
        model.to(float64);
        for (int i = 0; i < 2; ++i) step(model, float64);
      }
      {
        DataParallel model{net, {.devices = {devices[0], devices[1]}, .shard_optimizer = sharded}};
        for (int i = 0; i < 2; ++i) step(model, float64);
        DataParallel second{net, {.devices = devices, .shard_optimizer = sharded}};
        for (int i = 0; i < 2; ++i) step(second, float64);
        step(model, float64);
      }
      to(net, Device::cpu());
      step(net, float64);
      Values values = values_of(parameters(net));
      const Values state = values_of(optimizer.state_dict());
      values.insert(values.end(), state.begin(), state.end());
      return values;
    };
    CHECK(run(true) == run(false));
  });
}

}  // namespace
}  // namespace miniparallel
