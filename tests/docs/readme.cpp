#include "kernels/elementwise.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

// The op that README works through, as README has it, and the lines from one device to all GPUs.

namespace miniparallel::kernels::readme {  // not among the functors, where the op may have come by now
using namespace functors;
#include "snippets/README/tanhshrink.inc"
}  // namespace miniparallel::kernels::readme

using miniparallel::kernels::readme::Tanhshrink;

TEST_CASE("README: the tanhshrink that it adds is right, and so is its gradient") {
  for (const double x : {-3.0, -0.5, 0.0, 2.0, 20.0}) {
    CHECK(Tanhshrink::forward(x, 0, 0) == doctest::Approx(x - std::tanh(x)));
    const double slope = (Tanhshrink::forward(x + 1e-6, 0, 0) - Tanhshrink::forward(x - 1e-6, 0, 0)) / 2e-6;
    CHECK(Tanhshrink::backward(2.0, x, 0, 0) == doctest::Approx(2 * slope).epsilon(1e-6));
    CHECK(Tanhshrink::forward(static_cast<float>(x), 0, 0) == doctest::Approx(x - std::tanh(x)));
  }
}

namespace {

std::string text_of(const std::string& path) {
  std::ifstream file(MINIPARALLEL_TEST_DATA "/../../" + path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<std::string> lines_of(const std::string& path) {
  std::istringstream text(text_of(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

}  // namespace

TEST_CASE("README: from one device to all GPUs it is the three lines that it shows") {
  std::vector<std::string> one = lines_of("examples/mnist_single/main.cpp"),
                           all = lines_of("examples/mnist_multi_gpu/main.cpp");
  CHECK(one.size() < 60);
  CHECK(all.size() < 60);
  while (one.back() == all.back()) {
    one.pop_back();
    all.pop_back();
  }
  std::size_t same = 0;
  while (one[same] == all[same]) ++same;
  CHECK(one.size() - same <= 3);
  CHECK(all.size() - same <= 3);

  std::string diff = "```diff\n";
  for (std::size_t i = same; i < one.size(); ++i) diff += "-" + one[i] + "\n";
  for (std::size_t i = same; i < all.size(); ++i) diff += "+" + all[i] + "\n";
  INFO(diff);
  CHECK(text_of("README.md").find(diff + "```\n") != std::string::npos);
}
