#pragma once

#include <miniparallel/model/field_names.h>
#include <miniparallel/optim/optimizer.h>

#include "engine/ops/common.h"
#include "engine/optim/captured_rules.h"
#include "engine/optim/rule_choices.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

/// The definitions of `OptimizerOf`, for the file of each optimizer: it instantiates them after its
/// `check_options`, if it has one.

namespace miniparallel::optim {

inline void check_share(const char* optimizer, const char* option, double value) {
  check(value >= 0 && value < 1, optimizer, ": ", option, " is ", value,
        "; it must be at least 0 and below 1");
}
/// Throws for options that are at least 0 and yet make no optimizer.
template <class Options>
void check_options(const char*, const Options&) {}
/// For those whose options are two averages.
template <class Options>
  requires requires(const Options& options) { options.betas; }
void check_options(const char* optimizer, const Options& options) {
  check_share(optimizer, "betas[0]", options.betas[0]);
  check_share(optimizer, "betas[1]", options.betas[1]);
}

namespace detail {

template <class Number, class Flag>
void visit_option(const std::string& name, double& value, const Number& number, const Flag&) {
  number(name.c_str(), value);
}
template <class Number, class Flag>
void visit_option(const std::string& name, bool& value, const Number&, const Flag& flag) {
  flag(name.c_str(), value);
}
template <std::size_t size, class Number, class Flag>
void visit_option(std::string name, std::array<double, size>& values, const Number& number, const Flag&) {
  name.pop_back();  // the s of the plural
  for (std::size_t i = 0; i < size; ++i) number((name + std::to_string(i + 1)).c_str(), values[i]);
}

template <class Options, class Number, class Flag>
void for_each_option(Options& options, const Number& number, const Flag& flag) {
  reflect::with_members_of_aggregate(options, [&](auto&... values) {
    auto name = reflect::member_names<Options>.begin();
    (visit_option(std::string(*name++), values, number, flag), ...);
  });
}

template <class Self>
const char* optimizer_name() {
  static const std::string name(reflect::type_name<Self>);
  return name.c_str();
}

}  // namespace detail

template <class Self, class Options>
OptimizerOf<Self, Options>::OptimizerOf(const std::vector<Group>& groups)
    : Optimizer(detail::optimizer_name<Self>()) {
  for (const Group& group : groups) {
    check_options(name(), group.options);
    options_.push_back(group.options);
    add_group(group.parameters);
  }
  check_groups();
}

template <class Self, class Options>
void OptimizerOf<Self, Options>::visit_options(int group, const OptionVisitor& f) {
  detail::for_each_option(options_[static_cast<std::size_t>(group)], f, [](const char*, bool&) {});
}

template <class Self, class Options>
void OptimizerOf<Self, Options>::visit_flags(int group, const FlagVisitor& f) {
  detail::for_each_option(options_[static_cast<std::size_t>(group)], [](const char*, double&) {}, f);
}

template <class Self, class Options>
bool OptimizerOf<Self, Options>::rounds_at_random(int group) const {
  if constexpr (requires(const Options& of) { of.stochastic_rounding; })
    return options(group).stochastic_rounding;
  else
    return false;
}

/// What is done to each gradient before the formula, which is the same for all whose
/// options have these names.
template <class Options, class Row>
void describe_gradient(const Options& of, Row& row) {
  row.maximize = of.maximize;
  if constexpr (requires { of.decoupled_weight_decay; }) {
    if (of.decoupled_weight_decay) {
      row.decay = 1 - of.lr * of.weight_decay;
      return;
    }
  }
  row.weight_decay = of.weight_decay;
}

/// Lets the rows' rules be those that the device chooses. Returns the memory of these; none where a graph
/// has all.
template <class Formula, class Run, class Describe>
Tensor choose_rules(std::vector<kernels::UpdateRow<Formula>>& rows, Device device, std::span<const Run> runs,
                    const Describe& describe) {
  using Rule = kernels::UpdateRule<Formula>;
  static_assert(sizeof(Rule) % sizeof(double) == 0);
  RuleTable table(sizeof(Rule));
  std::vector<std::size_t> choices;
  for (const Run& run : runs)
    choices.push_back(table.find(run.group, run.step, run.pending, [&](int skipped, std::byte* rule) {
      Run version = run;
      version.step -= skipped;
      kernels::UpdateRow<Formula> row;
      describe(version, row);
      std::memcpy(rule, static_cast<const Rule*>(&row), sizeof(Rule));
    }));
  Tensor chosen;
  if (captured_rules != nullptr) [[unlikely]] {
    const Capture::Numbers memory = captured_rules->next(device, table.bytes());
    if (memory.host != nullptr) table.write(static_cast<std::byte*>(memory.host));
    if (captured_rules->is_captured()) return {};
    if (memory.host != nullptr) chosen = table.choose_from(memory.device, device);
  }
  if (!chosen.defined()) chosen = table.choose(device);
  for (std::size_t i = 0; i < rows.size(); ++i)
    rows[i].rule_at = reinterpret_cast<const Rule*>(raw(chosen)) + choices[i];
  return chosen;
}

/// Updates runs by one launch; `describe(run, row)` writes the numbers of a row, whose arrays are
/// those of the run.
template <class Formula, class Run, class Describe>
void update_runs(void (*kernels::Optimizer::*launcher)(DType, std::span<const kernels::UpdateRow<Formula>>,
                                                       kernels::Stream),
                 DType dtype, Device device, std::span<const Run> runs, const Describe& describe) {
  std::vector<kernels::UpdateRow<Formula>> rows(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    rows[i].parameter = runs[i].parameter;
    rows[i].gradient = runs[i].gradient;
    std::copy_n(runs[i].state.begin(), Formula::states, rows[i].state);
    rows[i].n = runs[i].n;
    describe(runs[i], rows[i]);
  }
  Tensor chosen;
  if (on_device != nullptr) [[unlikely]] {
    chosen = choose_rules(rows, device, runs, describe);
    if (!chosen.defined()) return;
  } else if (captured_rules != nullptr) [[unlikely]] {
    using Rule = kernels::UpdateRule<Formula>;
    const Capture::Numbers memory = captured_rules->next(device, rows.size() * sizeof(Rule));
    for (std::size_t i = 0; i < rows.size() && memory.host != nullptr; ++i) {
      static_cast<Rule*>(memory.host)[i] = rows[i];
      rows[i].rule_at = static_cast<const Rule*>(memory.device) + i;
    }
    if (captured_rules->is_captured()) return;
  }
  (backend(device).optimizer.*launcher)(dtype, rows, stream(device));
}

}  // namespace miniparallel::optim
