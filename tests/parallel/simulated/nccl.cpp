#include "../../cuda/simulated.h"
#include "../models.h"
#include "engine/device/accelerator.h"
#include "engine/device/collectives.h"
#include "engine/tensor/tensor_impl.h"
#include "steady.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

// Gradients that NCCL sums.

namespace miniparallel {
namespace {

using testing::Mlp;
using testing::Simulated;

constexpr GradientReduction kNccl = GradientReduction::nccl;

std::vector<double> gradients(const DataParallel<Mlp>& model) {
  std::vector<double> all;
  for (const Tensor& parameter : model.parameters())
    for (const double value : parameter.grad().to_vector<double>()) all.push_back(value);
  return all;
}

std::vector<double> gradients_of(std::int64_t rows, const DataParallelOptions& options) {
  manual_seed(5);
  DataParallel model{Mlp{}, options};
  mean(square(model(Mlp::batch(rows).to(float32)))).backward();
  return gradients(model);
}

void check_close(const std::vector<double>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    difference = std::max(difference, std::abs(values[i] - expected[i]));
  }
  CHECK(difference <= 1e-6 * largest);
}

TEST_CASE("nccl: sums what the other ways sum, in every order of streams") {
  for (const simulator::Streams streams : {simulator::Streams::lazy, simulator::Streams::threaded})
    for (const int gpus : {1, 2, 3, 4, 8}) {
      CAPTURE(gpus);
      simulator::Machine machine = simulator::machine_with(gpus);
      machine.streams = streams;
      const Simulated simulated(machine);
      for (const std::int64_t rows : {13, 1}) {  // of one replica alone
        check_close(gradients_of(rows, {.reduction = kNccl}), gradients_of(rows, {}));
        check_close(gradients_of(rows, {.replicas = 8, .reduction = kNccl}),
                    gradients_of(rows, {.replicas = 8}));
        check_close(gradients_of(rows, {.reduction = kNccl, .bucket_bytes = 256}), gradients_of(rows, {}));
      }
    }
}

TEST_CASE("nccl: where several replicas are on a GPU, and the first GPU has none of the rows' gradients") {
  const Simulated simulated(3);
  const DataParallelOptions options{.devices = {2, 0, 2, 0, 1}, .reduction = kNccl};
  check_close(gradients_of(11, options), gradients_of(11, {.devices = {2, 0, 2, 0, 1}}));
}

TEST_CASE("nccl: one call for each GPU and bucket; a steady step waits for nothing and asks for no memory") {
  const Simulated simulated(4);
  DataParallel model{Mlp{}, {.reduction = kNccl, .bucket_bytes = 256}};
  std::int64_t collectives = 0;
  testing::for_each_steady_step(model, randn({16, 6}), randint(0, 4, {16}), [&](const auto& work) {
    CHECK(work.host_synchronizations == 0);
    CHECK(work.allocations == 0);
    CHECK(work.collectives > 0);
    CHECK(work.collectives % 4 == 0);
    if (collectives > 0) CHECK(work.collectives == collectives);
    collectives = work.collectives;
  });
}

TEST_CASE("nccl: a failing call is an error that leaves the gradients, and the next backward works") {
  Simulated simulated(2);
  DataParallel model{Mlp{}, {.reduction = kNccl}};
  const Tensor x = Mlp::batch(8).to(float32);
  model(x).sum().backward();
  const std::vector<double> once = gradients(model);
  for (const char* call : {"ncclReduce", "ncclGroupEnd"}) {
    simulator::fail_library_call(call, 1);
    CHECK_THROWS_WITH_AS(model(x).sum().backward(), doctest::Contains("ncclReduce on cuda:0, cuda:1: "),
                         Error);
    CHECK(gradients(model) == once);
    model.zero_grad();
    model(x).sum().backward();
    CHECK(gradients(model) == once);
  }
}

TEST_CASE("nccl: wherever a call of CUDA fails in a backward, nothing waits for ranks that had begun") {
  const Simulated simulated(2);
  DataParallel model{Mlp{}, {.reduction = kNccl}};
  const Tensor x = Mlp::batch(8).to(float32);
  model(x).sum().backward();
  const std::vector<double> once = gradients(model);
  int struck = 0;
  for (int nth = 1;; ++nth, ++struck) {
    CAPTURE(nth);
    const Tensor loss = model(x).sum();
    simulator::fail_call("", nth, cudaErrorUnknown);
    try {
      loss.backward();
    } catch (const Error&) {
      CHECK(gradients(model) == once);
    }
    if (simulator::forget_faults() > 0) break;
    model.zero_grad();
    model(x).sum().backward();
    CHECK(gradients(model) == once);
  }
  CHECK(struck > 30);
}

TEST_CASE("nccl: a wrapper that cannot have it says so at once") {
  const Simulated simulated(2);
  simulator::fail_library_call("ncclCommInitAll", 1);
  CHECK_THROWS_WITH_AS((DataParallel{Mlp{}, {.reduction = kNccl}}),
                       doctest::Contains("ncclCommInitAll on cuda:0, cuda:1: "), Error);
  simulator::fail_library_call("ncclCommInitAll", 1);
  CHECK_THROWS_WITH_AS((DataParallel{Mlp{}, {.reduction = kNccl}}),
                       doctest::Contains("\n  DataParallel takes another .reduction, such as automatic"),
                       Error);
  CHECK(DataParallel(Mlp{}, {.reduction = kNccl}).describe().find("  sums of gradients: nccl\n") !=
        std::string::npos);
}

TEST_CASE("nccl: sums arrays of every floating dtype") {
  const Simulated simulated(2);
  const Device first = Device::cuda(0), second = Device::cuda(1);
  for (const DType dtype : {float64, float32, float16, bfloat16}) {
    CAPTURE(dtype);
    const Tensor a = full({300}, 1.5, {.dtype = dtype, .device = first});
    const Tensor b = full({300}, 2.25, {.dtype = dtype, .device = second});
    const Tensor y = zeros({300}, {.dtype = dtype, .device = first});
    const std::vector<Collectives::Array> arrays{{raw(a), stream(first)}, {raw(b), stream(second)}};
    accelerator(first).collectives({0, 1})->sum(arrays, raw(y), 300, dtype);
    CHECK(equal(y.cpu().to(float32), full({300}, 3.75)));
  }
}

}  // namespace
}  // namespace miniparallel
