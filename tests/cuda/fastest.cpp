#include <miniparallel/capture.h>
#include <miniparallel/random.h>
#include <miniparallel/simulator_clock.h>
#include <miniparallel/simulator_history.h>

#include "compare.h"
#include "simulated.h"
#include "tests/support/temporary_folder.h"

// Convolutions choose the fastest of several tiles, at the first call of a kind.

namespace miniparallel::testing {
namespace {

const Device gpu = Device::cuda(0);
constexpr simulator::Speeds kSpeeds{
    .memory = 1e12, .float32 = 1e13, .tf32 = 1e14, .half = 1e14, .float64 = 1e13, .bus = 1e10};
/// Launches of each tile that a measurement makes.
constexpr std::size_t kRuns = 4;

/// On which a convolution need not be large to be measured.
simulator::Machine small_machine() {
  simulator::Machine machine = simulator::machine_with(1);
  machine.gpus[0].multiprocessors = 1;
  return machine;
}

struct Tiles {
  const char* name;
  DType dtype;
  bool tf32;
  std::int64_t channels;  // of the input
  std::vector<std::string> kernels;
};

const std::vector<Tiles>& tiles() {
  const auto tensor_tiles = [](const std::string& kernel, const std::string& type) {
    std::vector<std::string> names;
    for (const char* rows : {"32", "64", "128"})
      names.push_back("miniparallel::kernels::cuda::" + kernel + "<miniparallel::kernels::cuda::TensorTile<" +
                      type + ", " + rows + ", 128> >");
    return names;
  };
  static const std::vector<Tiles> all{
      {"float32",
       float32,
       false,
       40,
       {"miniparallel::kernels::cuda::conv2d_tiles<miniparallel::kernels::cuda::Tile<float, 32, 128, 4, 8> >",
        "miniparallel::kernels::cuda::conv2d_tiles<miniparallel::kernels::cuda::Tile<float, 64, 128, 8, 8> "
        ">"}},
      {"TF32", float32, true, 38, tensor_tiles("conv2d_tensor_tiles", "float")},
      {"float16", float16, false, 38, tensor_tiles("conv2d_tensor_tiles", "miniparallel::Half")},
      {"bfloat16", bfloat16, false, 38, tensor_tiles("conv2d_tensor_tiles", "miniparallel::BFloat16")},
      {"TF32, packs", float32, true, 40, tensor_tiles("conv2d_tensor_packs", "float")},
      {"float16, packs", float16, false, 40, tensor_tiles("conv2d_tensor_packs", "miniparallel::Half")}};
  return all;
}

/// Those of the products of tiles that were started since the last call.
std::vector<std::string> started() {
  synchronize(gpu);
  std::vector<std::string> names;
  for (const simulator::Step& step : simulator::take_history())
    if (step.name.starts_with("kernel ") && step.name.find("Tile<") != std::string::npos &&
        step.name.find("weight") == std::string::npos)
      names.push_back(step.name.substr(7));
  return names;
}

/// A machine whose GPU takes 1 us for one of the kernels and 9 us for each other.
class Preferring {
 public:
  Preferring(const Tiles& of, std::size_t fast) : machine_(small_machine()) {
    std::string times;
    for (std::size_t i = 0; i < of.kernels.size(); ++i)
      times += (i == fast ? "1 " : "9 ") + of.kernels[i] + "\n";
    write_text(folder_ / "times", times);
    simulator::start_clock(kSpeeds, {.kernel_times = (folder_ / "times").string()});
    simulator::start_history();
    set_allow_tf32(of.tf32);
  }
  ~Preferring() { set_allow_tf32(false); }
  Preferring(const Preferring&) = delete;
  Preferring& operator=(const Preferring&) = delete;

 private:
  TemporaryFolder folder_;
  Simulated machine_;
};

Tensors inputs(const Tiles& of) {
  manual_seed(3);
  return {randn({1, of.channels, 8, 8}).to(of.dtype).to(gpu),
          randn({72, of.channels, 3, 3}).to(of.dtype).to(gpu)};
}

TEST_CASE("a large convolution runs the tile that was fastest at the first call, measured once") {
  for (const Tiles& of : tiles())
    for (std::size_t fast = 0; fast < of.kernels.size(); ++fast) {
      INFO(std::string(of.name), " ", fast);
      const Preferring machine(of, fast);
      const Tensors x = inputs(of);
      conv2d(x[0], x[1]);
      const std::vector<std::string> first = started();
      CHECK(first.size() == kRuns * of.kernels.size() + 1);
      CHECK(first.back() == of.kernels[fast]);
      conv2d(x[0], x[1]);
      CHECK(started() == std::vector<std::string>{of.kernels[fast]});
      conv2d(x[0].narrow(2, 0, 3), x[1]);  // small
      CHECK(started().size() == 1);
    }
}

TEST_CASE("no bit of a convolution and its gradients depends on the tile, nor on the measurement") {
  for (const Tiles& of : tiles()) {
    INFO(std::string(of.name));
    Tensors expected;
    for (std::size_t fast = 0; fast < of.kernels.size(); ++fast) {
      const Preferring machine(of, fast);
      const Tensors in = inputs(of);
      for (int call = 0; call < 2; ++call) {
        const Tensor x = in[0].detach().requires_grad_(), weight = in[1].detach().requires_grad_();
        // The second gradient of x is added to the first.
        const Tensor y = conv2d(x, weight) + conv2d(x, weight, {}, {.stride = 2, .padding = 3});
        y.backward(y.detach());
        const Tensors results{y.detach().cpu(), x.grad().cpu(), weight.grad().cpu()};
        if (expected.empty()) expected = results;
        CHECK(bit_equal(results, expected));
      }
    }
  }
}

TEST_CASE("where a step is recorded before its convolutions were measured, a rule chooses the tile") {
  const Tiles& of = tiles().back();
  const Preferring machine(of, 0);
  const Tensors in = inputs(of);
  int calls = 0;
  auto step =
      capture([&](const Tensor& x) { return ++calls == 1 ? x + 1 : conv2d(x, in[1]); }, {.warmup = 1});
  step(in[0]);
  CHECK(started().empty());
  const Tensor y = step(in[0]);
  CHECK(started() == std::vector<std::string>{of.kernels[1]});
  CHECK(bit_equal({y.cpu()}, {conv2d(in[0], in[1]).cpu()}));
}

}  // namespace
}  // namespace miniparallel::testing
