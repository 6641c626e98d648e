#include <miniparallel/autograd.h>
#include <miniparallel/model.h>

#include "engine/error.h"
#include "engine/tensor/tensor_impl.h"

#include <cstring>
#include <set>
#include <unordered_map>

namespace miniparallel::reflect {

namespace {

bool is_state(const Inventory::Item& item) {
  return item.kind != Inventory::Kind::tensor && item.handle->defined();
}

/// A tensor of the model under all its names; tied ones have several.
struct Entry {
  Tensor tensor;
  std::vector<std::string> names;
};

std::vector<Entry> entries_of(const Inventory& model) {
  std::vector<Entry> entries;
  std::unordered_map<const TensorImpl*, std::size_t> number;
  for (const Inventory::Item& item : model.items) {
    if (!is_state(item)) continue;
    const auto [found, fresh] = number.try_emplace(item.handle->impl().get(), entries.size());
    if (fresh) entries.push_back({*item.handle, {}});
    entries[found->second].names.push_back(item.name);
  }
  return entries;
}

/// Whether loading the one or the other leaves `target` with the same bits.
bool load_alike(const Tensor& a, const Tensor& b, const Tensor& target) {
  if (&a == &b) return true;
  const auto loaded = [&](const Tensor& source) {
    return source.detach().cpu().to(target.dtype()).contiguous();
  };
  const Tensor first = loaded(a), second = loaded(b);
  const auto bytes = static_cast<std::size_t>(first.numel()) * size_of(first.dtype());
  return bytes == 0 || std::memcmp(raw(first), raw(second), bytes) == 0;
}

/// The entries that a model and a state dict share, and those that only one has.
struct Match {
  std::vector<std::pair<Tensor, Tensor>> copies;  // target, source
  LoadReport names;
  std::vector<std::string> mismatched;

  Match(const Inventory& model, const StateDict& state) {
    std::set<std::string> expected;
    for (const Entry& entry : entries_of(model)) {
      std::vector<StateDict::const_iterator> found;
      for (const std::string& name : entry.names) {
        auto item = state.find(name);
        if (item == state.end()) item = state.find("module." + name);  // PyTorch's DataParallel
        if (item != state.end()) found.push_back(item);
      }
      for (const auto& item : found) expected.insert(item->first);
      if (found.empty())
        names.missing.insert(names.missing.end(), entry.names.begin(), entry.names.end());
      else if (all_fit(entry.tensor, found))
        copies.emplace_back(entry.tensor, found.front()->second);
    }
    for (const auto& [name, tensor] : state)
      if (!expected.contains(name)) names.unexpected.push_back(name);
  }

 private:
  bool all_fit(const Tensor& target, const std::vector<StateDict::const_iterator>& found) {
    const std::size_t before = mismatched.size();
    for (const auto& item : found) {
      const auto& [name, source] = *item;
      if (!source.defined())
        mismatched.push_back(name + ": the state dict has an undefined tensor");
      else if (source.shape() != target.shape())
        mismatched.push_back(
            message(name, ": the model has ", target.shape(), ", the state dict ", source.shape()));
      else if (mismatched.size() == before && !load_alike(found.front()->second, source, target))
        mismatched.push_back(message(name, ": tied to ", found.front()->first,
                                     " in the model, of another value in the state dict"));
    }
    return mismatched.size() == before;
  }
};

std::string join(const char* title, const std::vector<std::string>& lines) {
  if (lines.empty()) return {};
  std::string text = std::string("\n  ") + title + ":";
  for (const std::string& line : lines) text += "\n    " + line;
  return text;
}

}  // namespace

StateDict state_dict(const Inventory& model) {
  check_trained_are_parameters("state_dict", model);
  StateDict state;
  for (const Inventory::Item& item : model.items) {
    if (is_state(item)) state.emplace(item.name, item.handle->detach());
  }
  return state;
}

StateDict state_to_save(const Inventory& model) {
  check_trained_are_parameters("save", model);
  StateDict state;
  for (const Entry& entry : entries_of(model)) state.emplace(entry.names.front(), entry.tensor.detach());
  return state;
}

LoadReport load_state_dict(const Inventory& model, const StateDict& state, const LoadOptions& options) {
  LoadReport report;
  prepare_load(model, state, options, &report)();
  return report;
}

PreparedLoad prepare_load(const Inventory& model, const StateDict& state, const LoadOptions& options,
                          LoadReport* report) {
  const NoGradGuard guard;
  Match match(model, state);
  LoadReport& names = match.names;
  const bool incomplete = !names.missing.empty() || !names.unexpected.empty();
  if (!match.mismatched.empty() || (options.strict && incomplete)) {
    fail("load_state_dict: the state dict does not fit the model; nothing was loaded",
         join("missing, in the model only", names.missing),
         join("unexpected, in the state dict only", names.unexpected), join("mismatched", match.mismatched),
         options.strict && incomplete ? "\nPass {.strict = false} to load what is in both." : "");
  }
  for (auto& [target, source] : match.copies) source = source.detach().to(target.device(), target.dtype());
  if (report != nullptr) *report = std::move(names);
  return [copies = std::move(match.copies)]() mutable {
    const NoGradGuard no_grad;
    for (auto& [target, source] : copies) target.copy_(source);
  };
}

}  // namespace miniparallel::reflect
