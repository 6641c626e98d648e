#include "engine/autograd/node.h"
#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

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

/// The graph keeps `const char*` names; a user's lives as long as the process.
const char* intern(const std::string& name) {
  static std::mutex mutex;
  static auto* const names = new std::set<std::string>;
  const std::scoped_lock lock(mutex);
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
    check(outputs[i].defined(), name, ": forward returned an undefined tensor");
    // What is passed through or returned twice becomes an output of its own.
    separate(outputs[i], inputs);
    separate(outputs[i], std::span(outputs).first(i));
  }
  std::vector<Saved> saved;
  for (const Tensor& tensor : FunctionAccess::to_save(*context)) {
    int output = -1;
    for (std::size_t i = 0; i < outputs.size(); ++i)
      if (outputs[i].is_same(tensor)) output = static_cast<int>(i);
    saved.push_back(output < 0 ? save(tensor) : save_output(tensor, output));
  }
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
    for (const Saved& tensor : saved) FunctionAccess::saved(call).push_back(tensor.get(b));
    const std::vector<Tensor> results = backward(call, gradients);
    check(results.size() == given.size(), name, ": backward returned ", results.size(), " gradients for ",
          given.size(), " inputs; return one per input, undefined where there is none");
    for (std::size_t i = 0; i < results.size(); ++i) {
      const int input = static_cast<int>(i);
      if (!results[i].defined() || !b.needs(input)) continue;
      check(results[i].shape() == given[i].shape, name, ": backward returned a gradient of shape ",
            results[i].shape(), " for input ", i, " of shape ", given[i].shape);
      b.set(input, results[i].to(given[i].device, given[i].dtype));
    }
  });
  return outputs;
}

}  // namespace miniparallel::autograd
