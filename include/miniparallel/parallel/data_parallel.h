#pragma once

#include <miniparallel/model.h>
#include <miniparallel/nested.h>
#include <miniparallel/parallel/apply.h>
#include <miniparallel/parallel/criterion.h>
#include <miniparallel/parallel/gather.h>
#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/replicate.h>
#include <miniparallel/parallel/replicated.h>
#include <miniparallel/parallel/scatter.h>

#include <concepts>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace miniparallel {

/// The counts of a DataParallel's last forward and last backward.
struct DataParallelCounters {
  std::int64_t bytes_refreshed = 0;  ///< copied to bring the replicas up to date
  std::int64_t bytes_reduced = 0;    ///< of gradients, copied between devices
  std::int64_t replicas_used = 0;
};

namespace parallel {

/// The replica's device for each of `replicas` (0: as many as devices), placed in equal runs on the devices of
/// the list. Throws `Error` for options that make no sense.
std::vector<Device> place_replicas(const DataParallelOptions& options);

template <class T>
struct ArgumentOf {
  using type = T;
};
template <class T>
struct ArgumentOf<Replicated<T>> {
  using type = T;
};
/// A replica's part of an argument: its rows, or the whole of a value wrapped by `replicated`.
template <class T>
using Argument = typename ArgumentOf<std::remove_cvref_t<T>>::type;

template <class T>
inline constexpr bool is_replicated = false;
template <class T>
inline constexpr bool is_replicated<Replicated<T>> = true;

template <class T>
inline constexpr bool is_wrapper = false;

}  // namespace parallel

template <class Model>
class DataParallel;
template <class Model>
inline constexpr bool parallel::is_wrapper<DataParallel<Model>> = true;

/// A model whose batches are divided along a dimension among replicas, each on a GPU, that run at the same time.
/// Outputs are gathered on one device; a loss of theirs has the gradients that it has on one device, summed in
/// the parameters of the model, the master, which an optimizer steps as usual.
///
///   DataParallel model{Net{}, {.devices = {0, 1}}};
///   optim::Adam optimizer(model.parameters());
///   Tensor loss = cross_entropy(model(images), labels.to(model.device()));
///
/// The wrapper holds a copy of the struct, which shares its tensors. Replicas are made once; a forward copies
/// to them what has been written since the last. Neither copyable nor movable; one forward runs at a time.
template <class Model>
class DataParallel {
  static_assert(
      !parallel::is_wrapper<Model>,
      "miniparallel: a DataParallel cannot be wrapped once more; name all devices in the options of one");

 public:
  explicit DataParallel(Model model, const DataParallelOptions& options = {})
      : options_(options),
        placement_(parallel::place_replicas(options)),
        output_device_(options.output_device.value_or(placement_[0])),
        model_(std::move(model)),
        replicas_(model_, placement_) {}
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// Divides the tensors among the arguments - also those in containers and plain structs - by rows, runs the
  /// replicas that get some and gathers what they return. Other arguments go to every replica.
  /// With one replica the model is called directly. Throws `Error` where tensors disagree in their rows.
  template <class... Arguments>
  auto operator()(Arguments&&... arguments) {
    const std::scoped_lock lock(mutex_);
    if (placement_.size() == 1)
      return to_output(call_directly(call_model, std::forward<Arguments>(arguments)...));
    return gather(run(call_model, std::forward<Arguments>(arguments)...));
  }

  /// The same without gathering: what each replica that ran returned, on its device.
  template <class... Arguments>
  auto shards(Arguments&&... arguments) {
    const std::scoped_lock lock(mutex_);
    if (placement_.size() > 1) return run(call_model, std::forward<Arguments>(arguments)...);
    std::vector<ResultOf<CallModel, Arguments...>> results;
    results.push_back(call_directly(call_model, std::forward<Arguments>(arguments)...));
    return results;
  }

  /// criterion(model(inputs...), target) of the whole batch, on `device()`, each part computed where its outputs
  /// are: `model.loss(cross_entropy, x, y)`. Exact also where parts differ in size: a criterion of ops.h or
  /// nn/loss.h is summed and divided by the number of all elements, or of all targets that are not ignored. Of
  /// another one, such as a lambda, the value is taken as the mean of its rows.
  template <class Criterion, class... InputsAndTarget>
  Tensor loss(Criterion&& criterion, InputsAndTarget&&... arguments) {
    static_assert(sizeof...(InputsAndTarget) >= 2,
                  "miniparallel: loss(criterion, inputs..., target) needs the model's inputs and the target");
    const auto typed = parallel::criterion_of(std::decay_t<Criterion>(criterion));
    const std::scoped_lock lock(mutex_);
    if (placement_.size() == 1) {
      const auto call = [&](Model& model, auto&&... parts) {
        return apply_to_inputs(
            model, [&](const auto& output, const auto& target) { return typed(output, target); },
            std::move(parts)...);
      };
      return to_output(call_directly(call, std::forward<InputsAndTarget>(arguments)...));
    }
    const auto call = [&](Model& model, auto&&... parts) {
      const std::int64_t rows =
          parallel::rows_of(std::get<sizeof...(parts) - 1>(std::tie(parts...)), options_.dim);
      return apply_to_inputs(
          model,
          [&](const auto& output, const auto& target) {
            return parallel::partial_loss(typed, output, target, rows);
          },
          std::move(parts)...);
    };
    return parallel::join_losses(run(call, std::forward<InputsAndTarget>(arguments)...), output_device_,
                                 options_.dim);
  }

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  Model* operator->() { return &model_; }
  const Model* operator->() const { return &model_; }

  /// Where outputs arrive and targets belong.
  Device device() const { return output_device_; }
  /// The device of each replica.
  const std::vector<Device>& devices() const { return placement_; }
  DataParallelCounters counters() const {
    DataParallelCounters counters = counters_;
    counters.bytes_reduced = replicas_.tensors().bytes_reduced();
    return counters;
  }

  /// Adds the gradients of several backwards up with one reduction: under the guard each device keeps its own,
  /// and the next backward without a guard adds all of them to `grad`.
  ///
  ///   { auto guard = model.no_sync(); model.loss(cross_entropy, x1, y1).backward(); }
  ///   model.loss(cross_entropy, x2, y2).backward();
  ///
  /// The part of the first device is added to `grad`, and goes through hooks, at once; the others belong to that
  /// `grad`, and are dropped if it is (`zero_grad`) or if it is replaced. The sum is that of plain backwards up to
  /// rounding. A backward with create_graph is an `Error` meanwhile.
  parallel::NoSync no_sync() { return replicas_.tensors().no_sync(); }

  /// The functions on models - parameters(model), save(model, path), ... - take the wrapper for its model.
  template <class Visitor>
  void visit_parts(Visitor& visitor) {
    reflect::visit(model_, visitor);
  }

  // --- the same as members
  std::vector<Tensor> parameters() const { return miniparallel::parameters(model_); }
  NamedTensors named_parameters() const { return miniparallel::named_parameters(model_); }
  NamedTensors named_buffers() const { return miniparallel::named_buffers(model_); }
  StateDict state_dict() const { return miniparallel::state_dict(model_); }
  LoadReport load_state_dict(const StateDict& state, const LoadOptions& options = {}) {
    return miniparallel::load_state_dict(model_, state, options);
  }
  void train(bool on = true) { miniparallel::train(model_, on); }
  void eval() { miniparallel::eval(model_); }
  void zero_grad() { miniparallel::zero_grad(model_); }
  DataParallel& to(DType dtype) {
    miniparallel::to(model_, dtype);
    return *this;
  }

 private:
  struct CallModel {
    template <class... Parts>
    decltype(auto) operator()(Model& model, Parts&&... parts) const {
      return model(std::forward<Parts>(parts)...);
    }
  };
  static constexpr CallModel call_model{};

  template <class Call, class... Arguments>
  using ResultOf =
      std::remove_cvref_t<std::invoke_result_t<const Call&, Model&, parallel::Argument<Arguments>...>>;

  /// then(model(all but the last argument...), the last argument).
  template <class Then, class... Arguments>
  static auto apply_to_inputs(Model& model, Then&& then, Arguments&&... arguments) {
    auto all = std::tuple(std::move(arguments)...);
    return [&]<std::size_t... i>(std::index_sequence<i...>) {
      return then(model(std::move(std::get<i>(all))...), std::get<sizeof...(i)>(all));
    }(std::make_index_sequence<sizeof...(Arguments) - 1>{});
  }

  /// The value wrapped by `replicated`, or the argument itself.
  template <class Argument>
  static auto& unwrapped(Argument& argument) {
    if constexpr (parallel::is_replicated<std::remove_const_t<Argument>>)
      return argument.value;
    else
      return argument;
  }

  template <class Call, class... Arguments>
  auto call_directly(const Call& call, Arguments&&... arguments) {
    counters_ = {.replicas_used = 1};
    return call(model_, miniparallel::to(placement_[0], unwrapped(arguments))...);
  }

  template <class Result>
  Result to_output(Result result) const {
    return miniparallel::to(output_device_, std::move(result));
  }

  /// The argument as each replica gets it, its rows still where they are.
  template <class Argument>
  auto divide(Argument& argument, const parallel::Division& division) const {
    using Part = std::remove_cvref_t<decltype(unwrapped(argument))>;
    const std::size_t count = division.replicas.size();
    std::vector<Part> parts;
    parts.reserve(count);
    if constexpr (parallel::is_replicated<std::remove_const_t<Argument>>) {
      for (std::size_t i = 0; i < count; ++i) parts.push_back(nested::map(unwrapped(argument), share));
    } else {
      std::vector<std::vector<Tensor>> chunks;
      nested::for_each(std::as_const(argument), [&](const Tensor& tensor) {
        chunks.push_back(parallel::split_rows(tensor, division, options_.dim));
      });
      for (std::size_t i = 0; i < count; ++i)
        parts.push_back(
            nested::map(std::as_const(argument),
                        [&, next = std::size_t{0}](const Tensor&) mutable { return chunks[next++][i]; }));
    }
    return parts;
  }
  static Tensor share(const Tensor& tensor) { return tensor; }

  /// call(replica, its arguments...) in each replica that gets rows.
  template <class Call, class... Arguments>
  auto run(const Call& call, Arguments&&... arguments) {
    using Result = ResultOf<Call, Arguments...>;
    parallel::RowCount count("DataParallel", options_.dim);
    int number = 0;
    const auto see = [&](const auto& argument) {
      const std::string name = "argument " + std::to_string(number++);
      if constexpr (!parallel::is_replicated<std::remove_cvref_t<decltype(argument)>>)
        nested::for_each(argument, [&](const Tensor& tensor, const nested::Path& path) {
          const std::string place = path.text();
          count.see(tensor, place.empty() ? name : name + ", " + place + ",");
        });
    };
    (see(arguments), ...);
    const parallel::Division division = parallel::divide(count.rows(), static_cast<int>(placement_.size()),
                                                         options_.split, options_.min_rows);
    auto parts = std::tuple(divide(arguments, division)...);
    // Rows on a GPU are sent by this thread, before any replica runs; rows on the host by each replica's.
    const auto send = [&](std::size_t i, bool from_host) {
      const Device device = placement_[division.replicas[i]];
      const auto send_part = [&](auto& part) {
        nested::for_each(part, [&](Tensor& tensor) {
          if (tensor.device().is_cpu() == from_host) tensor = tensor.to(device);
        });
      };
      std::apply([&](auto&... part) { (send_part(part[i]), ...); }, parts);
    };
    counters_ = {.bytes_refreshed = replicas_.refresh(division.replicas.back() + 1),
                 .replicas_used = static_cast<std::int64_t>(division.replicas.size())};
    std::vector<std::optional<Result>> results(division.replicas.size());
    parallel::run_replicas(
        replicas_.tensors(), division, options_.batch_norm, [&](std::size_t i) { send(i, false); },
        [&](std::size_t i) {
          send(i, true);
          Model& model = replicas_[division.replicas[i]];
          std::apply([&](auto&... part) { results[i].emplace(call(model, std::move(part[i])...)); }, parts);
        });
    std::vector<Result> all;
    all.reserve(results.size());
    for (std::optional<Result>& result : results) all.push_back(std::move(*result));
    return all;
  }

  template <class Result>
  Result gather(std::vector<Result> results) const {
    return nested::join(std::move(results),
                        [this](const std::vector<Tensor>& tensors, const nested::Path& path) {
                          return parallel::gather(tensors, output_device_, options_.dim, path.text());
                        },
                        {.op = "gather", .values = "replicas"});
  }

  DataParallelOptions options_;
  std::vector<Device> placement_;
  Device output_device_;
  Model model_;
  parallel::Replicas<Model> replicas_;
  DataParallelCounters counters_;
  std::mutex mutex_;
};

}  // namespace miniparallel
