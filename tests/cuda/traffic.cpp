#include <miniparallel/miniparallel.h>
#include <miniparallel/simulator_traffic.h>

#include "examples/cifar/model.h"
#include "simulated.h"

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

// The bytes that a training step moves through a GPU's memory, in float32 and under Autocast, beside those
// that it has to move: the table of docs/mixed-precision.md. Only where the checker looks up every access.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);
constexpr std::int64_t kBatch = 16, kSize = 16;  // images, and their pixels in a row

const char* kind_of(std::string_view name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string_view::npos; };
  if (has("update_rows")) return "optimizer";
  if (has("hannel") || has("PackMoments") || has("PackSums")) return "batch normalisation";
  if (has("Convert<")) return "conversions";
  if (has("conv2d")) return "convolutions";
  if (has("copy_")) return "copies";
  return "others";
}

/// In megabytes.
using Bytes = std::map<std::string, double>;

Bytes bytes_of_step(bool half) {
  const Simulated machine;
  manual_seed(1);
  cifar::ResNet net(1);
  to(net, gpu);
  optim::SGD optimizer(parameters(net), {.lr = 0.1, .momentum = 0.9});
  const Tensor images = randn({kBatch, 3, kSize, kSize}, {.device = gpu}),
               labels = randint(0, 10, {kBatch}).to(gpu);
  const auto step = [&] {
    Tensor loss;
    {
      const Autocast guard({.dtype = bfloat16, .enabled = half});
      loss = cross_entropy(net(images), labels);
    }
    loss.backward();
    optimizer.step();
    optimizer.zero_grad();
  };
  step();
  synchronize(gpu);
  simulator::start_traffic();
  step();
  synchronize(gpu);
  Bytes bytes;
  for (const simulator::MovedBytes& of : simulator::take_traffic()) {
    const double moved = static_cast<double>(of.bytes_read + of.bytes_written) * 1e-6;
    bytes[kind_of(of.name)] += moved;
    bytes["all"] += moved;
  }
  return bytes;
}

/// Each written and read once: what convolutions and normalisations put out, and its gradients, in a dtype of
/// so many bytes; parameters, gradients and momenta in float32.
double least_bytes(std::int64_t bytes_of_activation) {
  constexpr std::int64_t pixels = kSize * kSize;
  constexpr std::int64_t per_image = (2 + 4) * 16 * pixels + 6 * 32 * pixels / 4 + 6 * 64 * pixels / 16;
  std::int64_t of_parameters = 0;
  for (const Tensor& parameter : parameters(cifar::ResNet(1))) of_parameters += parameter.numel();
  return static_cast<double>(4 * bytes_of_activation * kBatch * per_image + 3 * 2 * 4 * of_parameters) * 1e-6;
}

bool near(double got, double in_the_table) { return std::abs(got - in_the_table) < 0.06; }

TEST_CASE("traffic: the bytes of a training step, in docs/mixed-precision.md") {
  if (!simulator::machine_with(1).checking) return;
  const Bytes table[] = {{{"convolutions", 10.8},
                          {"batch normalisation", 12.4},
                          {"conversions", 0},
                          {"copies", 0.1},
                          {"optimizer", 1.6},
                          {"others", 0.1},
                          {"all", 24.9},
                          {"least", 12.9}},
                         {{"convolutions", 5.8},
                          {"batch normalisation", 6.6},
                          {"conversions", 1.0},
                          {"copies", 0.6},
                          {"optimizer", 1.6},
                          {"others", 0.1},
                          {"all", 15.7},
                          {"least", 7.4}}};
  for (const bool half : {false, true}) {
    Bytes got = bytes_of_step(half);
    got["least"] = least_bytes(half ? 2 : 4);
    for (const auto& [kind, megabytes] : table[half ? 1 : 0]) {
      INFO(kind, half ? " in bfloat16: " : " in float32: ", got[kind]);
      CHECK(near(got[kind], megabytes));
    }
  }
}

TEST_CASE("traffic: what a kernel reads twice counts once, what two kernels read twice") {
  if (!simulator::machine_with(1).checking) return;
  const Simulated machine;
  const Tensor x = randn({64, 32}, {.device = gpu}), row = randn({32}, {.device = gpu});
  synchronize(gpu);
  simulator::start_traffic();
  Tensor y = x + row;
  y = y + row;
  synchronize(gpu);
  std::int64_t runs = 0, read = 0, written = 0;
  for (const simulator::MovedBytes& of : simulator::take_traffic()) {
    runs += of.runs;
    read += of.bytes_read;
    written += of.bytes_written;
  }
  CHECK(runs == 2);
  CHECK(read == 2 * 4 * (64 * 32 + 32));
  CHECK(written == 2 * 4 * 64 * 32);
}

}  // namespace
}  // namespace miniparallel::testing
