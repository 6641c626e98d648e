#include "engine/capture/captured_graph.h"

#include <miniparallel/grad_mode.h>
#include <miniparallel/random.h>

#include "engine/capture/exclusive.h"
#include "engine/nn/modes.h"
#include "engine/profiler/span.h"
#include "engine/tensor/autograd_meta.h"

#include <algorithm>
#include <utility>

namespace miniparallel {
namespace {

const TensorImpl* gradient_of(const TensorImpl& leaf) {
  return leaf.meta ? leaf.meta->grad.impl().get() : nullptr;
}

bool requires_grad(const TensorImpl& tensor) { return tensor.meta && tensor.meta->requires_grad; }

std::vector<int> hooks_of(const TensorImpl& tensor) {
  std::vector<int> ids;
  if (tensor.meta)
    for (const auto& [id, hook] : tensor.meta->hooks) ids.push_back(id);
  return ids;
}

/// How often a tensor counts among the holders of its storage.
long holds_of(const TensorImpl& tensor) { return tensor.version.get() == &tensor.storage->version() ? 2 : 1; }

}  // namespace

CapturedGraph::~CapturedGraph() {
  graph_.reset();  // waits
  uploads_.clear();
  placed_.clear();
  results_.clear();
  gradients_.clear();
  for (auto& [device, pool] : pools_) retire(std::move(pool));
}

void CapturedGraph::settle() {
  modes_ = nn::count_of_mode_changes();
  std::erase_if(tensors_, [](const UsedTensor& used) { return used.tensor.expired(); });
  for (UsedTensor& used : tensors_) {
    const std::shared_ptr<TensorImpl> tensor = used.tensor.lock();
    used.storage = tensor->storage.get();
    used.requires_grad = miniparallel::requires_grad(*tensor);
    used.hooks = hooks_of(*tensor);
    used.holders = used.tensor.use_count();
  }
  for (UsedStorage& used : storages_) {
    used.holders = used.storage.use_count();
    for (const Tensor& result : results_)  // which the step has just returned: one more, for now
      if (result.defined() && result.impl()->storage == used.storage)
        used.holders -= holds_of(*result.impl());
  }
}

CapturedGraph::Fit CapturedGraph::fits() const {
  if (modes_ != nn::count_of_mode_changes()) return Fit::never;
  // With fewer holders than before, somebody may have put another tensor in the place of one.
  for (const UsedStorage& used : storages_)
    if (used.storage.use_count() < used.holders) return Fit::never;
  bool now = true;
  for (const UsedTensor& used : tensors_) {
    const std::shared_ptr<TensorImpl> tensor = used.tensor.lock();
    if (!tensor || used.tensor.use_count() < used.holders || tensor->storage.get() != used.storage)
      return Fit::never;
    now =
        now && miniparallel::requires_grad(*tensor) == used.requires_grad && hooks_of(*tensor) == used.hooks;
  }
  for (const Gradient& gradient : gradients_) {
    const std::shared_ptr<TensorImpl> leaf = gradient.leaf.lock();
    if (!leaf) return Fit::never;
    now = now && (!gradient.needs_before || gradient_of(*leaf) == gradient.before);
  }
  now = now && std::ranges::all_of(parts_, [](const auto& part) { return part->is_current(); });
  return now ? Fit::yes : Fit::not_now;
}

std::vector<Tensor> CapturedGraph::results(const std::vector<Tensor>& arguments) const {
  std::vector<Tensor> handed_out;
  handed_out.reserve(results_.size());
  for (const Tensor& result : results_) handed_out.push_back(result.defined() ? result.detach() : result);
  for (const Returned& each : returned_) {
    const Tensor& argument = arguments[each.argument];
    handed_out[each.result] =
        make_alias(argument, each.shape, each.strides, argument.impl()->offset + each.offset);
  }
  return handed_out;
}

bool CapturedGraph::writes_one_of(const std::vector<Tensor>& arguments) const {
  return std::ranges::any_of(written_, [&](const Written& written) {
    return std::ranges::any_of(arguments,
                               [&](const Tensor& one) { return one.impl()->version == written.version; });
  });
}

bool CapturedGraph::owns(const Storage& storage) const {
  if (storage.device().is_cpu()) return false;
  const auto pool = pools_.find(storage.device().index);
  return pool != pools_.end() && &storage.allocator() == &pool->second->allocator();
}

void CapturedGraph::launch() {
  for (auto& [device, numbers] : numbers_) numbers.upload();
  graph_->launch();
}

void CapturedGraph::run(const std::vector<Tensor>& arguments) {
  const profiler::Span span(profiler::Kind::user, "captured_step");
  const NoGradGuard no_grad;
  release_held();
  for (const std::unique_ptr<Capture::HostPart>& part : parts_) part->write_numbers();
  const RandomState random = random_state();
  for (const auto& [device, start] : random_starts_) *start = {random.seed, random.ordinal};
  send(arguments);
  launch();
  set_random_state({.seed = random.seed, .ordinal = random.ordinal + random_calls_});
  for (const std::unique_ptr<Capture::HostPart>& part : parts_) part->advance();
  for (const Written& written : written_)
    written.version->writes.fetch_add(written.writes, std::memory_order_relaxed);
  for (const Gradient& gradient : gradients_) {
    const std::shared_ptr<TensorImpl> leaf = gradient.leaf.lock();
    if (gradient_of(*leaf) != gradient.after.impl().get()) leaf->meta->grad = gradient.after;
  }
}

void CapturedGraph::send(const std::vector<Tensor>& arguments) {
  for (const Placed& placed : placed_) {
    const Tensor& argument = arguments[placed.argument];
    const std::size_t bytes = static_cast<std::size_t>(argument.numel()) * size_of(argument.dtype());
    if (bytes == 0) continue;
    if (!argument.is_contiguous()) {
      Tensor(placed.place).copy_(argument);
      continue;
    }
    const Device device = argument.device();
    accelerator(device).copy_within(raw(placed.place), raw(argument), bytes, stream(device));
    argument.impl()->storage->record_use(stream(device));
  }
  const bool is_new = turn_ < 2;
  const std::size_t turn = turn_++ % 2;
  for (auto& [device, order] : upload_order_) {
    if (is_new) order.emptied[turn].record();  // the memory may be that of a tensor still in use
    {
      const StreamScope copying(device, StreamKind::copy);
      const kernels::Stream here = stream(device);
      order.emptied[turn].wait(device);
      for (const Upload& upload : uploads_) {
        if (upload.target.device() != device) continue;
        Storage& host = *arguments[upload.argument].impl()->storage;
        const std::byte* const from = arguments[upload.argument].impl()->data() + upload.offset;
        std::byte* const to = upload.places[turn].impl()->data();
        upload.places[turn].impl()->storage->record_use(here);  // should a call fail before the order is made
        if (host.is_pinned()) {
          host.record_use(here);
          accelerator(device).copy_pinned_to_device(to, from, upload.bytes, here);
        } else {
          accelerator(device).copy_to_device(to, from, upload.bytes, here);
        }
      }
      order.filled[turn].record();
    }
    order.filled[turn].wait(device);
    for (const Upload& upload : uploads_)
      if (upload.target.device() == device)
        accelerator(device).copy_within(upload.target.impl()->data(), upload.places[turn].impl()->data(),
                                        upload.bytes, stream(device));
    order.emptied[turn].record();
  }
}

void CapturedGraph::release_held() {
  std::map<Storage*, std::vector<Tensor*>> kept;
  for (Placed& placed : placed_) kept[placed.place.impl()->storage.get()].push_back(&placed.place);
  for (Upload& upload : uploads_) kept[upload.target.impl()->storage.get()].push_back(&upload.target);
  // A tensor from outside is what it is, whoever holds it.
  const auto keep = [&](Tensor& tensor) {
    if (!tensor.defined()) return;
    Storage* const storage = tensor.impl()->storage.get();
    if (owns(*storage) || kept.contains(storage)) kept[storage].push_back(&tensor);
  };
  for (Tensor& result : results_) keep(result);
  for (Gradient& gradient : gradients_)
    if (!gradient.needs_before || gradient.before != gradient.after.impl().get())
      keep(gradient.after);  // else it is added to in place, as its holders expect
  for (const auto& [storage, tensors] : kept) {
    // Of ours: a handle here, that of a leaf's gradient, and the tensors' holds of their storage.
    std::map<const TensorImpl*, long> handles;
    for (const Tensor* tensor : tensors) ++handles[tensor->impl().get()];
    for (const Gradient& gradient : gradients_)
      if (const auto leaf = gradient.leaf.lock(); leaf && handles.contains(gradient_of(*leaf)))
        ++handles[gradient_of(*leaf)];
    long holds = 0;
    bool held = false;
    for (const Tensor* tensor : tensors) {
      const TensorImpl& impl = *tensor->impl();
      held = held || tensor->impl().use_count() > handles[&impl];
    }
    for (const auto& [impl, count] : handles) holds += holds_of(*impl);
    if (held || tensors[0]->impl()->storage.use_count() > holds) move_away(tensors);
  }
}

void CapturedGraph::move_away(const std::vector<Tensor*>& tensors) {
  const Tensor& one = *tensors[0];
  const std::shared_ptr<Storage> held = one.impl()->storage;
  const auto elements = static_cast<std::int64_t>(held->bytes() / size_of(one.dtype()));
  const Tensor copy = make_alias(one, {elements}, {1}, 0).clone();
  // The holders' tensors get the copy's memory, and the graph keeps its own.
  const Allocation fresh = copy.impl()->storage->exchange_block({});
  copy.impl()->storage->exchange_block(held->exchange_block(fresh));
  std::map<const TensorImpl*, Tensor> moved;
  for (Tensor* const tensor : tensors) {
    const TensorImpl* const before = tensor->impl().get();
    Tensor& after = moved[before];
    if (!after.defined()) after = make_alias(copy, before->shape, before->strides, before->offset);
    for (const Gradient& gradient : gradients_)
      if (const auto leaf = gradient.leaf.lock(); leaf && gradient_of(*leaf) == before)
        leaf->meta->grad = after;
  }
  for (Tensor* const tensor : tensors) {
    const TensorImpl* const before = tensor->impl().get();
    for (Gradient& gradient : gradients_)
      if (gradient.before == before) gradient.before = moved[before].impl().get();
    for (UsedTensor& used : tensors_)
      if (used.tensor.lock().get() == before) used.tensor = moved[before].impl();
    *tensor = moved[before];
  }
}

}  // namespace miniparallel
