#include "engine/ops/half.h"
#include "engine/ops/indexing.h"
#include "engine/ops/loss.h"

#include <algorithm>
#include <numeric>

// Connectionist temporal classification: the log-probabilities of the states are picked from those of the
// classes by an op of its own, so that kernels and formulas see states alone.

namespace miniparallel {
namespace {

constexpr const char* kName = "ctc_loss";

/// What the kernels take besides log-probabilities.
struct States {
  Tensor skip, step_counts, state_counts;
};

std::int64_t sum_of(const std::vector<std::int64_t>& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
}

void check_arguments(const Tensor& x, const Tensor& targets, const std::vector<std::int64_t>& steps,
                     const std::vector<std::int64_t>& lengths, const CtcLossOptions& options) {
  check_floating(kName, x);
  check_index(kName, x, targets);
  check(x.dim() == 3, kName, ": log_probs have shape ", x.shape(), "; they must be (steps, n, classes)");
  const std::int64_t n = x.size(1);
  check(options.blank >= 0 && options.blank < x.size(2), kName, ": blank is ", options.blank,
        "; it must be one of the ", x.size(2), " classes");
  const auto count = static_cast<std::int64_t>(steps.size());
  check(count == n && lengths.size() == steps.size(), kName, ": got ", count, " input_lengths and ",
        lengths.size(), " target_lengths for a batch of ", n, "; each item needs one of both");
  for (const std::int64_t length : steps)
    check(length >= 0 && length <= x.size(0), kName, ": input_lengths has ", length,
          "; it must be from 0 to the number of steps, ", x.size(0));
  for (const std::int64_t length : lengths)
    check(length >= 0, kName, ": target_lengths has ", length, "; it must be at least 0");
  if (targets.dim() == 1) {
    check(targets.size(0) == sum_of(lengths), kName, ": got ", targets.size(0),
          " targets, target_lengths add up to ", sum_of(lengths), "; they must agree");
  } else {
    const std::int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
    check(targets.dim() == 2 && targets.size(0) == n && targets.size(1) >= longest, kName,
          ": targets have shape ", targets.shape(), "; they must be (n, length) for a batch of ", n,
          " and lengths up to ", longest, ", or joined in one dimension");
  }
}

/// (n, longest): the targets, blank where an item has no more.
Tensor padded(const Tensor& targets, const std::vector<std::int64_t>& lengths, std::int64_t blank) {
  const auto n = static_cast<std::int64_t>(lengths.size());
  const std::int64_t longest = lengths.empty() ? 0 : *std::ranges::max_element(lengths);
  std::vector<std::int64_t> from;  // places among the targets; the one behind the last is the blank
  from.reserve(static_cast<std::size_t>(n * longest));
  const std::int64_t row = targets.dim() == 2 ? targets.size(1) : 0;
  std::int64_t first = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t length = lengths[static_cast<std::size_t>(i)];
    for (std::int64_t j = 0; j < longest; ++j) from.push_back(j < length ? first + j : targets.numel());
    first += targets.dim() == 2 ? row : length;
  }
  const Tensor with_blank =
      cat({targets.to(int64).flatten(), full({1}, blank, {.dtype = int64, .device = targets.device()})});
  return index_select(with_blank, 0, tensor(from, {.device = targets.device()})).view({n, longest});
}

/// The class of each state: blanks around the targets. (n, 2 longest + 1)
Tensor classes_of(const Tensor& labels, std::int64_t blank) {
  const std::int64_t n = labels.size(0), longest = labels.size(1);
  const Tensor blanks = full_like(labels, blank);
  return cat({stack({blanks, labels}, 2).view({n, 2 * longest}),
              full({n, 1}, blank, {.dtype = int64, .device = labels.device()})},
             1);
}

/// A state of a target may follow the target before it unless they are equal: between equal ones a blank is
/// needed, and between blanks a target.
Tensor skips_of(const Tensor& classes, std::int64_t blank) {
  if (classes.size(1) <= 2) return zeros(classes.shape(), {.dtype = boolean, .device = classes.device()});
  const std::int64_t states = classes.size(1);
  const Tensor later = classes.slice(1, 2, states), before = classes.slice(1, 0, states - 2);
  const Tensor none = zeros({classes.size(0), 2}, {.dtype = boolean, .device = classes.device()});
  return cat({none, (later != blank) & (later != before)}, 1);
}

kernels::CtcArgs make_args(const Tensor& e, const States& states) {
  return {e.size(0),
          e.size(1),
          e.size(2),
          raw(e),
          reinterpret_cast<const bool*>(raw(states.skip)),
          reinterpret_cast<const std::int64_t*>(raw(states.step_counts)),
          reinterpret_cast<const std::int64_t*>(raw(states.state_counts))};
}

/// The log of no chance, finite so that differences of it are numbers.
constexpr double kNever = -1e30;

/// log(sum) of what comes to each state from itself, its neighbour and the one beyond, where it may:
/// `step` 1 from earlier states, -1 from later ones.
Tensor joined(const Tensor& row, const Tensor& skip, int step) {
  const std::int64_t states = row.size(1);
  const auto shifted = [&](const Tensor& x, std::int64_t by, Scalar value) {
    return pad(x, {2, 2}, PadMode::constant, value).narrow(1, 2 - by, states);
  };
  const Tensor near = shifted(row, step, kNever), far = shifted(row, 2 * step, kNever);
  const Tensor allowed = step > 0 ? skip : shifted(skip, -2, 0);
  return logsumexp(stack({row, near, where(allowed, far, kNever)}), {0});
}

/// The gradient of e, of differentiable ops: -g times the share of the ways through each state.
Tensor composed_gradient(const Tensor& e, const States& states, const Tensor& g) {
  const std::int64_t steps = e.size(0);
  const Tensor number = arange(e.size(2), {.device = e.device()}),
               state_count = states.state_counts.unsqueeze(1), step_count = states.step_counts.unsqueeze(1);
  const Tensor exists = number < state_count, last = exists & (number >= state_count - 2);
  std::vector<Tensor> alphas, betas(static_cast<std::size_t>(steps));
  for (std::int64_t t = 0; t < steps; ++t)
    alphas.push_back(where(exists & (t == 0 ? number < 2 : exists),
                           t == 0 ? e[t] : e[t] + joined(alphas.back(), states.skip, 1), kNever));
  Tensor beta = full_like(alphas[0], kNever);
  for (std::int64_t t = steps - 1; t >= 0; --t) {
    const Tensor inner = where(exists & (step_count > t + 1), e[t] + joined(beta, states.skip, -1), kNever);
    beta = betas[static_cast<std::size_t>(t)] = where(last & (step_count == t + 1), e[t], inner);
  }
  const Tensor ways = stack(alphas) + stack(betas) - e;
  const Tensor chance = logsumexp(ways[0], {1}, true);
  const Tensor active = arange(steps, {.device = e.device()}).view({steps, 1, 1}) < step_count;
  return where(active & exists, -g.unsqueeze(1) * exp(ways - chance), 0);
}

/// Losses (n) of the log-probabilities of states, (steps, n, states).
Tensor losses_of(const Tensor& picked, const States& states) {
  const Tensor e = picked.contiguous();
  Tensor losses = make_tensor({e.size(1)}, e.dtype(), e.device());
  const Tensor alpha = result_like(e);
  backend(e).ctc.forward(e.dtype(), make_args(e, states), raw(alpha), raw(losses), stream(e));
  if (recording(e))
    record(kName, losses, {e}, [e = save(e), losses = save_output(losses), alpha, states](Backward& b) {
      const Tensor x = e.get(b), g = b.grad().contiguous();
      if (b.create_graph() && x.size(0) > 0) return b.set(0, composed_gradient(x, states, g));
      const Tensor dx = result_like(x);
      backend(x).ctc.backward(x.dtype(), make_args(x, states), raw(alpha), raw(losses.get(b)), raw(g),
                              raw(dx), stream(x));
      b.set(0, dx);
    });
  return losses;
}

}  // namespace

Tensor ctc_loss(const Tensor& log_probs, const Tensor& targets,
                const std::vector<std::int64_t>& input_lengths,
                const std::vector<std::int64_t>& target_lengths, const CtcLossOptions& options) try {
  check_arguments(log_probs, targets, input_lengths, target_lengths, options);
  if (is_half(log_probs))
    return in_float32(MP_OP(ctc_loss), log_probs, targets, input_lengths, target_lengths, options);
  const Device device = log_probs.device();
  const Tensor classes = classes_of(padded(targets, target_lengths, options.blank), options.blank);
  const Tensor lengths = tensor(target_lengths, {.device = device});
  const States states{skips_of(classes, options.blank), tensor(input_lengths, {.device = device}),
                      lengths * 2 + 1};
  const Shape shape{log_probs.size(0), classes.size(0), classes.size(1)};
  Tensor losses = losses_of(gather(log_probs, 2, classes.unsqueeze(0).expand(shape)), states);
  if (options.zero_infinity) losses = where(isinf(losses), 0, losses);
  if (options.reduction == Reduction::mean) losses = losses / clamp_min(lengths, 1).to(losses.dtype());
  return reduced(losses, options.reduction);
} catch (const Error& error) {
  rethrow_as(kName, error);
}

}  // namespace miniparallel
