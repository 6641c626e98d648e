#pragma once

#include <miniparallel/optim.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

// Training of every optimizer by a GradScaler, with overflows at chosen steps.

namespace miniparallel::testing {

using ScaledValues = std::vector<std::vector<double>>;

struct OptimizerCase {
  std::string name;
  std::function<std::unique_ptr<optim::Optimizer>(const std::vector<Tensor>&)> make;
};

template <class Optimizer, class Options>
OptimizerCase optimizer_case(const std::string& name, const Options& options) {
  return {name, [options](const std::vector<Tensor>& p) { return std::make_unique<Optimizer>(p, options); }};
}

inline std::vector<OptimizerCase> optimizer_cases() {
  using namespace optim;
  return {optimizer_case<SGD>("SGD", SGDOptions{.lr = 0.1}),
          optimizer_case<SGD>("SGD, momentum", SGDOptions{.lr = 0.1, .momentum = 0.9, .dampening = 0.2}),
          optimizer_case<Adam>("Adam", AdamOptions{.lr = 0.01, .amsgrad = true}),
          optimizer_case<AdamW>("AdamW", AdamWOptions{.lr = 0.01}),
          optimizer_case<NAdam>("NAdam", NAdamOptions{.lr = 0.01}),
          optimizer_case<RAdam>("RAdam", RAdamOptions{.lr = 0.01}),
          optimizer_case<Adamax>("Adamax", AdamaxOptions{.lr = 0.01}),
          optimizer_case<RMSprop>("RMSprop", RMSpropOptions{.lr = 0.01, .momentum = 0.5, .centered = true}),
          optimizer_case<Adagrad>("Adagrad", AdagradOptions{.lr = 0.1, .lr_decay = 0.1}),
          optimizer_case<Adadelta>("Adadelta", AdadeltaOptions{}),
          optimizer_case<Rprop>("Rprop", RpropOptions{.lr = 0.01}),
          optimizer_case<Lion>("Lion", LionOptions{.lr = 0.01}),
          optimizer_case<AdamW>("AdamW, stochastic rounding",
                                AdamWOptions{.lr = 0.01, .amsgrad = true, .stochastic_rounding = true})};
}

inline void append(ScaledValues& values, const StateDict& state) {
  for (const auto& [name, tensor] : state) values.push_back(tensor.cpu().to(float64).to_vector<double>());
}

}  // namespace miniparallel::testing
