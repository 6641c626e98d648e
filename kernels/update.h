#pragma once

#include "kernels/macros.h"
#include "kernels/math.h"
#include "kernels/random_stream.h"
#include "kernels/sizes.h"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

/// The formulas of optimizers, once for both kinds of device. To add one: a struct here, and its row in
/// MP_UPDATES, from which come its launcher, its loops and its CUDA kernels.

namespace miniparallel::kernels {

/// A formula holds its numbers. Called with the gradient of an element and the element's states, it brings
/// the states up to date and returns what to subtract from the parameter. Of `states` arrays those in the bit
/// mask `optional` may be absent: they read as 0 and are not written. States are 0 before the first update.
namespace updates {

/// Moves a moving average, which keeps `beta` of itself, to `value`.
template <class T>
MP_INLINE void average(T& of, double beta, T value) {
  of = T(beta) * of + T(1 - beta) * value;
}
template <class T>
MP_INLINE void average_squares(T& of, double beta, T value) {
  of = T(beta) * of + T(1 - beta) * value * value;
}
/// As `average`, in the form that PyTorch calls lerp.
template <class T>
MP_INLINE void interpolate(T& of, double beta, T value) {
  of += T(1 - beta) * (value - of);
}
/// The larger one; NaN stays.
template <class T>
MP_INLINE T largest(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
MP_INLINE T sign(T x) {
  return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
}

/// Sutskever, Martens, Dahl, Hinton 2013, in PyTorch's form.
struct Sgd {
  static constexpr std::size_t states = 1;
  static constexpr unsigned optional = 1;  // momentum
  double lr, momentum;
  double gradient_scale;  ///< 1 - dampening
  bool nesterov;

  template <class T>
  MP_INLINE T operator()(T g, T& momentum_buffer) const {
    momentum_buffer = T(momentum) * momentum_buffer + T(gradient_scale) * g;
    return T(lr) * (nesterov ? g + T(momentum) * momentum_buffer : momentum_buffer);
  }
};

/// Kingma, Ba 2014; the third state is that of AMSGrad (Reddi, Kale, Kumar 2018).
struct Adam {
  static constexpr std::size_t states = 3;
  static constexpr unsigned optional = 4;
  double beta1, beta2, eps;
  double step_size;   ///< lr / (1 - beta1^step)
  double correction;  ///< sqrt(1 - beta2^step)

  template <class T>
  MP_INLINE T operator()(T g, T& exp_avg, T& exp_avg_sq, T& max_exp_avg_sq) const {
    interpolate(exp_avg, beta1, g);
    average_squares(exp_avg_sq, beta2, g);
    max_exp_avg_sq = largest(exp_avg_sq, max_exp_avg_sq);  // of squares, so an absent one is the smaller
    return T(step_size) * exp_avg / (math::sqrt(max_exp_avg_sq) * T(1 / correction) + T(eps));
  }
};

/// Adam whose results, parameter and states, are rounded to bfloat16 with noise: the same 16 random bits for
/// all results of an element, from the stream of a step.
struct RoundedAdam : Adam {
  std::uint64_t seed, step;

  MP_INLINE PhiloxBlock noise(std::int64_t block) const {
    return random_words({.seed = seed, .ordinal = step}, static_cast<std::uint64_t>(block));
  }
};

/// Dozat 2016.
struct NAdam {
  static constexpr std::size_t states = 2;
  static constexpr unsigned optional = 0;
  double beta1, beta2, eps;
  double gradient_size, average_size;  ///< step sizes of the gradient and of its average
  double correction;                   ///< sqrt(1 - beta2^step)

  template <class T>
  MP_INLINE T operator()(T g, T& exp_avg, T& exp_avg_sq) const {
    interpolate(exp_avg, beta1, g);
    average_squares(exp_avg_sq, beta2, g);
    return (T(gradient_size) * g + T(average_size) * exp_avg) /
           (math::sqrt(exp_avg_sq) * T(1 / correction) + T(eps));
  }
};

/// Liu et al. 2019.
struct RAdam {
  static constexpr std::size_t states = 2;
  static constexpr unsigned optional = 0;
  double beta1, beta2, eps;
  double step_size;      ///< lr / (1 - beta1^step)
  double rectification;  ///< times sqrt(1 - beta2^step); 0 while the variance is not known well enough

  template <class T>
  MP_INLINE T operator()(T g, T& exp_avg, T& exp_avg_sq) const {
    interpolate(exp_avg, beta1, g);
    average_squares(exp_avg_sq, beta2, g);
    const T adapted = T(rectification) / (math::sqrt(exp_avg_sq) + T(eps));
    return T(step_size) * exp_avg * (rectification > 0 ? adapted : T(1));
  }
};

/// Kingma, Ba 2014, section 7.1.
struct Adamax {
  static constexpr std::size_t states = 2;
  static constexpr unsigned optional = 0;
  double beta1, beta2, eps;
  double step_size;  ///< lr / (1 - beta1^step)

  template <class T>
  MP_INLINE T operator()(T g, T& exp_avg, T& exp_inf) const {
    interpolate(exp_avg, beta1, g);
    exp_inf = largest(T(beta2) * exp_inf, math::abs(g) + T(eps));
    return T(step_size) * exp_avg / exp_inf;
  }
};

/// Tieleman, Hinton 2012; centred by Graves 2013.
struct RmsProp {
  static constexpr std::size_t states = 3;
  static constexpr unsigned optional = 2 | 4;
  double lr, alpha, eps, momentum;
  double center;  ///< what `grad_avg` keeps of itself, or 1: it stays 0

  template <class T>
  MP_INLINE T operator()(T g, T& square_avg, T& grad_avg, T& momentum_buffer) const {
    average_squares(square_avg, alpha, g);
    interpolate(grad_avg, center, g);
    momentum_buffer =
        T(momentum) * momentum_buffer + g / (math::sqrt(square_avg - grad_avg * grad_avg) + T(eps));
    return T(lr) * momentum_buffer;
  }
};

/// Duchi, Hazan, Singer 2011.
struct Adagrad {
  static constexpr std::size_t states = 1;
  static constexpr unsigned optional = 0;
  double lr, eps;
  double start;  ///< added to the sum: its initial value, in the first update

  template <class T>
  MP_INLINE T operator()(T g, T& sum) const {
    sum = sum + T(start) + g * g;
    return T(lr) * g / (math::sqrt(sum) + T(eps));
  }
};

/// Zeiler 2012.
struct Adadelta {
  static constexpr std::size_t states = 2;
  static constexpr unsigned optional = 0;
  double lr, rho, eps;

  template <class T>
  MP_INLINE T operator()(T g, T& square_avg, T& acc_delta) const {
    average_squares(square_avg, rho, g);
    const T delta = math::sqrt(acc_delta + T(eps)) / math::sqrt(square_avg + T(eps)) * g;
    average_squares(acc_delta, rho, delta);
    return T(lr) * delta;
  }
};

/// Riedmiller, Braun 1993.
struct Rprop {
  static constexpr std::size_t states = 2;
  static constexpr unsigned optional = 0;
  double shrink, grow;  ///< factors of an element's step when the gradient turns, and when it does not
  double least, most;   ///< steps
  double start;         ///< added to the step: its initial value, in the first update

  template <class T>
  MP_INLINE T operator()(T g, T& prev, T& step_size) const {
    const T turn = g * prev;
    const T factor = turn > T(0) ? T(grow) : turn < T(0) ? T(shrink) : T(1);
    const T scaled = (step_size + T(start)) * factor;
    const T raised = scaled < T(least) ? T(least) : scaled;
    step_size = raised > T(most) ? T(most) : raised;
    prev = turn < T(0) ? T(0) : g;
    return sign(prev) * step_size;
  }
};

/// Chen et al. 2023.
struct Lion {
  static constexpr std::size_t states = 1;
  static constexpr unsigned optional = 0;
  double lr, beta1, beta2;

  template <class T>
  MP_INLINE T operator()(T g, T& exp_avg) const {
    T direction = exp_avg;
    average(direction, beta1, g);
    average(exp_avg, beta2, g);
    return T(lr) * sign(direction);
  }
};

}  // namespace updates

// Each row: launcher, formula.
#define MP_UPDATES(X)   \
  X(sgd, Sgd)           \
  X(adam, Adam)         \
  X(nadam, NAdam)       \
  X(radam, RAdam)       \
  X(adamax, Adamax)     \
  X(rmsprop, RmsProp)   \
  X(adagrad, Adagrad)   \
  X(adadelta, Adadelta) \
  X(rprop, Rprop)       \
  X(lion, Lion)

/// What rules of all formulas begin with.
struct RuleHead {
  bool maximize = false;
  bool skip = false;  ///< leave parameters and states as they are
};

/// The numbers of an update: p *= decay; g = +-gradient + weight_decay p; p -= formula(g, state...).
template <class Formula>
struct UpdateRule : RuleHead {
  double weight_decay = 0;
  double decay = 1;
  Formula formula;

  /// One element.
  template <class T, class... State>
  MP_INLINE void update(T& p, T gradient_of_p, State&... states) const {
    const T value = p * T(decay);
    const T g = (maximize ? -gradient_of_p : gradient_of_p) + T(weight_decay) * value;
    p = value - formula(g, states...);
  }
};

/// Where a row's element 0 stands in the stream of random bits, of formulas that draw some.
template <class Formula>
struct PlaceInStream {};
template <>
struct PlaceInStream<updates::RoundedAdam> {
  std::int64_t first = 0;
};

/// Arrays of n elements that are updated with the same numbers: those of the row or, if it is not null, those
/// in the device's memory at `rule_at` when the kernel runs.
template <class Formula>
struct UpdateRow : UpdateRule<Formula>, PlaceInStream<Formula> {
  void* parameter = nullptr;
  const void* gradient = nullptr;
  void* state[Formula::states] = {};
  std::int64_t n = 0;
  const UpdateRule<Formula>* rule_at = nullptr;

  MP_INLINE const UpdateRule<Formula>& rule() const { return rule_at != nullptr ? *rule_at : *this; }
  /// Whether state `k` is there, known at compile time where it must be.
  MP_INLINE bool has(std::size_t k) const { return (Formula::optional >> k & 1) == 0 || state[k] != nullptr; }
};

template <class Row>
Sizes sizes(std::span<const Row> rows) {
  std::int64_t elements = 0;
  for (const Row& row : rows) elements += row.n;
  return {"tensors elements", {static_cast<std::int64_t>(rows.size()), elements}};
}

}  // namespace miniparallel::kernels
