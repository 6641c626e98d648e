#pragma once

#include <miniparallel/model.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace miniparallel::optim {

namespace detail {

/// averages[i] moves by `share` of its distance from values[i]: one launch per device, dtype and block of
/// memory. Throws `Error` where the two differ in number, shape, dtype or device.
void average(const std::vector<Tensor>& averages, const std::vector<Tensor>& values, double share);
/// Makes one block of them where they are on one device.
void pack_averages(const std::vector<Tensor>& averages);

/// A state under the names of PyTorch's AveragedModel, and back; throws `Error` without a count.
StateDict averaged_state(const StateDict& model, std::int64_t count);
std::pair<StateDict, std::int64_t> split_averaged_state(const StateDict& state);

void check_decay(double decay);

}  // namespace detail

struct AveragedModelOptions {
  /// 0: the plain average of all updates. Else in (0, 1): average = decay average + (1 - decay) parameter.
  double decay = 0;
};

/// A copy of a model whose parameters are averages of those that the model had at each `update_parameters`;
/// often better than the last ones. Stochastic weight averaging (Izmailov et al.: "Averaging weights leads to
/// wider optima and better generalization", 2018), or an exponential moving average (Polyak, Juditsky:
/// "Acceleration of stochastic approximation by averaging", 1992). Buffers, such as running statistics, are
/// those of the last update.
///
///   optim::AveragedModel average(net, {.decay = 0.999});
///   ...
///   optimizer.step();
///   average.update_parameters(net);
///   ...
///   save(average.model(), "average.safetensors");
///
/// It can be part of a `Checkpoint`. Of a wrapped model pass `wrapper.model()`.
template <class Model>
class AveragedModel {
 public:
  explicit AveragedModel(const Model& model, const AveragedModelOptions& options = {})
      : model_(clone(model)), decay_(options.decay) {
    detail::check_decay(decay_);
    detail::pack_averages(miniparallel::parameters(model_));
    requires_grad_(model_, false);
  }

  /// The first update copies.
  void update_parameters(const Model& model) {
    const double share = count_ == 0 ? 1 : decay_ > 0 ? 1 - decay_ : 1 / static_cast<double>(count_ + 1);
    detail::average(miniparallel::parameters(model_), miniparallel::parameters(model), share);
    detail::average(buffers(model_), buffers(model), 1);
    ++count_;
  }
  std::int64_t updates() const { return count_; }

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  template <class... Arguments>
  decltype(auto) operator()(Arguments&&... arguments) {
    return model_(std::forward<Arguments>(arguments)...);
  }

  /// `n_averaged`, and the model's with the prefix "module.", as PyTorch's.
  StateDict state_dict() const { return detail::averaged_state(miniparallel::state_dict(model_), count_); }
  /// Throws `Error`, changing nothing, where the state does not fit.
  void load_state_dict(const StateDict& state) { prepare_load(state)(); }
  /// The same in two halves: see `PreparedLoad`.
  PreparedLoad prepare_load(const StateDict& state) {
    const auto [of_model, count] = detail::split_averaged_state(state);
    return
        [this, load = reflect::prepare_load(reflect::inventory(model_), of_model), read = count]() mutable {
          load();
          count_ = read;
        };
  }

 private:
  static std::vector<Tensor> buffers(const Model& model) {
    std::vector<Tensor> found;
    for (const auto& [name, buffer] : named_buffers(model)) found.push_back(buffer);
    return found;
  }

  Model model_;
  double decay_;
  std::int64_t count_ = 0;
};

}  // namespace miniparallel::optim
