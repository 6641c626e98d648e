#include <miniparallel/parallel/data_parallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <string>

// What keeps replicas up to date, and what it costs.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::on_machine;
using testing::on_machines;

/// 16 x 6, 16, 4 x 16 and 4 floats; all but the last padded to multiples of 64.
constexpr std::int64_t kMlpBytes = 4 * (128 + 64 + 64 + 4);

/// Other devices than the first, each once.
std::int64_t others(const std::vector<Device>& devices) {
  std::int64_t count = 0;
  for (std::size_t i = 1; i < devices.size(); ++i)
    count += devices[i] != devices[i - 1] && devices[i] != devices[0];
  return count;
}

TEST_CASE("replicate: sends everything once, then what was written since") {
  on_machines([](const std::vector<Device>& devices) {
    if (devices.size() == 1) return;
    Mlp net;
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({16, 6});
    const auto sent = [&] {
      model(x);
      return model.counters().bytes_refreshed;
    };
    CHECK(sent() == others(devices) * kMlpBytes);
    CHECK(sent() == 0);
    {
      const NoGradGuard no_grad;
      net.first.bias.fill_(1);
    }
    CHECK(sent() == others(devices) * 4 * 16);
    optim::SGD optimizer(model.parameters(), {.lr = 0.1});
    model(x).sum().backward();
    optimizer.step();
    CHECK(sent() == others(devices) * kMlpBytes);
    net.first.weight.requires_grad_(false);
    model.zero_grad();
    model(x).sum().backward();
    CHECK_FALSE(net.first.weight.grad().defined());
    optimizer.step();
    CHECK(sent() == others(devices) * 4 * (64 + 64 + 4));  // without the frozen one
  });
}

TEST_CASE("replicate: replicas on one device share its values") {
  on_machine(2, [](const std::vector<Device>& devices) {
    if (devices[0] == devices[1]) return;
    DataParallel model{Mlp{}, {.devices = devices, .replicas = 8}};
    model(randn({16, 6}));
    CHECK(model.counters().bytes_refreshed == kMlpBytes);
  });
}

TEST_CASE("counters: launches since the last forward began, on all devices") {
  on_machines([](const std::vector<Device>& devices) {
    DataParallel one{Mlp{}, {.devices = {devices[0]}}}, model{Mlp{}, {.devices = devices}};
    CHECK(model.counters().launches == 0);
    const Tensor x = randn({16, 6});
    model(x);  // the first one brings the parameters, too
    const auto launches_of = [&](DataParallel<Mlp>& of) {
      of(x);
      return of.counters().launches;
    };
    const std::int64_t alone = launches_of(one), together = launches_of(model);
    CHECK(alone > 0);
    CHECK(together >= static_cast<std::int64_t>(devices.size()) * alone);
    CHECK(launches_of(model) == together);
    const Tensor loss = model(x).sum();
    const std::int64_t forward = model.counters().launches;
    loss.backward();
    CHECK(model.counters().launches > forward);
  });
}

TEST_CASE("replicate: a checkpoint, a conversion and writes in place are seen by the next forward") {
  on_machines([](const std::vector<Device>& devices) {
    Mlp net, other;
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({9, 6});
    model(x);
    model.load_state_dict(state_dict(other));
    CHECK(allclose(model(x).cpu(), other(x), 1e-5, 1e-6));
    model.to(float64);
    to(other, float64);
    CHECK(allclose(model(x.to(float64)).cpu(), other(x.to(float64)), 1e-11, 1e-11));
    model(x.to(float64)).sum().backward();
    CHECK(net.first.weight.grad().dtype() == float64);
    {
      const NoGradGuard no_grad;
      net.second.weight.mul_(2);
      other.second.weight.mul_(2);
    }
    CHECK(allclose(model(x.to(float64)).cpu(), other(x.to(float64)), 1e-11, 1e-11));
    CHECK(model.state_dict().begin()->first == state_dict(other).begin()->first);
  });
}

TEST_CASE("replicate: a parameter written between forward and backward is the error of one device") {
  on_machines([](const std::vector<Device>& devices) {
    Mlp net;
    DataParallel model{net, {.devices = devices}};
    const Tensor y = model(randn({9, 6})).sum();
    {
      const NoGradGuard no_grad;
      net.second.weight.mul_(2);
    }
    std::string note;  // one replica is the model itself, which has no notes
    if (devices.size() > 1) note = "\n  in replica 0 on " + to_string(devices[0]) + ", rows [0, ";
    try {
      y.backward();
      FAIL_CHECK("the backward has used other values than the forward");
    } catch (const Error& error) {
      const std::string text = error.what();
      CHECK(text.starts_with(
          "backward: a tensor of shape [4, 16] that linear saved was written in place since "
          "(version " +
          std::to_string(net.second.weight.version()) + ", saved at " +
          std::to_string(net.second.weight.version() - 1) + "); write to a clone instead" + note));
    }
    CHECK_FALSE(net.first.weight.grad().defined());
    model(randn({9, 6})).sum().backward();
    CHECK(net.first.weight.grad().defined());
  });
}

TEST_CASE("replicate: a forward that writes a parameter is an error that names it") {
  on_machine(2, [](const std::vector<Device>& devices) {
    struct Writes {
      nn::Linear fc{3, 2};
      Tensor operator()(const Tensor& x) {
        const NoGradGuard no_grad;
        fc.weight.mul_(0.5);
        return fc(x);
      }
    };
    DataParallel model{Writes{}, {.devices = devices}};
    CHECK_THROWS_WITH_AS(model(randn({4, 3})),
                         "DataParallel: the forward wrote fc.weight in place; a parameter may change between "
                         "forwards only, keep such state in an nn::Buffer",
                         Error);
  });
}

TEST_CASE("replicate: a master that was moved elsewhere is an error that says where it is") {
  on_machine(2, [](const std::vector<Device>& devices) {
    if (devices[0].is_cpu() || devices[0] == devices[1]) return;
    DataParallel model{Mlp{}, {.devices = devices}};
    to(model.model(), Device::cpu());
    CHECK_THROWS_WITH_AS(
        model(randn({4, 6})),
        "DataParallel: first.weight is on cpu; the master's tensors must stay on cuda:0, bring it "
        "back with to(model.model(), Device)",
        Error);
    to(model.model(), devices[0]);
    CHECK(model(randn({4, 6})).shape() == Shape{4, 4});
  });
}

TEST_CASE("replicate: inside a forward, parameters(*this) are the replica's own, on its device") {
  on_machines([](const std::vector<Device>& devices) {
    struct Looks {
      nn::Linear fc{3, 2};
      Tensor operator()(const Tensor& x) {
        for (const Tensor& parameter : parameters(*this)) CHECK(parameter.device() == x.device());
        return fc(x);
      }
    };
    DataParallel model{Looks{}, {.devices = devices}};
    model(randn({8, 3}));
  });
}

TEST_CASE("replicate: a plain tensor is sent like a buffer; one that requires grad is refused") {
  on_machines([](const std::vector<Device>& devices) {
    struct Scaled {
      nn::Linear fc{3, 2};
      Tensor scale = ones({2});
      Tensor operator()(const Tensor& x) { return fc(x) * scale; }
    };
    Scaled net;
    Scaled alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({8, 3});
    CHECK(allclose(model(x).cpu(), alone(x), 1e-5, 1e-6));
    model->scale = full({2}, 3.0, {.device = devices[0]});
    CHECK(allclose(model(x).cpu(), alone(x) * 3, 1e-5, 1e-6));
    const std::int64_t first = model.counters().bytes_refreshed;
    CHECK(first == static_cast<std::int64_t>(devices.size() - 1) * 8);
    model(x);
    CHECK(model.counters().bytes_refreshed == 0);

    Scaled grows;
    grows.scale.requires_grad_();
    CHECK_THROWS_WITH_AS(
        DataParallel(grows, {.devices = devices}),
        "DataParallel: scale is a Tensor that requires grad; make it an nn::Parameter, so that "
        "it is trained and saved",
        Error);
    CHECK(grows.fc.weight.device() == Device::cpu());  // nothing was moved
  });
}

TEST_CASE("replicate: a master that gets a layer more is an error, whatever the number of rows") {
  on_machine(3, [](const std::vector<Device>& devices) {
    struct Tower {
      std::vector<nn::Linear> layers;
      Tensor operator()(Tensor x) {
        for (nn::Linear& layer : layers) x = layer(x);
        return x;
      }
    };
    Tower net;
    net.layers.emplace_back(6, 6);
    DataParallel model{net, {.devices = devices}};
    model->layers.emplace_back(6, 6);
    to(model.model(), devices[0]);
    for (const std::int64_t rows : {1, 6})  // one row: of the master alone
      CHECK_THROWS_WITH_AS(
          model(zeros({rows, 6})),
          doctest::Contains("\n  while replicas follow their master; wrap the changed model anew"), Error);
    model->layers.pop_back();
    CHECK(model(zeros({6, 6})).shape() == Shape{6, 6});
  });
}

TEST_CASE("replicate: what a replica writes to its plain members is overwritten by the next forward") {
  on_machines([](const std::vector<Device>& devices) {
    struct Counts {
      nn::Linear fc{3, 2};
      int calls = 0;
      Tensor operator()(const Tensor& x) { return full({x.size(0)}, ++calls, {.device = x.device()}); }
    };
    DataParallel model{Counts{}, {.devices = devices}};
    const Tensor x = zeros({8, 3});
    CHECK(equal(model(x).cpu(), ones({8}, {.dtype = int64})));
    CHECK(model->calls == 1);
    model->calls = 10;
    CHECK(equal(model(x).cpu(), full({8}, 11)));
  });
}

}  // namespace
}  // namespace miniparallel
