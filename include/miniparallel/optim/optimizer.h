#pragma once

#include <miniparallel/state_dict.h>
#include <miniparallel/tensor.h>

#include <array>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace miniparallel {
class GradScaler;
}

namespace miniparallel::optim {

/// Parameters that share their options: `Adam optimizer({{encoder, {.lr = 1e-4}}, {head, {.lr = 1e-3}}})`.
template <class Options>
struct ParamGroup {
  std::vector<Tensor> parameters;
  Options options = {};
};

class Optimizer;

namespace detail {

/// An argument given in place of parameters that is not one: usually a model.
template <class T, class Group>
concept NoParameters = !std::convertible_to<const T&, std::vector<Tensor>> && !std::derived_from<T, Tensor> &&
                       !std::convertible_to<const T&, std::vector<Group>> && !std::same_as<T, Group> &&
                       !std::derived_from<T, Optimizer>;

template <class T>
std::vector<Tensor> reject_no_parameters() {
  static_assert(sizeof(T) == 0,
                "miniparallel: an optimizer takes the parameters of a model, std::vector<Tensor>, not the "
                "model; write optim::Adam optimizer(parameters(model), {.lr = 1e-3})");
  return {};
}

}  // namespace detail

/// The base class of optimizers. An optimizer holds handles of its parameters and, for each, the state that
/// it needs (momentum, moments), in its dtype and on its device or, with `shard_optimizer`, on several: a
/// parameter that is moved, converted or loaded takes it along. Constructors throw `Error` where there is no
/// parameter, where one is undefined, not a leaf, given twice or neither float32 nor float64, and for options
/// out of range.
class Optimizer {
 public:
  virtual ~Optimizer();
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// Updates every parameter that has a gradient, all in one pass; the others keep their state. Throws
  /// `Error`, changing nothing, where a gradient has another shape, dtype or device than its parameter, and
  /// the error that a GPU reported since (a label out of range).
  void step();

  /// Drops the gradients or, with `set_to_none = false`, fills them with zeros.
  void zero_grad(bool set_to_none = true);

  const char* name() const { return name_; }  ///< "Adam"
  int num_groups() const { return num_groups_; }
  double lr(int group = 0);           ///< learning rate; throws `Error` if there is no such group
  void set_lr(double lr);             ///< of every group; `Error` below 0
  void set_lr(int group, double lr);  ///< of one group
  /// The rate that every scheduler takes as its base: that of the moment when the first one was made, and
  /// `lr` before. Part of the state, as in PyTorch.
  double initial_lr(int group = 0);

  /// `groups.0.lr`, ..., with a scheduler `groups.0.initial_lr` too, and, for parameters updated at least
  /// once, `state.0.step`, `state.0.exp_avg`, ..., numbered in the order in which groups and parameters were
  /// given; where updates are rounded at random, `rounding_seed`. The tensors are the optimizer's own, except
  /// that state which several devices divide (`DataParallelOptions::shard_optimizer`) is brought together in
  /// copies, in host memory.
  StateDict state_dict();

  /// Copies options and state in. Throws `Error`, changing nothing, with a list of entries that are missing,
  /// unexpected or of another shape.
  void load_state_dict(const StateDict& state) { prepare_load(state)(); }
  /// The same in two halves; the optimizer must not be used in between.
  PreparedLoad prepare_load(const StateDict& state);

 protected:
  static constexpr int kMaxStates = 3;

  /// Elements side by side in memory that are updated with the same numbers: those of a parameter or, in a
  /// block such as a wrapped model's, of several.
  struct Run {
    int group;          ///< whose options apply
    std::int64_t step;  ///< updates so far, this one included; at 1 the state is zero
    std::int64_t n;     ///< elements, with those that pad parameters and belong to none
    void* parameter;
    const void* gradient;
    std::array<void*, kMaxStates> state;  ///< null past those of `state_names`
    std::int64_t place = 0;               ///< of the first element in the stream of random bits: see Slot
    std::uint32_t pending = 0;            ///< of the updates those of which the host does not know yet
                                          ///< whether a GradScaler had them skipped: see Slot
    Shape shape = {};                     ///< of the parameter, where the optimizer takes matrices
  };

  /// `name`: the optimizer's, for messages.
  explicit Optimizer(const char* name);

  /// Takes a group's parameters; called once per group, in order. Throws for one that cannot be optimised.
  void add_group(const std::vector<Tensor>& parameters);
  /// Throws when there is nothing to optimise; called after the last group.
  void check_groups();
  /// Throws unless `value` is at least 0, and below `limit` if that is not 0.
  void check_option(const char* option, double value, double limit = 0) const;

  /// Calls `f` with the name of and a reference to each number among the options of a group, "lr" first.
  using OptionVisitor = std::function<void(const char* name, double& value)>;
  virtual void visit_options(int group, const OptionVisitor& f) = 0;
  /// The same for switches, if there are any. One that a loaded state lacks, as those of earlier versions
  /// may, stays as it is.
  using FlagVisitor = std::function<void(const char* name, bool& value)>;
  virtual void visit_flags([[maybe_unused]] int group, [[maybe_unused]] const FlagVisitor& f) {}

  /// Whether the update of an element depends on others, of the same parameter: parameters are matrices then,
  /// each a run of its own, and several devices cannot divide them.
  virtual bool takes_matrices() const { return false; }

  /// Whether updates of bfloat16 parameters of this group round at random, by `rounding_seed`.
  virtual bool rounds_at_random([[maybe_unused]] int group) const { return false; }
  std::uint64_t rounding_seed() const { return rounding_seed_; }

  /// The names of the state that parameters of this group need.
  virtual std::span<const char* const> state_names(int group) const = 0;

  /// Updates what is of one dtype on one device.
  virtual void update(DType dtype, Device device, std::span<const Run> runs) = 0;

 private:
  friend class LRScheduler;
  friend class miniparallel::GradScaler;

  struct Slot;     // a parameter and its state
  class Attempts;  // steps for a GradScaler
  class Step;
  class Replay;
  struct Kind {
    int first;           // of the neighbouring groups with the same options
    std::size_t states;  // how many each parameter has
    bool rounds;         // at random, those of bfloat16
    friend bool operator==(const Kind&, const Kind&) = default;
  };
  std::vector<Kind> kinds_of_groups();
  bool any_rounds_at_random() const;

  /// Notes a scheduler; the first one fixes the initial rates.
  void begin_schedule(const char* scheduler, const std::vector<double>& initial_lr);
  void check_group(int group) const;

  /// A step that the device skips if one of the flags, in its memory, is not 0.
  void attempt(const Tensor& flags);
  /// Takes the updates that were skipped out of the counts, as far as they are known; all of them, if it
  /// `waits`.
  void settle(bool waits);
  /// Settles, and waits where a count has too many updates that are not known.
  void make_room_for_attempt();
  /// Counts one, in which no parameter has taken part yet.
  void begin_attempt();

  void load_slot(Slot& slot, std::size_t number, const StateDict& state) const;

  const char* name_;
  int num_groups_ = 0;
  std::uint64_t rounding_seed_ = 0;
  std::vector<double> initial_lr_;       // of each group; empty until there is a scheduler
  std::vector<const char*> schedulers_;  // their names, for messages
  std::vector<Slot> slots_;
  std::shared_ptr<Attempts> attempts_;                                  // null until a GradScaler steps
  std::shared_ptr<const char> alive_ = std::make_shared<const char>();  // until it ends
};

/// What the optimizers of the library share: groups with `Options`, an aggregate whose numbers and
/// switches are saved under their names (of an array `betas` as `beta1` and `beta2`). `Self`: the
/// optimizer, named in messages.
template <class Self, class Options>
class OptimizerOf : public Optimizer {
 public:
  using Group = ParamGroup<Options>;
  explicit OptimizerOf(const std::vector<Tensor>& parameters, const Options& options = {})
      : OptimizerOf(std::vector<Group>{{parameters, options}}) {}
  explicit OptimizerOf(const std::vector<Group>& groups);
  /// Compiles for nothing: says what to pass in place of a model.
  template <detail::NoParameters<ParamGroup<Options>> T>
  explicit OptimizerOf(const T&, const Options& = {}) : OptimizerOf(detail::reject_no_parameters<T>()) {}

 protected:
  const Options& options(int group) const { return options_[static_cast<std::size_t>(group)]; }

 private:
  void visit_options(int group, const OptionVisitor& f) final;
  void visit_flags(int group, const FlagVisitor& f) final;
  bool rounds_at_random(int group) const final;

  std::vector<Options> options_;
};

}  // namespace miniparallel::optim
