#include <miniparallel/model.h>

#include <miniparallel/autograd.h>

#include "engine/error.h"
#include "engine/nn/modes.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <atomic>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace miniparallel::reflect {

namespace {

using Kind = Inventory::Kind;

std::atomic<std::uint64_t> mode_changes = 0;

/// Calls `visit(item)` for the defined items of a kind; of those that share a handle for the first.
template <class Visit>
void each_once(const Inventory& model, Kind kind, Visit&& visit) {
  std::unordered_set<const TensorImpl*> seen;
  for (const Inventory::Item& item : model.items) {
    if (item.kind == kind && item.handle->defined() && seen.insert(item.handle->impl().get()).second)
      visit(item);
  }
}

NamedTensors named(const Inventory& model, Kind kind) {
  NamedTensors result;
  each_once(model, kind, [&](const Inventory::Item& item) { result.emplace_back(item.name, *item.handle); });
  return result;
}

/// The tensor with the new device and dtype, itself where nothing changes.
Tensor converted(const Tensor& tensor, std::optional<Device> device, std::optional<DType> dtype) {
  const bool convert = dtype && tensor.is_floating();
  return tensor.to(device.value_or(tensor.device()), convert ? *dtype : tensor.dtype());
}

}  // namespace

void check_trained_are_parameters(const char* op, const Inventory& model) {
  for (const Inventory::Item& item : model.items) {
    if (item.kind != Kind::tensor || !item.handle->defined()) continue;
    if (!item.handle->requires_grad() || !item.handle->is_leaf()) continue;
    const bool tied = std::ranges::any_of(model.items, [&](const Inventory::Item& other) {
      return other.kind == Kind::parameter && other.handle->is_same(*item.handle);
    });
    check(tied, op, ": member '", item.name, "' of shape ", item.handle->shape(),
          " is a Tensor that requires grad, which is neither trained nor saved; make it an nn::Parameter, or "
          "call requires_grad_(false)");
  }
}

NamedTensors named_parameters(const Inventory& model) {
  check_trained_are_parameters("named_parameters", model);
  return named(model, Kind::parameter);
}
NamedTensors named_buffers(const Inventory& model) { return named(model, Kind::buffer); }

std::vector<Tensor> parameters(const Inventory& model) {
  check_trained_are_parameters("parameters", model);
  std::vector<Tensor> result;
  each_once(model, Kind::parameter, [&](const Inventory::Item& item) { result.push_back(*item.handle); });
  return result;
}

std::int64_t num_parameters(const Inventory& model) {
  std::int64_t count = 0;
  for (const Tensor& parameter : parameters(model)) count += parameter.numel();
  return count;
}

void move(const Inventory& model, std::optional<Device> device, std::optional<DType> dtype) {
  if (dtype)
    check(is_floating(*dtype), "to: got ", *dtype,
          "; a model is converted to a floating dtype, such as float32");
  const NoGradGuard guard;
  std::unordered_set<const TensorImpl*> moved;
  for (const Kind kind : {Kind::parameter, Kind::buffer}) {
    each_once(model, kind, [&](const Inventory::Item& item) {
      const Tensor value = item.handle->detach();
      const Tensor target = converted(value, device, dtype);
      if (!target.is_same(value)) set_data(*item.handle, target);
      moved.insert(item.handle->impl().get());
    });
  }
  std::unordered_map<const TensorImpl*, Tensor> replaced;
  for (const Inventory::Item& item : model.items) {
    if (item.kind != Kind::tensor || !item.handle->defined()) continue;
    const Tensor before = *item.handle;
    if (moved.contains(before.impl().get())) continue;
    const auto [entry, fresh] = replaced.try_emplace(before.impl().get());
    if (fresh) entry->second = converted(before, device, dtype);
    *item.handle = entry->second;
  }
}

void unshare(const Inventory& model) {
  std::unordered_map<const TensorImpl*, Tensor> copies;
  for (const Inventory::Item& item : model.items) {
    if (!item.handle->defined()) continue;
    const Tensor before = *item.handle;
    const auto [entry, fresh] = copies.try_emplace(before.impl().get());
    if (fresh) {
      entry->second = before.detach().clone();
      if (before.is_leaf() && before.requires_grad()) entry->second.requires_grad_();
    }
    *item.handle = entry->second;
  }
}

void set_training(const Inventory& model, bool on) {
  for (nn::Training* flag : model.training)
    if (std::exchange(flag->on, on) != on) ++mode_changes;
}

void zero_grad(const Inventory& model) {
  for (const Tensor& parameter : parameters(model)) parameter.set_grad({});
}

void set_requires_grad(const Inventory& model, bool requires_grad) {
  for (Tensor& parameter : parameters(model)) {
    if (parameter.is_floating()) parameter.requires_grad_(requires_grad);
  }
}

}  // namespace miniparallel::reflect

namespace miniparallel::nn {

std::uint64_t count_of_mode_changes() { return reflect::mode_changes; }

}  // namespace miniparallel::nn
