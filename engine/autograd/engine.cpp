#include <miniparallel/ops.h>

#include "engine/autograd/graph_task.h"
#include "engine/autograd/walks.h"
#include "engine/error.h"
#include "engine/threads/autocast_mode.h"

#include <atomic>

namespace miniparallel::autograd {
namespace {

std::atomic<std::uint64_t> walks = 0;

/// The thread's state for one walk: gradients are computed in the dtypes of the forward, without autocast.
class Walk {
 public:
  Walk() : previous_(grad_enabled()), plain_(nullptr) {}
  ~Walk() {
    set_grad_enabled(previous_);
    walks.fetch_add(1, std::memory_order_relaxed);
  }
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

 private:
  bool previous_;
  AutocastModeScope plain_;
};

void add_roots(GraphTask& task, const char* op, const std::vector<Tensor>& outputs,
               const std::vector<Tensor>& gradients) {
  check(!outputs.empty(), op, ": no outputs were given; pass at least one");
  check(gradients.empty() || gradients.size() == outputs.size(), op, ": ", gradients.size(),
        " gradients for ", outputs.size(), " outputs; pass one for each, or none");
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor& output = outputs[i];
    check(output.defined() && output.requires_grad(), op, ": output ", i,
          " does not depend on a tensor that requires grad; call requires_grad_() on what is to be learned");
    const Tensor gradient = gradients.empty() ? Tensor() : gradients[i];
    if (!gradient.defined())
      check(output.numel() == 1, op, ": the output has shape ", output.shape(),
            "; only a scalar needs no gradient, pass one of the same shape");
    else
      check(gradient.shape() == output.shape() && gradient.dtype() == output.dtype(), op,
            ": the gradient is ", gradient.dtype(), " ", gradient.shape(), ", the output ", output.dtype(),
            " ", output.shape(), "; both must be the same");
    task.add_root(output, gradient);
  }
}

}  // namespace

std::uint64_t finished_walks() { return walks.load(std::memory_order_relaxed); }

void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients,
              const BackwardOptions& options) {
  const Walk walk;
  GraphTask task(options.retain_graph || options.create_graph, options.create_graph);
  add_roots(task, "backward", outputs, gradients);
  task.run();
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options) {
  const Walk walk;
  GraphTask task(options.retain_graph || options.create_graph, options.create_graph);
  add_roots(task, "grad", outputs, options.gradients);
  std::vector<Tensor> result(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check(inputs[i].defined() && inputs[i].requires_grad(), "grad: input ", i,
          " does not require grad; call requires_grad_() before it is used");
    task.add_capture(inputs[i], &result[i]);
  }
  task.run();
  for (std::size_t i = 0; i < inputs.size(); ++i)
    check(result[i].defined() || options.allow_unused, "grad: no output depends on input ", i,
          "; set allow_unused for an undefined gradient");
  return result;
}

}  // namespace miniparallel::autograd
