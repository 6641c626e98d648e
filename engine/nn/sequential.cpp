#include <miniparallel/nn/sequential.h>

#include "engine/error.h"
#include "engine/nn/observer.h"

namespace miniparallel::nn {

Sequential::Sequential(const Sequential& other) {
  steps_.reserve(other.steps_.size());
  for (const auto& step : other.steps_) steps_.push_back(step->copy());
}

Tensor Sequential::operator()(Tensor x) const {
  for (const auto& step : steps_) {
    x = (*step)(x);
    if (const OutputObserver* observer = OutputObserver::current())
      observer->report(step->layer, step->type, x);
  }
  return observed(*this, x);
}

void Sequential::visit_parts(reflect::Inventory& inventory) {
  inventory.begin(*this);
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    inventory.enter(std::to_string(i));
    steps_[i]->visit(inventory);
    inventory.leave();
  }
  inventory.end();
}

void Sequential::assign_plain_parts(const Sequential& from, const reflect::Path& path) {
  if (from.size() != size()) reflect::fail_to_assign(path, message(from.size(), " and ", size(), " layers"));
  for (std::size_t i = 0; i < size(); ++i) {
    const Step& source = *from.steps_[i];
    const reflect::Path step_path(path, reflect::PartName::index(i));
    if (source.id != steps_[i]->id)
      reflect::fail_to_assign(step_path, message("a ", source.type, " and a ", steps_[i]->type));
    steps_[i]->assign_plain_members(source, step_path);
  }
}

void* Sequential::checked_layer(std::size_t i, std::string_view type, const void* id) const {
  check(i < steps_.size(), "Sequential::at: there is no layer ", i, "; it must be below ", steps_.size());
  check(steps_[i]->id == id, "Sequential::at: layer ", i, " is a ", steps_[i]->type, ", not a ", type,
        "; ask for the type that it has");
  return steps_[i]->layer;
}

}  // namespace miniparallel::nn
