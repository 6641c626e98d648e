#include <miniparallel/model/inventory.h>

namespace miniparallel::reflect {

void Inventory::enter(std::string_view name) {
  path_lengths_.push_back(path_.size());
  if (!path_.empty()) path_ += '.';
  path_ += name;
}

void Inventory::leave() {
  path_.resize(path_lengths_.back());
  path_lengths_.pop_back();
}

void Inventory::begin_module(std::string_view type, const void* address) {
  modules.push_back({path_, type, address, items.size(), items.size()});
  open_.push_back(modules.size() - 1);
}

void Inventory::end() {
  modules[open_.back()].end_item = items.size();
  open_.pop_back();
}

}  // namespace miniparallel::reflect
