#pragma once

#include <miniparallel/grad_mode.h>
#include <miniparallel/nested.h>
#include <miniparallel/tensor.h>

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel {

namespace detail {

/// A call that can be made again.
class Call {
 public:
  virtual ~Call() = default;
  /// Drops the results. `tensors`: of the arguments, in order.
  virtual void run(const std::vector<Tensor>& tensors) = 0;
};

template <class F, class... Arguments>
class CallOf final : public Call {
 public:
  CallOf(const F& function, std::tuple<Arguments...> arguments)
      : function_(function), arguments_(std::move(arguments)) {}

  void run(const std::vector<Tensor>& tensors) override {
    std::size_t next = 0;
    const auto place = [&](const Tensor&) { return tensors[next++]; };
    std::apply(
        [&](const Arguments&... argument) {
          std::tuple<Arguments...> all{nested::map(argument, place)...};  // braces, for their order
          F function = function_;
          std::apply([&](Arguments&... each) { (void)std::invoke(function, std::move(each)...); }, all);
        },
        arguments_);
  }

 private:
  F function_;
  std::tuple<Arguments...> arguments_;  // without tensors
};

/// While it lives, the calling thread makes the call for the first time, and nothing is kept for backward.
/// `tensors`: of the arguments, in order.
class FirstCall {
 public:
  FirstCall(std::unique_ptr<Call> call, const std::vector<Tensor>& tensors);
  ~FirstCall();
  FirstCall(const FirstCall&) = delete;
  FirstCall& operator=(const FirstCall&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace detail

/// Gradient checkpointing (torch.utils.checkpoint, use_reentrant=False): function(arguments...), without
/// keeping what backward needs of it. Backward calls it again: time for memory.
///
///   Tensor operator()(Tensor x) {
///     for (auto& block : blocks) x = checkpoint(block, x);
///     return head(x);
///   }
///
/// Arguments and results may be anything that holds tensors. Only the arguments are kept, and a copy of
/// `function`; what a lambda refers to must live until backward. Every gradient has the bits that it would
/// have without checkpoint, those of parameters and of captured tensors too. Random numbers, grad mode and
/// default dtype of the second call are those of the first, and running statistics of batch normalisation are
/// updated once. Everything else that `function` does on the side, it does twice.
///
/// It must do the same each time. Backward throws `Error` where it does not, as far as what it saves shows
/// it, and where an argument or a parameter was written in place since; and `checkpoint` inside of a model of
/// `BatchNormPolicy::sync`, or a `DataParallel` inside of `function`: call it inside of the model instead.
/// Calls may be nested, and gradients differentiated again. With `retain_graph` what was computed again is
/// kept with the graph. Not related to `Checkpoint`, a training run in a file.
template <class F, class... Arguments>
  requires std::invocable<std::decay_t<F>&, std::remove_cvref_t<Arguments>...>
std::invoke_result_t<F&, Arguments...> checkpoint(F&& function, Arguments&&... arguments) {
  static_assert(std::copy_constructible<std::decay_t<F>>,
                "miniparallel: checkpoint keeps a copy of its function for backward, and this one cannot be "
                "copied; pass a lambda that refers to it");
  if (!grad_enabled()) return std::invoke(function, std::forward<Arguments>(arguments)...);
  std::vector<Tensor> tensors;
  const auto keep = [&](const Tensor& tensor) {
    tensors.push_back(tensor);
    return nested::detail::placeholder(tensor);
  };
  using Call = detail::CallOf<std::decay_t<F>, std::remove_cvref_t<Arguments>...>;
  const detail::FirstCall first(
      std::make_unique<Call>(function, std::tuple<std::remove_cvref_t<Arguments>...>{nested::map(
                                           std::as_const(arguments), keep)...}),
      tensors);
  tensors.clear();
  return std::invoke(function, std::forward<Arguments>(arguments)...);
}

}  // namespace miniparallel
