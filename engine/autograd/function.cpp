#include "engine/autograd/node.h"
#include "engine/error.h"
#include "engine/fork.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <span>

namespace miniparallel::autograd {

struct FunctionAccess {
  static const std::vector<Tensor>& to_save(const Context& context) { return context.to_save_; }
  static std::vector<Tensor>& saved(Context& context) { return context.saved_; }
  static void forget(Context& context) { context.to_save_.clear(); }
};

namespace {

struct Description {
  Shape shape = {};
  DType dtype = float32;
  Device device = {};
};

/// What `save_for_backward` was given. A floating tensor that is neither input nor output has no history, so
/// a second derivative would miss what it contributes.
struct SavedByUser {
  Saved tensor;
  bool differentiable;
};

SavedByUser saved_by_user(const Tensor& tensor, const std::vector<Tensor>& inputs,
                          const std::vector<Tensor>& outputs) {
  for (std::size_t i = 0; i < outputs.size(); ++i)
    if (outputs[i].is_same(tensor)) return {save_output(tensor, static_cast<int>(i)), true};
  const bool input = std::ranges::any_of(inputs, [&](const Tensor& x) { return x.is_same(tensor); });
  return {save(tensor), input || !tensor.defined() || !tensor.is_floating()};
}

/// The graph keeps `const char*` names; a user's lives as long as the process.
const char* intern(const std::string& name) {
  static auto* const names = new std::set<std::string>;
  const std::scoped_lock lock(fork_safe_mutex(LockOrder::names));
  return names->insert(name).first->c_str();
}

}  // namespace

std::vector<Tensor> apply_function(
    const std::string& name, const std::vector<Tensor>& inputs,
    const std::function<std::vector<Tensor>(Context&, const std::vector<Tensor>&)>& forward,
    const std::function<std::vector<Tensor>(Context&, const std::vector<Tensor>&)>& backward) {
  auto context = std::make_shared<Context>();
  std::vector<Tensor> outputs;
  {
    const NoGradGuard no_grad;
    outputs = forward(*context, inputs);
  }
  if (!recording(inputs)) return outputs;

  const auto separate = [](Tensor& output, std::span<const Tensor> others) {
    for (const Tensor& other : others)
      if (output.is_same(other)) output = output.detach();
  };
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    check(outputs[i].defined(), name, ": forward returned an undefined tensor; every output must be defined");
    // A tensor that is passed through or returned twice becomes a separate output.
    separate(outputs[i], inputs);
    separate(outputs[i], std::span(outputs).first(i));
  }
  std::vector<SavedByUser> saved;
  for (const Tensor& tensor : FunctionAccess::to_save(*context))
    saved.push_back(saved_by_user(tensor, inputs, outputs));
  FunctionAccess::forget(*context);
  std::vector<Description> made, given;
  for (const Tensor& output : outputs) made.push_back({output.shape(), output.dtype(), output.device()});
  for (const Tensor& input : inputs)
    given.push_back(input.defined() ? Description{input.shape(), input.dtype(), input.device()}
                                    : Description{});

  record(intern(name), outputs, inputs, [=](Backward& b) {
    std::vector<Tensor> gradients;
    for (std::size_t i = 0; i < made.size(); ++i) {
      const Tensor& gradient = b.grad(static_cast<int>(i));
      gradients.push_back(gradient.defined()
                              ? gradient
                              : zeros(made[i].shape, {.dtype = made[i].dtype, .device = made[i].device}));
    }
    Context call = *context;
    for (const auto& [tensor, differentiable] : saved) {
      std::vector<Tensor>& known = FunctionAccess::saved(call);
      known.push_back(tensor.get(b));
      if (!differentiable && b.create_graph())
        fail(
            name, ": create_graph cannot differentiate saved tensor ", known.size() - 1, " of shape ",
            known.back().shape(),
            ", which is neither an input nor an output of forward; compute it in backward from saved inputs, "
            "or return it as an output too (a constant goes into context.data)");
    }
    const std::vector<Tensor> results = backward(call, gradients);
    check(results.size() == given.size(), name, ": backward returned ", results.size(), " gradients for ",
          given.size(), " inputs; return one per input, undefined where there is none");
    for (std::size_t i = 0; i < results.size(); ++i) {
      const int input = static_cast<int>(i);
      if (!results[i].defined() || !b.needs(input)) continue;
      check(results[i].shape() == given[i].shape, name, ": backward returned a gradient of shape ",
            results[i].shape(), " for input ", i, " of shape ", given[i].shape, "; the shapes must be equal");
      b.set(input, results[i].to(given[i].device, given[i].dtype));
    }
  });
  return outputs;
}

}  // namespace miniparallel::autograd
