#include <miniparallel/optim/lbfgs.h>

#include <miniparallel/grad_mode.h>
#include <miniparallel/ops.h>

#include "engine/error.h"
#include "engine/optim/line_search.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <string>

namespace miniparallel::optim {
namespace {

/// All parameters, or their gradients, as one vector.
Tensor flat(const std::vector<Tensor>& parameters, bool gradients) {
  std::vector<Tensor> parts;
  for (const Tensor& parameter : parameters) {
    const Tensor one = gradients ? parameter.grad() : parameter.detach();
    parts.push_back(one.defined() ? one.flatten() : zeros_like(parameter.detach()).flatten());
  }
  return cat(parts);
}

void write(const std::vector<Tensor>& parameters, const Tensor& values) {
  std::int64_t at = 0;
  for (const Tensor& parameter : parameters) {
    Tensor target = parameter;
    target.copy_(values.narrow(0, at, parameter.numel()).view(parameter.shape()));
    at += parameter.numel();
  }
}

double product(const Tensor& a, const Tensor& b) { return (a * b).sum().item(); }
double largest(const Tensor& a) { return a.abs().max().item(); }

void check_number(const char* option, double value, double least) {
  check(value >= least, "LBFGS: ", option, " is ", value, "; it must be at least ", least);
}

}  // namespace

struct LBFGS::State {
  /// A change of the parameters, `step`, and of the gradient along it.
  struct Change {
    Tensor gradient, step;
    double inverse;  // 1 / (gradient * step)
  };
  std::deque<Change> history;
  Tensor direction, gradient;  // of the last iteration
  double scale = 1;            // of the guess without a history
  double length = 0;           // of the last step
  std::int64_t iterations = 0;

  void remember(const Tensor& next, std::int64_t most) {
    const Tensor change = next - gradient, step = direction * length;
    const double curvature = product(change, step);
    if (curvature <= 1e-10) return;  // no minimum lies along it
    if (std::ssize(history) == most) history.pop_front();
    history.push_back({change, step, 1 / curvature});
    scale = curvature / product(change, change);
  }

  /// Minus the inverse second derivatives, as far as the history tells, times the gradient.
  Tensor newton(const Tensor& at) const {
    Tensor q = -at;
    std::vector<double> taken(history.size());
    for (std::size_t i = history.size(); i-- > 0;) {
      taken[i] = product(history[i].step, q) * history[i].inverse;
      q = q - history[i].gradient * taken[i];
    }
    q = q * scale;
    for (std::size_t i = 0; i < history.size(); ++i)
      q = q + history[i].step * (taken[i] - product(history[i].gradient, q) * history[i].inverse);
    return q;
  }
};

LBFGS::LBFGS(std::vector<Tensor> parameters, const LBFGSOptions& options)
    : parameters_(std::move(parameters)), options_(options), state_(std::make_unique<State>()) {
  check(!parameters_.empty(), "LBFGS: there are no parameters; pass parameters(model)");
  for (const Tensor& parameter : parameters_) {
    check(parameter.defined() && parameter.is_leaf(), "LBFGS: a parameter is ",
          parameter.defined() ? "the result of an op" : "undefined",
          "; pass leaves, as parameters(model) are");
    check(parameter.dtype() == float32 || parameter.dtype() == float64, "LBFGS: a parameter is ",
          parameter.dtype(), "; it must be float32 or float64");
    check(parameter.dtype() == parameters_[0].dtype() && parameter.device() == parameters_[0].device(),
          "LBFGS: parameters are ", parameters_[0].dtype(), " on ", parameters_[0].device(), " and ",
          parameter.dtype(), " on ", parameter.device(), "; bring them together with to(model, ...)");
  }
  check_number("lr", options.lr, 0);
  check_number("max_iter", static_cast<double>(options.max_iter), 1);
  check_number("max_eval", static_cast<double>(options.max_eval), 0);
  check_number("tolerance_grad", options.tolerance_grad, 0);
  check_number("tolerance_change", options.tolerance_change, 0);
  check_number("history_size", static_cast<double>(options.history_size), 1);
  if (options_.max_eval == 0) options_.max_eval = std::max<std::int64_t>(options_.max_iter * 5 / 4, 1);
}

LBFGS::~LBFGS() = default;

void LBFGS::zero_grad() {
  for (Tensor& parameter : parameters_) parameter.set_grad({});
}

Tensor LBFGS::step(const std::function<Tensor()>& closure) {
  const NoGradGuard no_grad;  // but for the closure
  const auto evaluate = [&] {
    set_grad_enabled(true);
    Tensor loss = closure();
    set_grad_enabled(false);
    check(loss.defined() && loss.numel() == 1, "LBFGS: the closure returned ",
          loss.defined() ? message("shape ", loss.shape()) : "an undefined tensor",
          "; it must return the loss, one number");
    return loss;
  };
  State& state = *state_;
  const Tensor first = evaluate();
  double loss = first.item();
  std::int64_t evaluations = 1;
  Tensor gradient = flat(parameters_, true);
  if (largest(gradient) <= options_.tolerance_grad) return first.detach();

  for (std::int64_t i = 0; i < options_.max_iter; ++i) {
    if (++state.iterations == 1) {
      state.direction = -gradient;
      state.length = std::min(1.0, 1 / gradient.abs().sum().item()) * options_.lr;
    } else {
      state.remember(gradient, options_.history_size);
      state.direction = state.newton(gradient);
      state.length = options_.lr;
    }
    state.gradient = gradient;
    const double before = loss, slope = product(gradient, state.direction);
    if (slope > -options_.tolerance_change) break;

    const Tensor start = flat(parameters_, false);
    if (options_.line_search == LineSearch::strong_wolfe) {
      const auto at = [&](double length) {
        write(parameters_, start + state.direction * length);
        const double value = evaluate().item();
        ++evaluations;
        Tensor there = flat(parameters_, true);
        const double slope_there = product(there, state.direction);
        return LinePoint{length, value, slope_there, std::move(there)};
      };
      const LinePoint found =
          strong_wolfe(at, {0, loss, slope, gradient}, state.length,
                       options_.tolerance_change / largest(state.direction), options_.max_eval - evaluations);
      state.length = found.length;
      loss = found.value;
      gradient = found.gradient;
      write(parameters_, start + state.direction * state.length);
    } else {
      write(parameters_, start + state.direction * state.length);
      if (i + 1 < options_.max_iter) {
        loss = evaluate().item();
        ++evaluations;
        gradient = flat(parameters_, true);
      }
    }
    if (evaluations >= options_.max_eval || largest(gradient) <= options_.tolerance_grad ||
        largest(state.direction) * std::abs(state.length) <= options_.tolerance_change ||
        std::abs(loss - before) < options_.tolerance_change)
      break;
  }
  return first.detach();
}

StateDict LBFGS::state_dict() const {
  const State& state = *state_;
  StateDict saved{{"iterations", tensor(state.iterations)},
                  {"scale", tensor(state.scale, float64)},
                  {"length", tensor(state.length, float64)}};
  if (state.iterations == 0) return saved;
  saved["direction"] = state.direction;
  saved["gradient"] = state.gradient;
  for (std::size_t i = 0; i < state.history.size(); ++i) {
    const std::string name = "history." + std::to_string(i);
    saved[name + ".gradient"] = state.history[i].gradient;
    saved[name + ".step"] = state.history[i].step;
  }
  return saved;
}

void LBFGS::load_state_dict(const StateDict& saved) {
  std::int64_t elements = 0;
  for (const Tensor& parameter : parameters_) elements += parameter.numel();
  std::size_t used = 0;
  const auto number = [&](const std::string& name) {
    const auto found = saved.find(name);
    check(found != saved.end() && found->second.numel() == 1, "LBFGS: the state has no number '", name,
          "'; load one that state_dict gave");
    ++used;
    return found->second;
  };
  const auto vector = [&](const std::string& name) {
    const auto found = saved.find(name);
    check(found != saved.end() && found->second.shape() == Shape{elements}, "LBFGS: the state has no '", name,
          "' of the ", elements, " elements of these parameters; load one of the same model");
    ++used;
    const Tensor& own = parameters_[0];
    return found->second.to(own.dtype()).to(own.device()).clone();
  };
  State state;
  state.iterations = number("iterations").item<std::int64_t>();
  state.scale = number("scale").item();
  state.length = number("length").item();
  if (state.iterations > 0) {
    state.direction = vector("direction");
    state.gradient = vector("gradient");
    for (std::size_t i = 0; saved.contains("history." + std::to_string(i) + ".step"); ++i) {
      const std::string name = "history." + std::to_string(i);
      State::Change change{vector(name + ".gradient"), vector(name + ".step"), 0};
      change.inverse = 1 / product(change.gradient, change.step);
      state.history.push_back(std::move(change));
    }
  }
  check(used == saved.size(), "LBFGS: the state has ", saved.size(), " entries, of which ", used,
        " belong to LBFGS; load one that its state_dict gave");
  *state_ = std::move(state);
}

}  // namespace miniparallel::optim
