#include <miniparallel/optim/lbfgs.h>

#include <miniparallel/grad_mode.h>
#include <miniparallel/io.h>
#include <miniparallel/ops.h>

#include "tests/support/error_of.h"

#include <doctest/doctest.h>

#include <cmath>

namespace miniparallel {
namespace {

using optim::LBFGS;
using optim::LBFGSOptions;
using optim::LineSearch;
using testing::error_of;

/// A curved valley, and what ties b to a: as in make_optim_goldens.py.
Tensor valley(const Tensor& a, const Tensor& b) {
  const Tensor low = a.narrow(0, 0, 4), high = a.narrow(0, 1, 4);
  return square(1 - a).sum() + 5 * square(high - square(low)).sum() +
         square(b - a.narrow(0, 0, 2).unsqueeze(1) * a.narrow(0, 3, 2)).sum();
}

struct Descent {
  explicit Descent(const LBFGSOptions& options, DType dtype = float64)
      : a(linspace(-1.2, 0.8, 5, {.dtype = dtype}).requires_grad_()),
        b(ones({2, 2}, {.dtype = dtype}).requires_grad_()),
        optimizer({a, b}, options) {}
  Tensor step() {
    return optimizer.step([&] {
      ++evaluations;
      optimizer.zero_grad();
      Tensor loss = valley(a, b);
      loss.backward();
      return loss;
    });
  }

  Tensor a, b;
  LBFGS optimizer;
  int evaluations = 0;
};

void check_close(const Tensor& got, const Tensor& expected) {
  CHECK((got - expected).abs().max().item() < 1e-9);
}

TEST_CASE("lbfgs: the steps of PyTorch, with a line search and without, with a short history") {
  const StateDict goldens = load(MINIPARALLEL_TEST_DATA "/optim_goldens.safetensors");
  const std::map<std::string, LBFGSOptions> variants{
      {"plain", {.lr = 0.1, .max_iter = 4}},
      {"short", {.lr = 0.1, .max_iter = 6, .history_size = 2}},
      {"wolfe", {.max_iter = 5, .line_search = LineSearch::strong_wolfe}}};
  for (const auto& [variant, options] : variants) {
    const std::string name = variant;  // Clang 14 captures no bindings
    Descent descent(options);
    for (int step = 1; step <= 8; ++step) {
      CAPTURE(name);
      CAPTURE(step);
      const std::string key = "lbfgs." + name + "." + std::to_string(step);
      const Tensor loss = descent.step();
      CHECK(std::abs(loss.item() - goldens.at(key + ".loss").item()) < 1e-9);
      CHECK_FALSE(loss.requires_grad());
      check_close(descent.a.detach(), goldens.at(key + ".a"));
      check_close(descent.b.detach(), goldens.at(key + ".b"));
    }
  }
}

TEST_CASE("lbfgs: a line search ends in the valley, in float32 too") {
  Descent descent({.max_iter = 100, .line_search = LineSearch::strong_wolfe}, float32);
  descent.step();
  CHECK(valley(descent.a, descent.b).item() < 1e-6);
  CHECK(descent.evaluations < 126);
}

TEST_CASE("lbfgs: a run that is stopped continues from its state") {
  for (const LineSearch search : {LineSearch::none, LineSearch::strong_wolfe}) {
    const LBFGSOptions options{.lr = 0.1, .max_iter = 3, .line_search = search};
    Descent whole(options), second(options);
    for (int i = 0; i < 3; ++i) whole.step();
    const NoGradGuard no_grad;
    second.a.copy_(whole.a);
    second.b.copy_(whole.b);
    second.optimizer.load_state_dict(whole.optimizer.state_dict());
    whole.step();
    second.step();
    check_close(second.a, whole.a);
    check_close(second.b, whole.b);
  }
}

TEST_CASE("lbfgs: at a minimum it asks once, and counts its calls") {
  Descent descent({.max_iter = 7});
  descent.optimizer.load_state_dict(descent.optimizer.state_dict());
  {
    const NoGradGuard no_grad;
    descent.a.fill_(1);
    descent.b.fill_(1);
  }
  CHECK(descent.step().item() == 0);
  CHECK(descent.evaluations == 1);
}

TEST_CASE("lbfgs: bad arguments are named") {
  const Tensor x = ones({2}).requires_grad_();
  const auto error = [&](std::vector<Tensor> parameters, const LBFGSOptions& options = {}) {
    return error_of([&] { LBFGS(std::move(parameters), options); });
  };
  CHECK(error({}) == "LBFGS: there are no parameters; pass parameters(model)");
  CHECK(error({x * 2}).find("the result of an op") != std::string::npos);
  CHECK(error({x, ones({2}, {.dtype = float64})}).find("bring them together") != std::string::npos);
  CHECK(error({ones({2}, {.dtype = int64})}).find("must be float32 or float64") != std::string::npos);
  CHECK(error({x}, {.max_iter = 0}) == "LBFGS: max_iter is 0; it must be at least 1");
  CHECK(error({x}, {.lr = -1}) == "LBFGS: lr is -1; it must be at least 0");
  LBFGS optimizer({x});
  CHECK(error_of([&] { optimizer.step([&] { return x * 2; }); }).find("returned shape [2]") !=
        std::string::npos);
  Descent other({.max_iter = 2});
  other.step();
  const StateDict before = optimizer.state_dict();
  CHECK(error_of([&] {
          optimizer.load_state_dict(other.optimizer.state_dict());
        }).find("of the 2 elements") != std::string::npos);
  CHECK(optimizer.state_dict().size() == before.size());
  CHECK(error_of([&] { optimizer.load_state_dict({}); }).find("no number 'iterations'") != std::string::npos);
}

}  // namespace
}  // namespace miniparallel
