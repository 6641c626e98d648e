#include <miniparallel/miniparallel.h>

#include "tests/support/golden.h"

#include <doctest/doctest.h>

namespace miniparallel {
namespace {

using testing::identical;
using testing::largest_difference;

struct Net {
  nn::Linear fc{3, 5};
  nn::BatchNorm1d norm{5};
  Tensor operator()(const Tensor& x) { return norm(fc(x)); }
};

/// Gives a model other weights, and the running statistics of a batch.
void change(Net& net) {
  const NoGradGuard no_grad;
  for (Tensor parameter : parameters(net)) parameter.add_(randn(parameter.shape()).to(parameter.dtype()));
  net(randn({4, 3}).to(net.fc.weight.dtype()));
}

TEST_CASE("AveragedModel: the plain and the exponential average, by their formulas") {
  manual_seed(1);
  for (const DType dtype : {float32, float64})
    for (const double decay : {0.0, 0.9}) {
      CAPTURE(decay);
      Net net;
      to(net, dtype);
      optim::AveragedModel average(net, {.decay = decay});
      std::vector<Tensor> expected;
      for (int update = 0; update < 5; ++update) {
        change(net);
        average.update_parameters(net);
        const auto now = parameters(net);
        for (std::size_t i = 0; i < now.size(); ++i) {
          const Tensor value = now[i].detach().to(float64);
          const double share = decay == 0 ? 1.0 / (update + 1) : 1 - decay;
          if (update == 0)
            expected.push_back(value.clone());
          else
            expected[i] = expected[i] * (1 - share) + value * share;
          const Tensor got = parameters(average.model())[i].detach();
          CHECK(largest_difference(got, expected[i]) < (dtype == float64 ? 1e-14 : 1e-6));
        }
        CHECK(identical(average.model().norm.running_mean, net.norm.running_mean));
        CHECK(average.model().norm.num_batches_tracked.item() == update + 1);
      }
      CHECK(average.updates() == 5);
      eval(average.model());
      CHECK(average(randn({2, 3}).to(dtype)).shape() == Shape{2, 5});
      CHECK_FALSE(average.model().fc.weight.requires_grad());
      CHECK(net.fc.weight.requires_grad());
    }
}

TEST_CASE("AveragedModel: goes on from its state, whose names are PyTorch's") {
  manual_seed(2);
  Net net;
  optim::AveragedModel average(net), other(net);
  for (int update = 0; update < 3; ++update) {
    change(net);
    average.update_parameters(net);
  }
  StateDict state = average.state_dict();
  CHECK(state.at("n_averaged").item() == 3);
  CHECK(state.contains("module.fc.weight"));
  for (auto& [key, value] : state) value = value.clone();
  other.load_state_dict(state);
  CHECK(other.updates() == 3);
  change(net);
  average.update_parameters(net);
  other.update_parameters(net);
  CHECK(identical(average.model().fc.weight.detach(), other.model().fc.weight.detach()));
  state.erase("n_averaged");
  CHECK_THROWS_WITH_AS(
      other.load_state_dict(state),
      "AveragedModel::load_state_dict: the state has no n_averaged; pass that of an AveragedModel", Error);
}

TEST_CASE("AveragedModel: what does not fit is an error") {
  Net net;
  CHECK_THROWS_WITH_AS(optim::AveragedModel(net, {.decay = 1}),
                       "AveragedModel: decay is 1; it must be at least 0 and below 1", Error);
  optim::AveragedModel average(net);
  to(net, float64);
  CHECK_THROWS_WITH_AS(
      average.update_parameters(net),
      doctest::Contains("AveragedModel::update_parameters: a tensor of the average is float32"), Error);
}

}  // namespace
}  // namespace miniparallel
