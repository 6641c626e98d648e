// Fits a line, saves it and loads it again: needs the BLAS, OpenMP, Highway and zlib of the library.

#include <miniparallel/miniparallel.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

using namespace miniparallel;

struct Line {
  nn::Linear fc{1, 1};
  Tensor operator()(const Tensor& x) { return fc(x); }
};

int main(int argc, char** argv) try {
  if (std::string(version()) != MINIPARALLEL_VERSION) return std::puts("header and library differ"), 1;

  manual_seed(1);
  Line line;
  const Tensor x = randn({64, 1}), y = x * 3 - 1;
  optim::SGD optimizer(parameters(line), {.lr = 0.3});
  for (int i = 0; i < 100; ++i) {
    optimizer.zero_grad();
    mse_loss(line(x), y).backward();
    optimizer.step();
  }

  const std::string file = std::string(argc > 1 ? argv[1] : argv[0]) + ".safetensors";
  save(line, file);
  Line loaded;
  load(loaded, file);
  std::filesystem::remove(file);
  const double weight = loaded.fc.weight.item(), bias = loaded.fc.bias.item();
  std::printf("miniparallel %s: y = %.3f x %+.3f\n", version(), weight, bias);
  return std::abs(weight - 3) < 1e-3 && std::abs(bias + 1) < 1e-3 ? 0 : 1;
} catch (const std::exception& error) {
  std::puts(error.what());
  return 1;
}
