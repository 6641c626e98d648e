#pragma once

#include <miniparallel/dtype.h>

#include <memory>

namespace miniparallel {

struct AutocastMode;

struct AutocastOptions {
  DType dtype = bfloat16;  ///< of matrix products, convolutions and attention: bfloat16 or float16
  bool enabled = true;     ///< false: ops compute as if no guard was there
};

/// While it lives, ops of this thread choose the dtype that they compute in, as in PyTorch: products
/// and convolutions convert float32 arguments to `dtype`; exponentials, norms, sums and losses convert 16-bit
/// ones to float32; some of several arguments convert them to the widest. Float64, integers and ops in place
/// stay as they are. docs/mixed-precision.md has the lists.
///
///   Tensor loss;
///   {
///     Autocast guard({.dtype = bfloat16});
///     loss = cross_entropy(model(images), labels);
///   }
///   loss.backward();
///
/// A leaf that requires grad, such as a parameter, is converted once within the outermost guard, until it is
/// written or a backward pass has run. DataParallel's replicas compute in the mode of the caller. A backward
/// pass computes in the dtypes of its forward, wherever it is called, and the gradients of float32 parameters
/// are float32. A captured step is captured for the mode in force.
class Autocast {
 public:
  /// Throws `Error` unless the dtype is float16 or bfloat16.
  explicit Autocast(const AutocastOptions& options = {});
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  std::shared_ptr<const AutocastMode> previous_;
};

/// Whether the calling thread is within an enabled guard.
bool autocast_enabled();

/// The dtype of the innermost enabled guard. Throws `Error` where there is none.
DType autocast_dtype();

}  // namespace miniparallel
