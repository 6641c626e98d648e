#include <miniparallel/autograd.h>
#include <miniparallel/model.h>
#include <miniparallel/random.h>

#include "engine/nn/observer.h"

#include <algorithm>
#include <array>
#include <map>
#include <unordered_set>

namespace miniparallel::reflect {

namespace {

/// A module by address and type: a struct begins where its first member does.
using Identity = std::pair<const void*, std::string_view>;
using Row = std::array<std::string, 3>;

/// Evaluation mode, and the random state of before, while it lives.
class EvaluationGuard {
 public:
  explicit EvaluationGuard(const Inventory& model) : model_(model), random_(random_state()) {
    for (const nn::Training* flag : model.training) were_on_.push_back(flag->on);
    set_training(model, false);
  }
  ~EvaluationGuard() {
    for (std::size_t i = 0; i < were_on_.size(); ++i) model_.training[i]->on = were_on_[i];
    set_random_state(random_);
  }
  EvaluationGuard(const EvaluationGuard&) = delete;
  EvaluationGuard& operator=(const EvaluationGuard&) = delete;

 private:
  const Inventory& model_;
  std::vector<bool> were_on_;
  RandomState random_;
};

std::map<Identity, std::string> output_shapes(const Inventory& model, const Shape& input_shape,
                                              const SummaryOptions& options,
                                              const std::function<void(const Tensor&)>& run) {
  std::map<Identity, std::string> shapes;
  const nn::OutputObserver observer([&](const void* layer, std::string_view type, const Tensor& output) {
    shapes[{layer, type}] = to_string(output.shape());
  });
  const EvaluationGuard evaluation(model);
  const NoGradGuard no_grad;
  const auto tensors = parameters(model);
  const Device device = tensors.empty() ? Device::cpu() : tensors.front().device();
  run(zeros(input_shape, {.dtype = options.dtype, .device = device}));
  return shapes;
}

std::string with_separators(std::int64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string aligned(const std::vector<Row>& rows, const std::string& total) {
  std::array<std::size_t, 3> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < 3; ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  const auto line = [&](const Row& row) {
    return row[0] + std::string(widths[0] - row[0].size() + 2, ' ') + row[1] +
           std::string(widths[1] - row[1].size() + 2 + widths[2] - row[2].size(), ' ') + row[2] + "\n";
  };
  const std::string rule(widths[0] + widths[1] + widths[2] + 4, '-');
  std::string text = line(rows.front()) + rule + "\n";
  for (std::size_t i = 1; i < rows.size(); ++i) text += line(rows[i]);
  return text + rule + "\n" + total + "\n";
}

/// The items of module `m` that are not in a module inside.
std::vector<const Inventory::Item*> own_parameters(const Inventory& model, std::size_t m) {
  const auto inside = [&](std::size_t item) {
    return std::any_of(
        model.modules.begin() + static_cast<std::ptrdiff_t>(m) + 1, model.modules.end(),
        [&](const Inventory::Module& other) { return other.first_item <= item && item < other.end_item; });
  };
  std::vector<const Inventory::Item*> own;
  for (std::size_t i = model.modules[m].first_item; i < model.modules[m].end_item; ++i) {
    const Inventory::Item& item = model.items[i];
    if (item.kind == Inventory::Kind::parameter && item.handle->defined() && !inside(i)) own.push_back(&item);
  }
  return own;
}

}  // namespace

std::string summary(const Inventory& model, const Shape& input_shape, const SummaryOptions& options,
                    const std::function<void(const Tensor&)>& run) {
  const auto shapes = output_shapes(model, input_shape, options, run);
  std::unordered_set<const TensorImpl*> counted;
  std::vector<Row> rows{{"Layer", "Output shape", "Parameters"}};

  for (std::size_t m = 0; m < model.modules.size(); ++m) {
    const Inventory::Module& module = model.modules[m];
    const auto own = own_parameters(model, m);
    const auto shape = shapes.find({module.address, module.type});
    if (shape == shapes.end() && own.empty()) continue;
    std::int64_t count = 0;
    for (const Inventory::Item* item : own) {
      if (counted.insert(item->handle->impl().get()).second) count += item->handle->numel();
    }
    const std::string name = module.name.empty() ? "(model)" : module.name;
    rows.push_back({name + " (" + std::string(module.type) + ")", shape == shapes.end() ? "-" : shape->second,
                    own.empty() ? "-" : with_separators(count)});
  }

  std::int64_t trained = 0;
  for (const Tensor& parameter : parameters(model))
    trained += parameter.requires_grad() ? parameter.numel() : 0;
  return aligned(rows, "Parameters: " + with_separators(num_parameters(model)) + ", of which " +
                           with_separators(trained) + " are trained");
}

}  // namespace miniparallel::reflect
