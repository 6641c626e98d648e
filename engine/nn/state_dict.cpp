#include <miniparallel/autograd.h>
#include <miniparallel/model.h>

#include "engine/error.h"

#include <set>

namespace miniparallel::reflect {

namespace {

bool is_state(const Inventory::Item& item) {
  return item.kind != Inventory::Kind::tensor && item.handle->defined();
}

std::string join(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string text = std::string("\n  ") + title + ":";
  for (const std::string& line : lines) text += "\n    " + line;
  return text;
}

}  // namespace

StateDict state_dict(const Inventory& model) {
  StateDict state;
  for (const Inventory::Item& item : model.items) {
    if (is_state(item)) state.emplace(item.name, item.handle->detach());
  }
  return state;
}

LoadReport load_state_dict(const Inventory& model, const StateDict& state, const LoadOptions& options) {
  LoadReport report;
  prepare_load(model, state, options, &report)();
  return report;
}

PreparedLoad prepare_load(const Inventory& model, const StateDict& state, const LoadOptions& options,
                          LoadReport* report) {
  LoadReport names;
  std::vector<std::string> mismatched;
  std::vector<std::pair<Tensor, Tensor>> copies;  // target, source
  std::set<std::string> expected;

  for (const Inventory::Item& item : model.items) {
    if (!is_state(item)) continue;
    auto found = state.find(item.name);
    if (found == state.end()) found = state.find("module." + item.name);
    if (found == state.end()) {
      names.missing.push_back(item.name);
      continue;
    }
    expected.insert(found->first);
    const Tensor& source = found->second;
    if (!source.defined()) {
      mismatched.push_back(item.name + ": the state dict has an undefined tensor");
    } else if (source.shape() != item.handle->shape()) {
      mismatched.push_back(
          message(item.name, ": the model has ", item.handle->shape(), ", the state dict ", source.shape()));
    } else {
      copies.emplace_back(*item.handle, source);
    }
  }
  for (const auto& [name, tensor] : state) {
    if (!expected.contains(name)) names.unexpected.push_back(name);
  }

  const bool incomplete = !names.missing.empty() || !names.unexpected.empty();
  if (!mismatched.empty() || (options.strict && incomplete)) {
    fail("load_state_dict: the state dict does not fit the model; nothing was loaded",
         join("missing, in the model only", names.missing),
         join("unexpected, in the state dict only", names.unexpected), join("mismatched", mismatched),
         incomplete ? "\nPass {.strict = false} to load what is in both." : "");
  }
  const NoGradGuard guard;
  for (auto& [target, source] : copies) source = source.detach().to(target.device(), target.dtype());
  if (report != nullptr) *report = std::move(names);
  return [copies = std::move(copies)]() mutable {
    const NoGradGuard no_grad;
    for (auto& [target, source] : copies) target.copy_(source);
  };
}

}  // namespace miniparallel::reflect
