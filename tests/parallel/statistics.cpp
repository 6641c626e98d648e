#include <miniparallel/parallel/data_parallel.h>

#include "machines.h"
#include "models.h"

#include <doctest/doctest.h>

#include <stdexcept>

// Running statistics of batch normalisation, and other buffers.

namespace miniparallel {
namespace {

using testing::NormCnn;
using testing::on_machine;
using testing::on_machines;

NormCnn double_net() {
  manual_seed(11);
  NormCnn net;
  to(net, float64);
  return net;
}

TEST_CASE("statistics: merged, they are those of one device with the whole batch") {
  on_machines([](const std::vector<Device>& devices) {
    for (const std::int64_t rows : {1, 5, 13}) {
      CAPTURE(rows);
      NormCnn net = double_net(), alone = clone(net);
      DataParallel model{net, {.devices = devices}};
      for (int step = 0; step < 3; ++step) {
        const Tensor x = NormCnn::batch(rows);
        model(x);
        alone(x);
      }
      CHECK(allclose(model->norm.running_mean.cpu(), alone.norm.running_mean, 1e-11, 1e-11));
      CHECK(allclose(model->norm.running_var.cpu(), alone.norm.running_var, 1e-11, 1e-11));
      CHECK(model->norm.num_batches_tracked.item<int>() == 3);
    }
  });
}

struct Averaging {
  nn::BatchNorm1d norm{3, {.momentum = std::nullopt}};
  Tensor operator()(const Tensor& x) { return norm(x); }
};

TEST_CASE("statistics: the plain average over all batches, without a momentum") {
  on_machines([](const std::vector<Device>& devices) {
    Averaging net, alone;
    DataParallel model{net, {.devices = devices, .min_rows = 2}};
    for (int step = 0; step < 3; ++step) {
      const Tensor x = randn({9, 3});
      model(x);
      alone(x);
    }
    CHECK(allclose(model->norm.running_var.cpu(), alone.norm.running_var, 1e-5, 1e-6));
    CHECK(allclose(model->norm.running_mean.cpu(), alone.norm.running_mean, 1e-5, 1e-6));
  });
}

TEST_CASE("statistics: of policy device0 they are those of the first chunk") {
  on_machine(3, [](const std::vector<Device>& devices) {
    NormCnn net = double_net(), alone = clone(net);
    DataParallel model{net, {.devices = devices, .batch_norm = BatchNormPolicy::device0}};
    const Tensor x = NormCnn::batch(10);
    model(x);
    alone(x.narrow(0, 0, 4));
    CHECK(allclose(model->norm.running_mean.cpu(), alone.norm.running_mean, 1e-11, 1e-11));
    CHECK(allclose(model->norm.running_var.cpu(), alone.norm.running_var, 1e-11, 1e-11));
    CHECK(model->norm.num_batches_tracked.item<int>() == 1);
  });
}

TEST_CASE("statistics: evaluation writes nothing, and uses the merged ones on every GPU") {
  on_machines([](const std::vector<Device>& devices) {
    NormCnn net = double_net(), alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = NormCnn::batch(13);
    model(x);
    alone(x);
    model.eval();
    eval(alone);
    const Tensor before = model->norm.running_mean.cpu();
    CHECK(allclose(model(x).cpu(), alone(x), 1e-11, 1e-11));
    CHECK(equal(model->norm.running_mean.cpu(), before));
    CHECK(model->norm.num_batches_tracked.item<int>() == 1);
  });
}

TEST_CASE("statistics: batches of changing size, then of another dtype") {
  on_machines([](const std::vector<Device>& devices) {
    NormCnn net = double_net(), alone = clone(net);
    DataParallel model{net, {.devices = devices}};
    for (const DType dtype : {float64, float32})
      for (const std::int64_t rows : {13, 13, 2, 9, 1, 13, 13}) {
        to(model.model(), dtype);
        to(alone, dtype);
        const Tensor x = NormCnn::batch(rows).to(dtype);
        model(x);
        alone(x);
        const double tolerance = dtype == float64 ? 1e-11 : 1e-5;
        CHECK(allclose(model->norm.running_mean.cpu(), alone.norm.running_mean, tolerance, tolerance));
        CHECK(allclose(model->norm.running_var.cpu(), alone.norm.running_var, tolerance, tolerance));
      }
  });
}

struct Calls {
  nn::BatchNorm1d shared{2}, rare{2};
  nn::Buffer count{zeros({1})};
  bool fails = false;
  Tensor operator()(const Tensor& x) {
    const NoGradGuard no_grad;
    Tensor y = shared(shared(x) * 3);  // one layer twice
    if (x.size(0) > 3) y = rare(y);
    Tensor(count).add_(static_cast<double>(x.size(0)));
    if (fails && x.size(0) < 4) throw std::runtime_error("a replica fails");
    return y + count.sum();
  }
};

TEST_CASE("statistics: one layer called twice, and one that only some replicas call") {
  on_machine(3, [](const std::vector<Device>& devices) {
    manual_seed(2);
    Calls net;
    to(net, float64);
    DataParallel model{net, {.devices = devices}};
    const Tensor x = randn({10, 2}, {.dtype = float64});  // 4, 3, 3 rows
    model(x);
    CHECK(model->shared.num_batches_tracked.item<int>() == 2);
    CHECK(model->rare.num_batches_tracked.item<int>() == 1);
    nn::BatchNorm1d first(2);
    to(first, float64);
    first(x);
    // The first call sees the whole batch; the running mean after the second starts from it.
    Tensor second_mean = (model->shared.running_mean.cpu() - first.running_mean * 0.9) / 0.1;
    CHECK(allclose(second_mean, zeros({2}, {.dtype = float64}), 1e-9, 1e-9));
  });
}

struct LateCalls {
  nn::BatchNorm1d rare{2}, shared{2};
  Tensor operator()(Tensor x) {
    const NoGradGuard no_grad;
    const bool first = x.size(0) > 3;
    if (first) x = rare(x);
    const Tensor y = shared(x + 5);
    return first ? shared(y + 1) : y;
  }
};

TEST_CASE("statistics: the calls of one layer count in their order, whichever replicas made them") {
  on_machine(3, [](const std::vector<Device>& devices) {
    LateCalls net;
    to(net, float64);
    DataParallel model{net, {.devices = devices}};
    model(zeros({10, 2}, {.dtype = float64}));  // 4, 3, 3 rows; means 5, then 1
    CHECK(allclose(model->shared.running_mean.cpu(), full({2}, 0.9 * 0.5 + 0.1, {.dtype = float64})));
  });
}

TEST_CASE("statistics: of other buffers written in forward the first replica's value stays") {
  on_machines([](const std::vector<Device>& devices) {
    Calls net;
    DataParallel model{net, {.devices = devices, .min_rows = 2}};
    const std::int64_t first = chunk_sizes(10, static_cast<int>(devices.size()), Split::balanced, 2)[0];
    for (int step = 1; step <= 3; ++step) {
      const Tensor y = model(randn({10, 2}));
      CHECK(model->count.item() == static_cast<double>(first * step));  // every replica starts from it
    }
  });
}

TEST_CASE("statistics: an exception leaves them untouched") {
  on_machine(3, [](const std::vector<Device>& devices) {
    Calls net;
    net.fails = true;
    DataParallel broken{net, {.devices = devices}};
    const Tensor mean = broken->shared.running_mean.clone();
    CHECK_THROWS_WITH_AS(broken(randn({10, 2})), "a replica fails", std::runtime_error);
    CHECK(equal(broken->shared.running_mean, mean));
    CHECK(broken->shared.num_batches_tracked.item<int>() == 0);
    CHECK(broken(randn({16, 2})).shape() == Shape{16, 2});  // 6, 5, 5: the next call works
  });
}

TEST_CASE("statistics: with one replica a layer has counted the batch when a later one fails") {
  on_machine(1, [](const std::vector<Device>& devices) {
    struct Net {
      nn::BatchNorm1d early{2}, late{2};
      bool fails = true;
      Tensor operator()(const Tensor& x) {
        const Tensor h = early(x);
        if (fails) throw std::runtime_error("between the layers");
        return late(h);
      }
    };
    DataParallel model{Net{}, {.devices = devices}};
    CHECK_THROWS_WITH_AS(model(randn({10, 2})), "between the layers", std::runtime_error);
    CHECK(model->early.num_batches_tracked.item<int>() == 1);
    CHECK(model->late.num_batches_tracked.item<int>() == 0);
    CHECK(equal(model->late.running_var.cpu(), ones({2})));
    model->fails = false;
    model(randn({10, 2}));  // the next call works
    CHECK(model->early.num_batches_tracked.item<int>() == 2);
    CHECK(model->late.num_batches_tracked.item<int>() == 1);
  });
}

TEST_CASE("statistics: one row per replica is an error of batch normalisation that min_rows avoids") {
  on_machine(4, [](const std::vector<Device>& devices) {
    struct Net {
      nn::BatchNorm1d norm{3};
      Tensor operator()(const Tensor& x) { return norm(x); }
    };
    DataParallel model{Net{}, {.devices = devices}};
    CHECK_THROWS_WITH_AS(
        model(randn({5, 3})),
        ("batch_norm: input of shape [1, 3] has not more than one value per channel, so no variance to train "
         "with; use a larger batch or eval(); 5 rows are divided among 4 replicas, and .min_rows = 2 gives "
         "none of them less than two\n  in replica 1 on " +
         to_string(devices[1]) + ", rows [2, 3)")
            .c_str(),
        Error);
    CHECK(model(randn({8, 3})).shape() == Shape{8, 3});
    DataParallel wider{Net{}, {.devices = devices, .min_rows = 2}};
    wider(randn({5, 3}));
    CHECK(wider.counters().replicas_used == 2);
  });
}

}  // namespace
}  // namespace miniparallel
