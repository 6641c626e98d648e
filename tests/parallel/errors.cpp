#include <miniparallel/parallel/cuda_multi_gpu.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <new>
#include <stdexcept>

// What is refused, word for word, and what is left as it was.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::on_machine;

struct Two {
  nn::Linear fc{6, 4};
  Tensor operator()(const Tensor& x, const Tensor& scale) { return fc(x) * scale; }
};

TEST_CASE("errors: tensors that disagree in their rows are refused before any work") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Two{}, {.devices = devices}};
    CHECK_THROWS_WITH_AS(
        model(zeros({6, 6}), zeros({5, 1})),
        "DataParallel: argument 1 has 5 rows in dim 0, argument 0 has 6; give all the same number, or "
        "wrap it in replicated(t) to send it whole",
        Error);
    CHECK_THROWS_WITH_AS(
        model(zeros({6, 6}), zeros({})),
        "DataParallel: argument 1 is a tensor without dimensions, which has no rows; wrap it in "
        "replicated(t) to send it whole",
        Error);
    CHECK(model(zeros({6, 6}), replicated(zeros({}))).shape() == Shape{6, 4});
    CHECK(model.counters().replicas_used == 3);
  });
}

TEST_CASE("errors: options that make no sense") {
  on_machine(2, [](const std::vector<Device>& devices) {
    CHECK_THROWS_WITH_AS(
        DataParallel(Mlp{}, {.devices = std::vector<Device>{}}),
        "DataParallel: the list of devices is empty; name at least one, or leave it out for all GPUs", Error);
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = devices, .replicas = -1}),
                         "DataParallel: got -1 replicas; name at least one, or 0 for one per device", Error);
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = devices, .min_rows = 0}),
                         "DataParallel: min_rows is 0; a replica needs at least one row", Error);
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = devices, .bucket_bytes = 0}),
                         "DataParallel: bucket_bytes is 0; a bucket needs at least one byte", Error);
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = {devices[0]}, .bucket_bytes = -1}),
                         "DataParallel: bucket_bytes is -1; a bucket needs at least one byte", Error);
    CHECK(DataParallel(Mlp{}, {.devices = devices, .bucket_bytes = 1})(zeros({6, 6})).shape() == Shape{6, 4});
    if (devices[1].is_cpu()) return;
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = {0, Device::cpu()}}),
                         "DataParallel: got cuda:0 and cpu; replicas run either on GPUs or on the CPU",
                         Error);
    const std::string last = "; the last GPU is " + to_string(Device::cuda(cuda_device_count() - 1));
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = {0, 77}}),
                         ("DataParallel: there is no cuda:77" + last).c_str(), Error);
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = {-1}}),
                         ("DataParallel: there is no cuda:-1" + last).c_str(), Error);
    CHECK_THROWS_WITH_AS(DataParallel(Mlp{}, {.devices = devices, .output_device = Device::cuda(77)}),
                         ("DataParallel: output_device: there is no cuda:77" + last).c_str(), Error);
  });
}

/// Calls another wrapper.
struct Calls {
  static inline DataParallel<Mlp>* inner = nullptr;
  nn::Linear fc{6, 6};
  Tensor operator()(const Tensor& x) { return (*inner)(fc(x)); }
};

TEST_CASE("errors: a wrapper called inside a replica of another one") {
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel inner{Mlp{}, {.devices = devices}};
    Calls::inner = &inner;
    DataParallel model{Calls{}, {.devices = devices}}, alone{Calls{}, {.devices = {devices[0]}}};
    CHECK_THROWS_WITH_AS(
        model(zeros({4, 6})),
        ("DataParallel: called inside a replica of a DataParallel, whose devices would wait for one another; "
         "wrap the outer model alone\n  in replica 0 on " +
         to_string(devices[0]) + ", rows [0, 2)")
            .c_str(),
        Error);
    CHECK(inner(zeros({4, 6})).shape() == Shape{4, 4});
    CHECK(alone(zeros({4, 6})).shape() == Shape{4, 4});  // one replica is the model itself
  });
}

TEST_CASE("errors: the model stays on the first device") {
  on_machine(2, [](const std::vector<Device>& devices) {
    DataParallel model{Mlp{}, {.devices = devices}};
    CHECK(&model.to(devices[0]) == &model);
    const Device other = devices[0].is_cpu() ? Device::cuda(0) : Device::cpu();
    CHECK_THROWS_WITH_AS(
        model.to(other),
        ("DataParallel: to(" + to_string(other) + "), but the model stays on " + to_string(devices[0]) +
         ", the first of its devices; make another wrapper for other devices")
            .c_str(),
        Error);
    CHECK(model(zeros({4, 6})).shape() == Shape{4, 4});
  });
}

TEST_CASE("errors: sizes that do not add up to the batch") {
  on_machine(3, [](const std::vector<Device>& devices) {
    DataParallel model{Mlp{}, {.devices = devices, .split = Split::sizes({2, 2, 2})}};
    CHECK_THROWS_WITH_AS(
        model(zeros({7, 6})),
        "Split::sizes: got {2, 2, 2}, which make 6 rows, for a batch of 7; the sizes must add up to the "
        "batch",
        Error);
    CHECK(model(zeros({6, 6})).shape() == Shape{6, 4});
  });
}

TEST_CASE("errors: results that do not fit together name the replicas and both shapes") {
  on_machine(2, [](const std::vector<Device>& devices) {
    struct Squeezes {
      nn::Linear fc{3, 2};
      Tensor operator()(const Tensor& x) { return fc(x).squeeze(); }
    };
    DataParallel model{Squeezes{}, {.devices = devices}};
    CHECK_THROWS_WITH_AS(
        model(zeros({3, 3})),
        "gather: replica 0 returned shape [2, 2], replica 1 [2]; only the size of dim 0 may differ. Does "
        "the model squeeze away a batch of one? Name the dimension, squeeze(dim)",
        Error);
    CHECK(model(zeros({4, 3})).shape() == Shape{4, 2});
  });
}

struct Strange : std::runtime_error {
  using runtime_error::runtime_error;
};

struct Fails {
  nn::Linear fc{1, 1};
  nn::BatchNorm1d norm{1};
  Tensor operator()(const Tensor& x) {
    Tensor y = norm(fc(x));
    const double first = x.select(0, 0).item();
    if (first >= 2) throw Strange(std::to_string(first));
    return y;
  }
};

TEST_CASE("errors: of several replicas that fail in forward the lowest one's exception is rethrown") {
  std::vector<std::string> lines;  // an exception that is no Error has its note in the log
  const LogHandler before =
      set_log_handler([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  for (int round = 0; round < 20; ++round)
    on_machine(4, [](const std::vector<Device>& devices) {
      DataParallel model{Fails{}, {.devices = devices}};
      const Tensor x = arange(8).to(float32).view({8, 1});
      CHECK_THROWS_WITH_AS(model(x), "2.000000", Strange);
      for (const Tensor& parameter : model.parameters()) CHECK_FALSE(parameter.grad().defined());
      CHECK(model->norm.num_batches_tracked.item<int>() == 0);
      CHECK(model(x * 0).shape() == Shape{8, 1});  // the next call works
      CHECK(model->norm.num_batches_tracked.item<int>() == 1);
    });
  set_log_handler(before);
  REQUIRE(lines.size() >= 20);
  CHECK(lines[0].starts_with("an exception in replica "));
}

TEST_CASE("errors: an Error of a replica has a note of replica, device and rows, in forward and backward") {
  on_machine(3, [](const std::vector<Device>& devices) {
    struct Strict {
      nn::Linear fc{2, 2};
      bool in_backward = false;
      Tensor operator()(const Tensor& x) {
        if (!in_backward && x.size(0) < 3) return fc(x.narrow(0, 0, 9));
        Tensor y = fc(x);
        if (x.size(0) < 3) y.register_hook([](const Tensor& grad) { return grad.narrow(0, 0, 1); });
        return y;
      }
    };
    DataParallel model{Strict{}, {.devices = devices}};
    const auto message_of = [](const auto& action) -> std::string {
      try {
        action();
      } catch (const Error& error) {
        return error.what();
      }
      return "nothing was thrown";
    };
    const std::string note = "\n  in replica 1 on " + to_string(devices[1]) + ", rows [3, 5)";
    CHECK(message_of([&] { model(zeros({7, 2})); }).ends_with(note));
    model->in_backward = true;  // plain members follow
    CHECK(message_of([&] { model(zeros({7, 2})).sum().backward(); }).ends_with(note));
    CHECK_FALSE(model->fc.weight.grad().defined());
  });
}

TEST_CASE("errors: of several replicas that fail in backward the lowest one's exception is rethrown") {
  const LogHandler before = set_log_handler({});
  for (int round = 0; round < 20; ++round)
    on_machine(4, [](const std::vector<Device>& devices) {
      struct Hooked {
        nn::Linear fc{1, 1};
        Tensor operator()(const Tensor& x) {
          Tensor y = fc(x);
          const double first = x.select(0, 0).item();
          y.register_hook([first](const Tensor&) -> Tensor {
            if (first >= 2) throw Strange(std::to_string(first));
            return {};
          });
          return y;
        }
      };
      DataParallel model{Hooked{}, {.devices = devices}};
      const Tensor x = arange(8).to(float32).view({8, 1});
      CHECK_THROWS_WITH_AS(model(x).sum().backward(), "2.000000", Strange);
      CHECK_FALSE(model->fc.weight.grad().defined());
      model(x * 0).sum().backward();
      CHECK(model->fc.bias.grad().item() == 8);
    });
  set_log_handler(before);
}

/// Throws `what` in forward or in backward, in replicas that have less than three rows.
struct Throws {
  nn::Linear fc{2, 2};
  int what = 0;
  bool in_backward = false;
  static void raise(int what) {
    if (what == 1) throw std::bad_alloc();
    if (what == 2) throw Strange("strange");
    if (what == 3) throw 42;
  }
  Tensor operator()(const Tensor& x) {
    Tensor y = fc(x);
    if (x.size(0) >= 3) return y;
    if (!in_backward) raise(what);
    y.register_hook([what = in_backward ? what : 0](const Tensor&) -> Tensor {
      raise(what);
      return {};
    });
    return y;
  }
};

TEST_CASE("errors: what is no Error arrives with its type, and a line of the log says which replica threw") {
  std::vector<std::string> lines;
  const LogHandler before = set_log_handler([&](LogLevel level, std::string_view text) {
    if (level == LogLevel::warning) lines.emplace_back(text);
  });
  on_machine(3, [&](const std::vector<Device>& devices) {
    const std::vector<std::string> one_line = {"an exception in replica 2 on " + to_string(devices[2]) +
                                               ", rows [6, 8)"};
    DataParallel model{Throws{}, {.devices = devices, .hints = false}};
    const Tensor x = ones({8, 2});
    for (const bool in_backward : {false, true}) {
      CAPTURE(in_backward);
      model->in_backward = in_backward;  // plain members follow
      const auto step = [&](int what) {
        lines.clear();
        model->what = what;
        model(x).sum().backward();
      };
      CHECK_THROWS_AS(step(1), std::bad_alloc);
      CHECK(lines == one_line);
      CHECK_THROWS_WITH_AS(step(2), "strange", Strange);
      CHECK(lines == one_line);
      CHECK_THROWS_AS(step(3), int);
      CHECK(lines == one_line);
      CHECK_FALSE(model->fc.bias.grad().defined());
      step(0);
      CHECK(lines.empty());
      CHECK(model->fc.bias.grad()[0].item() == 8);
      model.zero_grad();
    }
  });
  set_log_handler(before);
}

/// Whose copies may fail.
struct Fuse {
  static inline int copies_left = 1000;
  Fuse() = default;
  Fuse(const Fuse&) {
    if (copies_left-- == 0) throw std::bad_alloc();
  }
  Fuse& operator=(const Fuse&) = default;
};
struct Fused {
  nn::Linear fc{2, 2};
  Fuse fuse;
  Tensor operator()(const Tensor& x) { return fc(x); }
  MINIPARALLEL_MEMBERS(fc)
};

TEST_CASE("errors: a model that cannot be copied is left where it was, and another wrapper of it goes on") {
  on_machine(3, [](const std::vector<Device>& devices) {
    Fused net;
    const Device there = net.fc.weight.device();
    const std::vector<float> values = net.fc.weight.to_vector<float>();
    for (const int copies : {0, 1}) {
      Fuse::copies_left = copies;
      CHECK_THROWS_AS(parallel::replicate(net, devices), std::bad_alloc);
      CHECK(net.fc.weight.device() == there);
      CHECK(net.fc.weight.to_vector<float>() == values);
    }
    Fuse::copies_left = 1000;
    DataParallel model{net, {.devices = devices}};
    const Tensor y = model(ones({6, 2}));
    Fuse::copies_left = 1;
    CHECK_THROWS_AS(parallel::replicate(net, devices), std::bad_alloc);
    Fuse::copies_left = 1000;
    y.sum().backward();  // the wrapper takes the gradients still
    CHECK(net.fc.bias.grad().to_vector<float>() == std::vector<float>{6, 6});
    auto nets = parallel::replicate(net, devices);
    CHECK(nets.size() == 3);
  });
}

struct Touches {
  nn::Linear fc{2, 2};
  int action = 0;
  Tensor operator()(const Tensor& x) {
    Tensor y = fc(x);
    if (x.size(0) > 2) return y;  // replica 0 is the master
    if (action == 1) fc.weight.register_hook([](const Tensor&) { return Tensor(); });
    if (action == 2) fc.weight.retain_grad();
    if (action == 3) requires_grad_(fc, false);
    if (action == 4) fc.weight.requires_grad_();
    return y;
  }
};

TEST_CASE("errors: hooks and freezing on a replica's parameters are refused, the master is the place") {
  on_machine(2, [](const std::vector<Device>& devices) {
    const std::string why =
        ": the tensor is a replica's copy of a parameter; freeze and hook the master's, which is in "
        "model.model()\n  in replica 1 on " +
        to_string(devices[1]) + ", rows [3, 5)";
    DataParallel model{Touches{}, {.devices = devices}};
    const auto check_refused = [&](int action, const std::string& op) {
      model->action = action;
      CHECK_THROWS_WITH_AS(model(zeros({5, 2})), (op + why).c_str(), Error);
    };
    check_refused(1, "register_hook");
    check_refused(2, "retain_grad");
    check_refused(3, "requires_grad_");
    requires_grad_(model.model(), false);
    check_refused(4, "requires_grad_");  // also where the master is frozen
    requires_grad_(model.model());
    model->action = 0;
    int calls = 0;
    model->fc.weight.register_hook([&](const Tensor&) {
      ++calls;
      return Tensor();
    });
    model(ones({5, 2})).sum().backward();
    CHECK(calls == 1);
    CHECK(model->fc.bias.grad()[0].item() == 5);
  });
}

TEST_CASE("errors: without a GPU the wrapper runs on the CPU and says why once; require_gpu throws") {
  if (cuda_device_count() > 0) return;
  std::vector<std::string> lines;
  const LogHandler before =
      set_log_handler([&](LogLevel, std::string_view text) { lines.emplace_back(text); });
  CudaMultiGPU model{Mlp{}};
  const Tensor x = randn({5, 6});
  const Tensor y = model(x);
  set_log_handler(before);
  CHECK(y.device().is_cpu());
  REQUIRE(lines.size() == 1);
  CHECK(lines[0] == "DataParallel runs on the CPU: " + cuda_unavailable_reason());
  CHECK(CudaMultiGPU(Mlp{}, {.output_device = Device::cuda(1)})(x).device().is_cpu());
  CHECK_THROWS_WITH_AS(CudaMultiGPU(Mlp{}, {.require_gpu = true}),
                       ("DataParallel: there is no GPU to run on: " + cuda_unavailable_reason() +
                        "; leave require_gpu out to run on the CPU")
                           .c_str(),
                       Error);
}

}  // namespace
}  // namespace miniparallel
