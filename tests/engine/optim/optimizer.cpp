#include <miniparallel/autograd.h>
#include <miniparallel/error.h>
#include <miniparallel/memory.h>
#include <miniparallel/ops.h>
#include <miniparallel/optim.h>
#include <miniparallel/threads.h>

#include "tests/engine/optim/variants.h"
#include "tests/support/golden.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <memory>

namespace miniparallel {
namespace {

using optim::Adam;
using optim::AdamW;
using optim::SGD;
using testing::identical;
using testing::largest_difference;
using testing::largest_magnitude;
using testing::with;

Tensor reference(const std::string& name) { return testing::golden("optim_goldens.safetensors", name); }

constexpr int kParameters = 4, kSteps = 20;

std::vector<Tensor> start(DType dtype) {
  std::vector<Tensor> parameters;
  for (int i = 0; i < kParameters; ++i)
    parameters.push_back(reference("start." + std::to_string(i)).to(dtype).clone().requires_grad_());
  return parameters;
}

/// Steps `first` to `last` of the recipe of make_optim_goldens.py.
template <class AfterStep>
void take_steps(optim::Optimizer& optimizer, const std::vector<Tensor>& parameters, int first, int last,
                AfterStep after) {
  for (int step = first; step <= last; ++step) {
    for (int i = 0; i < kParameters; ++i) {
      const bool missing = i == 3 && 5 <= step && step <= 7;
      const std::string name = "gradient." + std::to_string(step) + "." + std::to_string(i);
      parameters[i].set_grad(missing ? Tensor() : reference(name).to(parameters[i].dtype()).clone());
    }
    optimizer.step();
    after(step);
  }
}
void take_steps(optim::Optimizer& optimizer, const std::vector<Tensor>& parameters, int first, int last) {
  take_steps(optimizer, parameters, first, last, [](int) {});
}

using Parameters = std::vector<Tensor>;
using Make = testing::MakeOptimizer;
Make sgd(const optim::SGDOptions& options) { return with<SGD>(options); }
Make adam(const optim::AdamOptions& options) { return with<Adam>(options); }
Make adamw(const optim::AdamWOptions& options) { return with<AdamW>(options); }
Make nadam(const optim::NAdamOptions& options) { return with<optim::NAdam>(options); }
Make radam(const optim::RAdamOptions& options) { return with<optim::RAdam>(options); }
Make adamax(const optim::AdamaxOptions& options) { return with<optim::Adamax>(options); }
Make rmsprop(const optim::RMSpropOptions& options) { return with<optim::RMSprop>(options); }
Make adagrad(const optim::AdagradOptions& options) { return with<optim::Adagrad>(options); }
Make adadelta(const optim::AdadeltaOptions& options) { return with<optim::Adadelta>(options); }
Make rprop(const optim::RpropOptions& options) { return with<optim::Rprop>(options); }
Make lion(const optim::LionOptions& options) { return with<optim::Lion>(options); }

/// Those of make_optim_goldens.py.
const std::map<std::string, Make> kVariants{
    {"sgd", sgd({.lr = 0.05})},
    {"sgd_decay", sgd({.lr = 0.05, .weight_decay = 0.1})},
    {"sgd_momentum", sgd({.lr = 0.05, .momentum = 0.9})},
    {"sgd_dampening", sgd({.lr = 0.05, .momentum = 0.8, .dampening = 0.3, .weight_decay = 0.01})},
    {"sgd_nesterov", sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01, .nesterov = true})},
    {"sgd_maximize", sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.1, .maximize = true})},
    {"adam", adam({.lr = 0.01})},
    {"adam_options", adam({.lr = 0.02, .betas = {0.8, 0.95}, .eps = 1e-4, .weight_decay = 0.1})},
    {"adam_amsgrad", adam({.lr = 0.02, .betas = {0.8, 0.9}, .weight_decay = 0.1, .amsgrad = true})},
    {"adamw", adamw({.lr = 0.01})},
    {"adamw_options", adamw({.lr = 0.02, .betas = {0.8, 0.95}, .eps = 1e-4, .weight_decay = 0.3})},
    {"adamw_amsgrad", adamw({.lr = 0.02, .betas = {0.8, 0.9}, .amsgrad = true, .maximize = true})},
    {"nadam", nadam({.lr = 0.01})},
    {"nadam_options",
     nadam({.lr = 0.02, .betas = {0.8, 0.95}, .eps = 1e-4, .weight_decay = 0.1, .momentum_decay = 0.1})},
    {"nadam_decoupled",
     nadam({.lr = 0.02, .weight_decay = 0.1, .decoupled_weight_decay = true, .maximize = true})},
    {"radam", radam({.lr = 0.01})},
    {"radam_options", radam({.lr = 0.02, .betas = {0.8, 0.9}, .eps = 1e-4, .weight_decay = 0.1})},
    {"radam_decoupled", radam({.lr = 0.02,
                               .betas = {0.8, 0.99},
                               .weight_decay = 0.1,
                               .decoupled_weight_decay = true,
                               .maximize = true})},
    {"adamax", adamax({.lr = 0.01})},
    {"adamax_options",
     adamax({.lr = 0.02, .betas = {0.8, 0.95}, .eps = 1e-4, .weight_decay = 0.1, .maximize = true})},
    {"rmsprop", rmsprop({.lr = 0.01})},
    {"rmsprop_momentum", rmsprop({.lr = 0.01, .alpha = 0.9, .weight_decay = 0.1, .momentum = 0.8})},
    {"rmsprop_centered",
     rmsprop({.lr = 0.01, .alpha = 0.9, .eps = 1e-2, .centered = true, .maximize = true})},
    {"rmsprop_all", rmsprop({.lr = 0.01, .alpha = 0.8, .eps = 1e-2, .momentum = 0.5, .centered = true})},
    {"adagrad", adagrad({.lr = 0.1})},
    {"adagrad_options", adagrad({.lr = 0.1,
                                 .lr_decay = 0.05,
                                 .weight_decay = 0.1,
                                 .initial_accumulator_value = 0.3,
                                 .eps = 1e-4,
                                 .maximize = true})},
    {"adadelta", adadelta({})},
    {"adadelta_options",
     adadelta({.lr = 0.5, .rho = 0.8, .eps = 1e-3, .weight_decay = 0.1, .maximize = true})},
    {"rprop", rprop({})},
    {"rprop_options", rprop({.lr = 0.1, .etas = {0.3, 2}, .step_sizes = {0.02, 0.5}, .maximize = true})},
    {"lion", lion({.lr = 0.01})},
    {"lion_options", lion({.lr = 0.02, .betas = {0.8, 0.95}, .weight_decay = 0.3, .maximize = true})},
    {"groups",
     [](const Parameters& p) {
       return std::make_unique<Adam>(std::vector<Adam::Group>{
           {{p[0], p[1]}, {.lr = 0.01}}, {{p[2], p[3]}, {.lr = 0.1, .weight_decay = 0.05}}});
     }},
};

TEST_CASE("optim: 20 steps of every variant agree with PyTorch, parameters and state") {
  for (const auto& [variant, make] : kVariants) {
    for (const DType dtype : {float32, float64}) {
      const std::string label = variant + "." + name(dtype);
      CAPTURE(label);
      const double tolerance = dtype == float64 ? 1e-12 : 2e-6;
      const auto parameters = start(dtype);
      const auto optimizer = make(parameters);
      take_steps(*optimizer, parameters, 1, kSteps, [&](int step) {
        for (int i = 0; i < kParameters && (step <= 2 || step == kSteps); ++i) {
          CAPTURE(step);
          CAPTURE(i);
          const Tensor expected = reference(label + ".step" + std::to_string(step) + "." + std::to_string(i));
          CHECK(largest_difference(parameters[i].detach(), expected) < tolerance);
        }
      });
      for (const auto& [key, value] : optimizer->state_dict()) {
        const std::string prefix = "state.";
        if (!key.starts_with(prefix) || key.ends_with(".step")) continue;
        const std::string i = key.substr(prefix.size(), 1), state = key.substr(prefix.size() + 2);
        const Tensor expected = reference(label + "." + state + "." + i);  // NOLINT: one short name
        CHECK(largest_difference(value, expected) < tolerance * std::max(1., largest_magnitude(expected)));
      }
    }
  }
}

TEST_CASE("optim: training goes on bit-identically from a saved state") {
  for (const auto& variant : kVariants) {
    CAPTURE(variant.first);
    const auto make = variant.second;
    const auto straight = start(float32);
    const auto optimizer = make(straight);
    take_steps(*optimizer, straight, 1, kSteps);

    const auto before = start(float32);
    const auto first = make(before);
    take_steps(*first, before, 1, 6);
    StateDict saved = first->state_dict();
    for (auto& [key, value] : saved) value = value.clone();

    std::vector<Tensor> after;
    for (const Tensor& parameter : before) after.push_back(parameter.detach().clone().requires_grad_());
    const auto second = make(after);
    second->load_state_dict(saved);
    take_steps(*second, after, 7, kSteps);
    for (int i = 0; i < kParameters; ++i) CHECK(identical(after[i].detach(), straight[i].detach()));
  }
}

TEST_CASE("optim: options come back with the state, and what does not fit is listed and changes nothing") {
  const auto parameters = start(float32);
  SGD saved(parameters, {.lr = 0.5, .momentum = 0.9, .nesterov = true});
  take_steps(saved, parameters, 1, 1);
  SGD loaded(parameters, {.lr = 0.1, .momentum = 0.5});
  loaded.load_state_dict(saved.state_dict());
  CHECK(loaded.lr() == 0.5);
  CHECK(loaded.state_dict().at("groups.0.nesterov").item() == 1);

  StateDict broken = saved.state_dict();
  broken.erase("groups.0.momentum");
  broken["state.1.momentum_buffer"] = zeros({2});
  broken["state.9.step"] = scalar_tensor(1);
  SGD untouched(parameters, {.lr = 0.1, .momentum = 0.5});
  CHECK_THROWS_WITH_AS(
      untouched.load_state_dict(broken),
      "SGD::load_state_dict: the state does not fit; pass that of an optimizer with the same "
      "groups and parameters:\n"
      "  missing: groups.0.momentum\n"
      "  state.1.momentum_buffer: shape [2] in the state, [7] here\n"
      "  unexpected: state.9.step",
      Error);
  CHECK(untouched.lr() == 0.1);
}

TEST_CASE("optim: switches are saved; one that a state lacks, as earlier ones do, stays as it is") {
  const auto parameters = start(float32);
  Adam saved(parameters, {.amsgrad = true});
  take_steps(saved, parameters, 1, 1);
  StateDict state = saved.state_dict();
  CHECK(state.at("groups.0.amsgrad").item() == 1);
  CHECK(state.at("groups.0.maximize").item() == 0);
  CHECK(state.contains("state.0.max_exp_avg_sq"));
  state.erase("groups.0.maximize");
  Adam loaded(parameters, {.amsgrad = true, .maximize = true});
  loaded.load_state_dict(state);
  CHECK(loaded.state_dict().at("groups.0.maximize").item() == 1);

  Adam climbing({std::vector<Adam::Group>{{{parameters[0]}, {.maximize = true}}, {{parameters[1]}, {}}}});
  climbing.load_state_dict(climbing.state_dict());
  CHECK(climbing.state_dict().at("groups.0.maximize").item() == 1);
  CHECK(climbing.state_dict().at("groups.1.maximize").item() == 0);
}

TEST_CASE("optim: the same bits for every number of threads") {
  const int threads = num_threads();
  std::vector<Tensor> results;
  for (const int count : {1, 2, 3}) {
    set_num_threads(count);
    const Tensor weight = arange(100'003, {.dtype = float32}).div_(1000).requires_grad_();
    const Tensor bias = ones({7}, {.requires_grad = true});
    Adam optimizer({weight, bias}, {.lr = 0.1, .weight_decay = 0.01});
    for (int step = 0; step < 3; ++step) {
      weight.set_grad(sin(weight.detach()));
      bias.set_grad(bias.detach() * 3);
      CHECK(nn::utils::clip_grad_norm_({weight, bias}, 1.0).item() > 1);
      optimizer.step();
    }
    results.push_back(weight.detach());
  }
  set_num_threads(threads);
  CHECK(identical(results[0], results[1]));
  CHECK(identical(results[0], results[2]));
}

TEST_CASE("optim: zero_grad drops gradients, or fills with zeros; a gradient that is held stays as it was") {
  const Tensor weight = ones({3}, {.requires_grad = true});
  SGD optimizer({weight});
  sum(weight).backward();
  const Tensor held = weight.grad();
  optimizer.zero_grad();
  CHECK_FALSE(weight.grad().defined());
  sum(weight * 2).backward();
  CHECK(equal(held, ones({3})));
  CHECK(equal(weight.grad(), full({3}, 2.0)));
  optimizer.zero_grad(false);
  CHECK(equal(weight.grad(), zeros({3})));
}

TEST_CASE("optim: parameters without gradient stay, versions count, graphs that saved a parameter notice") {
  const Tensor used = ones({3}, {.requires_grad = true}), unused = ones({3}, {.requires_grad = true});
  Adam optimizer({used, unused});
  const Tensor loss = sum(used * used);
  used.set_grad(ones({3}));
  const auto version = used.version(), other = unused.version();
  optimizer.step();
  CHECK(used.version() > version);
  CHECK(unused.version() == other);
  CHECK(equal(unused.detach(), ones({3})));
  CHECK_FALSE(optimizer.state_dict().contains("state.1.step"));
  CHECK_THROWS_AS(loss.backward(), Error);
}

TEST_CASE("optim: a step allocates nothing, after the first") {
  const auto parameters = start(float32);
  Adam optimizer(parameters);
  for (const Tensor& parameter : parameters) parameter.set_grad(ones_like(parameter.detach()));
  optimizer.step();
  const auto before = memory_stats();
  optimizer.step();
  CHECK(memory_stats().allocations == before.allocations);
}

TEST_CASE("optim: a gradient of odd strides counts as its values") {
  const Tensor weight = zeros({2, 3}, {.requires_grad = true});
  SGD optimizer({weight}, {.lr = 1});
  weight.set_grad(arange(6, {.dtype = float32}).view({3, 2}).t());
  optimizer.step();
  CHECK(equal(weight.detach(), tensor({0.0, -2.0, -4.0, -1.0, -3.0, -5.0}, {2, 3})));
}

TEST_CASE("optim: what cannot be optimised is an error that says what to do") {
  const Tensor weight = ones({2, 3}, {.requires_grad = true});
  CHECK_THROWS_WITH_AS(Adam(std::vector<Tensor>{}),
                       "Adam: got no parameters; pass those of a model, parameters(model)", Error);
  CHECK_THROWS_WITH_AS(
      SGD({weight, weight}),
      "SGD: parameter 1 of shape [2, 3] was given before; pass each parameter once, in one group", Error);
  CHECK_THROWS_WITH_AS(SGD({weight * 2}),
                       doctest::Contains("SGD: parameter 0 of shape [2, 3] is the result of mul"), Error);
  CHECK_THROWS_WITH_AS(Adam({weight, Tensor()}),
                       "Adam: parameter 1 is undefined; construct the model before its optimizer", Error);
  CHECK_THROWS_WITH_AS(Adam({weight}, {.lr = -1}), "Adam: lr is -1; it must be at least 0", Error);
  CHECK_THROWS_WITH_AS(AdamW({weight}, {.betas = {0.9, 1}}),
                       "AdamW: betas[1] is 1; it must be at least 0 and below 1", Error);
  CHECK_THROWS_WITH_AS(SGD({weight}, {.nesterov = true}),
                       "SGD: nesterov needs momentum above 0 and dampening 0; got momentum 0 and dampening 0",
                       Error);
  CHECK_THROWS_WITH_AS(Adam({ones({2}, {.dtype = int64})}),
                       "Adam: parameter 0 is int64; floating dtypes can be optimised, so convert it with "
                       "to(float32)",
                       Error);
  CHECK_THROWS_WITH_AS(optim::RMSprop({weight}, {.alpha = 1}),
                       "RMSprop: alpha is 1; it must be at least 0 and below 1", Error);
  CHECK_THROWS_WITH_AS(optim::Adadelta({weight}, {.rho = -1}),
                       "Adadelta: rho is -1; it must be at least 0 and below 1", Error);
  CHECK_THROWS_WITH_AS(optim::NAdam({weight}, {.momentum_decay = -1}),
                       "NAdam: momentum_decay is -1; it must be at least 0", Error);
  CHECK_THROWS_WITH_AS(optim::Rprop({weight}, {.etas = {0.5, 0.9}}),
                       "Rprop: etas are 0.5 and 0.9; they must be between 0 and 1, and above 1", Error);
  CHECK_THROWS_WITH_AS(optim::Rprop({weight}, {.step_sizes = {2, 1}}),
                       "Rprop: step_sizes are 2 and 1; the least comes first", Error);
  CHECK_THROWS_WITH_AS(optim::Lion({weight}, {.betas = {1, 0}}),
                       "Lion: betas[0] is 1; it must be at least 0 and below 1", Error);
  SGD optimizer({weight});
  CHECK_THROWS_WITH_AS(optimizer.set_lr(-0.5), "SGD: lr is -0.5; it must be at least 0", Error);
  CHECK_THROWS_WITH_AS(optimizer.lr(1), "SGD: there is no group 1; it must be at least 0 and below 1", Error);
  CHECK_THROWS_AS(weight.set_grad(ones({3})), Error);
}

}  // namespace
}  // namespace miniparallel
