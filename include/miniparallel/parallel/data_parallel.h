#pragma once

#include <miniparallel/model.h>
#include <miniparallel/nested.h>
#include <miniparallel/parallel/apply.h>
#include <miniparallel/parallel/criterion.h>
#include <miniparallel/parallel/gather.h>
#include <miniparallel/parallel/hints.h>
#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/replicate.h>
#include <miniparallel/parallel/replicated.h>
#include <miniparallel/parallel/scatter.h>
#include <miniparallel/parallel/speed_meter.h>

#include <concepts>
#include <functional>
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
  std::int64_t bytes_reduced = 0;    ///< of gradients, that devices read and wrote of one another
  std::int64_t launches = 0;  ///< of kernels and library routines, on all devices, since that forward began
  std::int64_t replicas_used = 0;
};

namespace parallel {

/// The replica's device for each of `replicas` (0: as many as devices), placed in equal runs on the devices
/// of the list. Throws `Error` for options that make no sense.
std::vector<Device> place_replicas(const DataParallelOptions& options);
/// Where outputs are gathered; the CPU where replicas run there for want of a GPU. Throws `Error` for a GPU
/// that does not exist.
Device place_outputs(const DataParallelOptions& options, Device first_replica);

/// Locks a wrapper of `replicas` replicas for a forward. Throws `Error` inside a replica of a wrapper: its
/// device would wait for this forward, and this one for that device.
std::unique_lock<std::mutex> lock_for_forward(std::mutex& mutex, std::size_t replicas);

/// Throws `Error` unless the model of a wrapper is to be moved to where it is.
void check_stays(Device master, Device device);

/// Kernels and library routines launched so far on the devices of `placement`, by all threads.
std::int64_t launches_on(const std::vector<Device>& placement);

/// What `describe` tells of.
struct Description {
  const std::vector<Device>& placement;
  Device output_device;
  const DataParallelOptions& options;
  const Split& split;  ///< as it is now
  const Division& last;
  std::size_t buckets;  ///< in which parameters are sent
};
std::string describe(const Description& of);

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
inline constexpr bool is_wrapper = false;

}  // namespace parallel

template <class Model>
class DataParallel;
template <class Model>
inline constexpr bool parallel::is_wrapper<DataParallel<Model>> = true;

/// A model whose batches are divided along a dimension among replicas, each on a GPU, that run at the same
/// time. Outputs are gathered on one device; a loss of theirs has the gradients that it has on one device,
/// summed in the parameters of the model, the master, which an optimizer steps as usual.
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
        output_device_(parallel::place_outputs(options, placement_[0])),
        split_(options.split),
        speeds_(placement_),
        hints_(placement_, options),
        model_(std::move(model)),
        replicas_(model_, placement_, {options.reduction, options.bucket_bytes, options.shard_optimizer}) {
    options_.reduction = replicas_.tensors().reduction();
  }
  DataParallel(const DataParallel&) = delete;
  DataParallel& operator=(const DataParallel&) = delete;

  /// Divides the tensors among the arguments - also those in containers and plain structs - by rows, runs the
  /// replicas that get some and gathers what they return. Other arguments go to every replica.
  /// With one replica the model is called directly. Throws `Error` where tensors disagree in their rows.
  template <class... Arguments>
  auto operator()(Arguments&&... arguments) {
    const auto lock = parallel::lock_for_forward(mutex_, placement_.size());
    if (placement_.size() == 1)
      return to_output(call_directly(parallel::CallModel(), std::forward<Arguments>(arguments)...));
    return run(
        parallel::CallModel(), [this](auto results) { return this->gather(std::move(results)); },
        std::forward<Arguments>(arguments)...);
  }

  /// The same without gathering: what each replica that ran returned, on its device.
  template <class... Arguments>
  auto shards(Arguments&&... arguments) {
    const auto lock = parallel::lock_for_forward(mutex_, placement_.size());
    if (placement_.size() > 1)
      return run(parallel::CallModel(), std::identity(), std::forward<Arguments>(arguments)...);
    std::vector<ResultOf<parallel::CallModel, Arguments...>> results;
    results.push_back(call_directly(parallel::CallModel(), std::forward<Arguments>(arguments)...));
    return results;
  }

  /// criterion(model(inputs...), target) of the whole batch, on `device()`, each part computed where its
  /// outputs are: `model.loss(cross_entropy, x, y)`. Exact also where parts differ in size: a criterion of
  /// ops.h or nn/loss.h is summed and divided by the number of all elements, or of all targets that are not
  /// ignored. Of another one, such as a lambda, the value is taken as the mean of its rows.
  template <class Criterion, class... InputsAndTarget>
  Tensor loss(Criterion&& criterion, InputsAndTarget&&... arguments) {
    static_assert(sizeof...(InputsAndTarget) >= 2,
                  "miniparallel: loss(criterion, inputs..., target) needs the model's inputs and the target");
    const auto typed = parallel::criterion_of(std::decay_t<Criterion>(criterion));
    const auto lock = parallel::lock_for_forward(mutex_, placement_.size());
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
    const auto join = [this](auto results) {
      return parallel::join_losses(std::move(results), output_device_, options_.dim);
    };
    return run(call, join, std::forward<InputsAndTarget>(arguments)...);
  }

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  Model* operator->() { return &model_; }
  const Model* operator->() const { return &model_; }

  /// Where outputs arrive and targets belong.
  Device device() const { return output_device_; }
  /// The device of each replica.
  const std::vector<Device>& devices() const { return placement_; }
  /// As they were given; the reduction is the one that the environment named, where it decided.
  const DataParallelOptions& options() const { return options_; }
  /// The devices and what they are, their replicas, how copies between them go, when parameters are sent, how
  /// gradients are summed, the peaks of memory with a sharded optimizer, and how rows are divided, those of
  /// the last batch too: lines for a log. Tries links out that have not been used yet.
  std::string describe() const {
    const std::scoped_lock lock(mutex_);
    return parallel::describe(
        {placement_, output_device_, options_, split_, division_, replicas_.tensors().buckets()});
  }
  DataParallelCounters counters() const {
    const std::scoped_lock lock(mutex_);
    DataParallelCounters counters = counters_;
    counters.bytes_reduced = replicas_.tensors().bytes_reduced();
    counters.launches = parallel::launches_on(placement_) - launches_before_;
    return counters;
  }

  /// Adds the gradients of several backwards up with one reduction: under the guard each device keeps its
  /// own, and the next backward without a guard adds all of them to `grad`.
  ///
  ///   { auto guard = model.no_sync(); model.loss(cross_entropy, x1, y1).backward(); }
  ///   model.loss(cross_entropy, x2, y2).backward();
  ///
  /// The part of the first device is added to `grad`, and goes through hooks, at once; the others belong to
  /// that `grad`, and are dropped if it is (`zero_grad`) or if it is replaced. The sum is that of plain
  /// backwards up to rounding. A backward with create_graph is an `Error` meanwhile.
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
  /// Does nothing: the model stays on the first device of the list. Throws `Error` for another one.
  DataParallel& to(Device device) {
    parallel::check_stays(placement_[0], device);
    return *this;
  }

 private:
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

  template <class Call, class... Arguments>
  auto call_directly(const Call& call, Arguments&&... arguments) {
    begin_step();
    counters_ = {.replicas_used = 1};
    return call(model_, miniparallel::to(placement_[0], parallel::unwrapped(arguments))...);
  }

  template <class Result>
  Result to_output(Result result) const {
    return miniparallel::to(output_device_, std::move(result));
  }

  void begin_step() {
    launches_before_ = parallel::launches_on(placement_);
    hints_.see_step();
  }

  /// finish(what call(replica, its parts of the arguments...) returns in each replica that gets rows).
  template <class Call, class Finish, class... Arguments>
  auto run(const Call& call, const Finish& finish, Arguments&&... arguments) {
    begin_step();
    parallel::RowCount count("DataParallel", options_.dim);
    int number = 0;
    const auto see = [&](const auto& argument) {
      const std::string name = "argument " + std::to_string(number++);
      parallel::count_rows(count, argument, nested::Path(name));
    };
    (see(arguments), ...);
    division_ = parallel::divide(count.rows(), placement_.size(), split_, options_.min_rows);
    hints_.see_batch(count, division_);
    auto chunks = parallel::split_parts(std::tie(std::as_const(arguments)...), division_, options_.dim);
    counters_ = {.bytes_refreshed = replicas_.begin_refresh(division_.replicas.back() + 1),
                 .replicas_used = static_cast<std::int64_t>(division_.replicas.size())};
    const bool measures = split_.kind() == Split::Kind::by_speed;
    auto result = parallel::apply(
        replicas_, division_, {.batch_norm = options_.batch_norm, .speeds = measures ? &speeds_ : nullptr},
        call, std::move(chunks), finish);
    if (measures) split_ = speeds_.split();
    return result;
  }

  template <class Result>
  Result gather(std::vector<Result> results) {
    nested::for_each(results[0], [this](const Tensor& tensor, const nested::Path& path) {
      if (tensor.dim() == 0) hints_.see_scalars(division_, path);
    });
    return parallel::gather(std::move(results), output_device_, options_.dim);
  }

  DataParallelOptions options_;
  std::vector<Device> placement_;
  Device output_device_;
  Split split_;                  // by speed until speeds are known, then by shares
  parallel::SpeedMeter speeds_;  // for Split::by_speed
  parallel::Hints hints_;
  Model model_;
  parallel::Replicas<Model> replicas_;
  parallel::Division division_;  // of the last batch
  DataParallelCounters counters_;
  std::int64_t launches_before_ = parallel::launches_on(placement_);  // the last forward
  mutable std::mutex mutex_;
};

}  // namespace miniparallel
