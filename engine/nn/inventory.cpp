#include <miniparallel/model/inventory.h>

namespace miniparallel::reflect {

// While the inventory is checked, members only take the places of those that are listed, and names, which
// cost most, are not made.

void Inventory::add(Kind kind, Tensor& handle) {
  if (!checks_) {
    items.push_back({path_, kind, &handle});
  } else if (check_.item < items.size() && items[check_.item].kind == kind) {
    items[check_.item++].handle = &handle;
  } else {
    check_.same = false;
  }
}

void Inventory::leaf(nn::Training& flag) {
  if (!checks_)
    training.push_back(&flag);
  else if (check_.flag < training.size())
    training[check_.flag++] = &flag;
  else
    check_.same = false;
}

void Inventory::enter(std::string_view name) {
  if (checks_) return;
  path_lengths_.push_back(path_.size());
  if (!path_.empty()) path_ += '.';
  path_ += name;
}

void Inventory::leave() {
  if (checks_) return;
  path_.resize(path_lengths_.back());
  path_lengths_.pop_back();
}

void Inventory::begin_module(std::string_view type, const void* address) {
  if (!checks_) {
    modules.push_back({path_, type, address, items.size(), items.size()});
    open_.push_back(modules.size() - 1);
  } else if (check_.module < modules.size() && modules[check_.module].type == type &&
             modules[check_.module].first_item == check_.item) {
    modules[check_.module++].address = address;
  } else {
    check_.same = false;
  }
}

void Inventory::end() {
  if (checks_) return;
  modules[open_.back()].end_item = items.size();
  open_.pop_back();
}

void Inventory::begin_check() {
  checks_ = true;
  check_ = {};
}

bool Inventory::end_check() {
  checks_ = false;
  return check_.same && check_.item == items.size() && check_.module == modules.size() &&
         check_.flag == training.size();
}

}  // namespace miniparallel::reflect
