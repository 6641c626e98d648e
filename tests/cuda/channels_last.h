#pragma once

#include <miniparallel/profiler.h>
#include <miniparallel/random.h>

#include "compare.h"
#include "engine/ops/common.h"
#include "gpus.h"

#include <map>
#include <string>

// Helpers of the tests of tensors whose channels are innermost (engine/tensor/channels_last.h).

namespace miniparallel::testing {

inline const Device gpu = Device::cuda(0);
inline constexpr DType kDTypes[] = {float32, float16, bfloat16};

inline bool is_last(const Tensor& x) { return x.impl()->channels_last; }

/// Channels-last on a GPU; the CPU has no such layout.
inline Tensor last(const Tensor& x) {
  if (!x.device().is_cuda()) return x;
  const Tensor y = in_channels_last(x);
  CHECK(is_last(y) == can_be_channels_last(x.shape(), x.dtype()));
  return y;
}

/// How often each kind of work was started.
inline std::map<std::string, std::int64_t> calls_of(const std::function<void()>& f) {
  synchronize(gpu);
  Profiler profile({}, {.table_rows = 0});
  f();
  profile.stop();
  std::map<std::string, std::int64_t> calls;
  for (const OpStats& row : profile.key_averages()) calls[row.name] = row.calls;
  return calls;
}

/// While it lives float32 may be rounded to TF32.
struct WithTf32 {
  explicit WithTf32(bool allow) { set_allow_tf32(allow); }
  ~WithTf32() { set_allow_tf32(false); }
};

/// The gradient of a gradient's square, by each input.
inline Tensors second_derivatives(const Function& function, const Tensors& inputs, Device device) {
  Tensors leaves;
  for (const Tensor& input : inputs) leaves.push_back(input.detach().to(device).requires_grad_());
  const Tensor y = function(leaves);
  const Tensors first = autograd::grad({(y * y).sum()}, leaves, {.create_graph = true});
  Tensor total;
  for (const Tensor& g : first) total = total.defined() ? total + (g * g).sum() : (g * g).sum();
  total.backward();
  Tensors results;
  for (const Tensor& leaf : leaves) results.push_back(leaf.grad().cpu());
  return results;
}

}  // namespace miniparallel::testing
