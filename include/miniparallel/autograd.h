#pragma once

#include <miniparallel/grad_mode.h>
#include <miniparallel/tensor.h>

#include <any>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace miniparallel {

namespace autograd {

struct BackwardOptions {
  bool retain_graph = false;  ///< keep the graph for another backward; implied by create_graph
  bool create_graph = false;  ///< differentiable gradients; each holds its graph until dropped (zero_grad)
};

/// Adds d(sum of outputs * gradients) / d(leaf) to `grad` of every leaf that requires it. `gradients` may be
/// left out for scalars. The graph is freed unless retained. Throws `Error`, naming the op, where a saved
/// tensor was written since.
void backward(const std::vector<Tensor>& outputs, const std::vector<Tensor>& gradients = {},
              const BackwardOptions& options = {});

struct GradOptions {
  std::vector<Tensor> gradients = {};  ///< of the outputs; ones for scalars when empty
  bool retain_graph = false;
  bool create_graph = false;
  bool allow_unused =
      false;  ///< an undefined gradient instead of an error for inputs that no output depends on
};
/// The gradients of `inputs`, which need not be leaves; `grad` of no tensor is touched.
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const GradOptions& options = {});

struct GradcheckOptions {
  double eps = 1e-6;   ///< how far an entry is moved to each side
  double rtol = 1e-4;  ///< relative to the finite difference
  double atol = 1e-6;
};
/// Compares the gradients of `function` at `inputs` (float64, requiring grad)
/// with central differences, entry by entry of the Jacobian. Returns "" when
/// they agree, otherwise which output, input and entry differ, and both values.
using Function1 = std::function<Tensor(const std::vector<Tensor>&)>;
std::string gradcheck(const Function1& function, const std::vector<Tensor>& inputs,
                      const GradcheckOptions& options = {});
/// The same for second derivatives.
std::string gradgradcheck(const Function1& function, const std::vector<Tensor>& inputs,
                          const GradcheckOptions& options = {});

/// The values that a user's `backward` gets from its `forward`.
class Context {
 public:
  /// Keeps tensors for backward, guarded against later writes: inputs, outputs and, without second
  /// derivatives, results in between. Those have no history: under create_graph a floating one is an `Error`.
  void save_for_backward(std::vector<Tensor> tensors) { to_save_ = std::move(tensors); }
  const std::vector<Tensor>& saved() const { return saved_; }
  /// Anything else that backward needs: numbers, shapes, tensors that do not depend on the inputs.
  std::map<std::string, std::any> data;

 private:
  template <class Derived>
  friend class Function;
  friend struct FunctionAccess;
  std::vector<Tensor> to_save_, saved_;
};

/// Runs `forward` without recording, then records `backward` as one node of the graph.
std::vector<Tensor> apply_function(
    const std::string& name, const std::vector<Tensor>& inputs,
    const std::function<std::vector<Tensor>(Context&, const std::vector<Tensor>&)>& forward,
    const std::function<std::vector<Tensor>(Context&, const std::vector<Tensor>&)>& backward);

/// A user's own op:
///
///   struct Cube : autograd::Function<Cube> {
///     static constexpr const char* name = "cube";
///     static std::vector<Tensor> forward(Context& context, const std::vector<Tensor>& inputs);
///     static std::vector<Tensor> backward(Context& context, const std::vector<Tensor>& gradients);
///   };
///   Tensor y = Cube::apply({x})[0];
///
/// Inputs may be undefined. `backward` returns one gradient per input (an undefined tensor for none), those
/// of unused outputs arrive as zeros. It may be differentiated again where it is made of differentiable ops.
template <class Derived>
class Function {
 public:
  using Context = autograd::Context;
  static std::vector<Tensor> apply(const std::vector<Tensor>& inputs) {
    return apply_function(Derived::name, inputs, &Derived::forward, &Derived::backward);
  }
};

}  // namespace autograd
}  // namespace miniparallel
