#include "engine/capture/recording.h"

#include <miniparallel/random.h>

#include "engine/capture/exclusive.h"
#include "engine/error.h"
#include "engine/profiler/span.h"
#include "engine/tensor/autograd_meta.h"
#include "engine/tensor/channels_last.h"

#include <algorithm>
#include <atomic>
#include <utility>

namespace miniparallel {
namespace {

std::uint64_t next_number() {
  static std::atomic<std::uint64_t> last = 0;
  return ++last;
}

constexpr const char* kNoMemory = "needs more memory than is free";
constexpr const char* kUseLess = "use a smaller batch or free tensors";

}  // namespace

Recording::Recording(std::vector<Tensor> arguments)
    : Capture(next_number()), arguments_(std::move(arguments)), made_(std::make_unique<CapturedGraph>()) {
  const RandomState random = random_state();
  random_ = {random.seed, random.ordinal};
  own_casts_.emplace(with_own_casts(autocast_mode()));
  built_accelerator()->begin_capture();
  recording_ = true;
  capturing = this;
}

Recording::~Recording() {
  try {
    if (recording_) run_once();
  } catch (const std::exception&) {
    // An exception of the step is under way, and comes first.
  }
}

void Recording::run_once() {
  recording_ = false;
  capturing = nullptr;
  made_->graph_ = built_accelerator()->end_capture();
  for (auto& [device, pool] : made_->pools_) pool->allocator().drop_marks();
  const OutsideOfStep outside;
  // What the work so far, and the work to come, reads of this call's arguments.
  made_->send(arguments_);
  if (made_->graph_) made_->launch();
}

void Recording::stop(std::string_view what, std::string_view instead) {
  if (!recording_) return;
  stopped_ = true;
  reason_ = message("the step ", what, "; ", instead);
  run_once();
  made_ = nullptr;
}

Tensor Recording::place_of(std::size_t position, const Tensor& argument) {
  if (argument.device().is_cpu() || !recording_) return argument;
  const Tensor place = make_exclusive(argument.shape(), argument.dtype(), argument.device());
  if (!place.defined()) {
    stop(kNoMemory, kUseLess);
    return argument;
  }
  arguments_[position] = argument;
  made_->placed_.push_back({position, place});
  return place.detach();
}

CachingAllocator* Recording::allocator(int device) {
  std::unique_ptr<Pool>& pool = made_->pools_[device];
  if (!pool) {
    const OutsideOfStep outside;
    pool =
        std::make_unique<Pool>(miniparallel::allocator(Device::cuda(device)), stream(Device::cuda(device)));
  }
  return &pool->allocator();
}

void Recording::uses(const Tensor& tensor) {
  const TensorImpl& impl = *tensor.impl();
  if (impl.storage->device().is_cpu())
    return stop("computes on the CPU", "compute before the step, or move the tensors to a GPU in it");
  if (impl.base) uses(*impl.base);
  if (!recording_ || is_of_graph(*impl.storage)) return;
  storages_.try_emplace(impl.storage.get(), impl.storage);
  tensors_.try_emplace(&impl, tensor.impl());
}

void Recording::asks_whether_tracked(const Tensor& tensor) {
  if (tensor.defined() && !is_of_graph(*tensor.impl()->storage))
    tensors_.try_emplace(tensor.impl().get(), tensor.impl());
}

void Recording::writes(const Tensor& tensor) {
  const TensorImpl& impl = *tensor.impl();
  if (is_of_graph(*impl.storage)) return;
  // The calls before this one did not, or there were no capture.
  const auto is_written = [&](const Tensor& one) {
    return one.defined() && one.impl()->storage == impl.storage;
  };
  check(std::ranges::none_of(arguments_, is_written) &&
            std::ranges::none_of(made_->placed_, is_written, &CapturedGraph::Placed::place),
        "capture: the step writes to an argument, as it did not do in the calls before; let it write to a "
        "tensor made before, or return what is new");
  versions_.try_emplace(impl.version.get(), Counted{impl.version, impl.version->writes});
}

void Recording::changes_gradient(const Tensor& leaf, bool drops) {
  const TensorImpl& impl = *leaf.impl();
  if (is_of_graph(*impl.storage)) return;
  const TensorImpl* const before = impl.meta ? impl.meta->grad.impl().get() : nullptr;
  gradients_.try_emplace(&impl, Gradient{leaf.impl(), before, drops});
  if (!drops && before != nullptr) uses(impl.meta->grad);
}

bool Recording::copies_argument(const Tensor& target, const Tensor& source) {
  const TensorImpl& from = *source.impl();
  std::int64_t begin = 0;
  const auto argument = std::ranges::find_if(arguments_, [&](const Tensor& whole) {
    if (!whole.defined() || whole.impl()->storage != from.storage || whole.dtype() != source.dtype())
      return false;
    begin = from.offset - whole.impl()->offset;
    return whole.is_contiguous() && begin >= 0 && begin + source.numel() <= whole.numel();
  });
  if (argument == arguments_.end()) return false;
  const Device device = target.device();
  CapturedGraph::Upload upload{static_cast<std::size_t>(argument - arguments_.begin()),
                               static_cast<std::size_t>(begin) * size_of(source.dtype()),
                               static_cast<std::size_t>(source.numel()) * size_of(source.dtype()),
                               make_exclusive(target.shape(), target.dtype(), device),
                               {make_exclusive(target.shape(), target.dtype(), device),
                                make_exclusive(target.shape(), target.dtype(), device)}};
  if (!upload.target.defined() || !upload.places[0].defined() || !upload.places[1].defined()) {
    stop(kNoMemory, kUseLess);
    return false;
  }
  if (is_exclusive(target) && target.impl()->storage->bytes() == upload.bytes) {
    // The step's tensor has this memory from the beginning.
    Storage &storage = *target.impl()->storage, &place = *upload.target.impl()->storage;
    const Allocation mine = place.exchange_block({});
    place.exchange_block(storage.exchange_block(mine));
    upload.target = target.detach();
  } else {
    accelerator(device).copy_within(raw(target), upload.target.impl()->data(), upload.bytes, stream(device));
  }
  made_->upload_order_.try_emplace(device, device);
  made_->uploads_.push_back(std::move(upload));
  return true;
}

Capture::Numbers Recording::numbers(Device device, std::size_t bytes) {
  if (!recording_) return {};
  const Numbers found = made_->numbers_.try_emplace(device, device).first->second.reserve(bytes);
  if (found.host == nullptr) stop(kNoMemory, kUseLess);
  return found;
}

Capture::RandomOrigin Recording::random_origin(Device device) {
  if (!recording_) return {};
  const auto found = random_places_.find(device);
  if (found != random_places_.end()) return {random_, found->second};
  const Numbers memory = numbers(device, sizeof(kernels::RandomStart));
  if (memory.host == nullptr) return {};
  auto* const start = static_cast<kernels::RandomStart*>(memory.host);
  *start = random_;
  made_->random_starts_[device] = start;
  random_places_[device] = static_cast<const kernels::RandomStart*>(memory.device);
  return {random_, random_places_[device]};
}

void Recording::add(std::unique_ptr<HostPart> part) { made_->parts_.push_back(std::move(part)); }

bool Recording::holds_all_that_is_left(const std::vector<Tensor>& results) {
  std::map<const Storage*, std::size_t> known;
  const auto note = [&](const Tensor& tensor) {
    if (tensor.defined() && is_of_graph(*tensor.impl()->storage)) {
      const Storage& storage = *tensor.impl()->storage;
      known[&storage] = made_->pools_.at(storage.device().index)->allocator().size_class(storage.bytes());
    }
  };
  for (const Tensor& result : results) note(result);
  for (const auto& [impl, gradient] : gradients_)
    if (const auto leaf = gradient.leaf.lock(); leaf && leaf->meta) note(leaf->meta->grad);
  std::int64_t left = 0;
  for (const auto& [device, pool] : made_->pools_) left += pool->allocator().stats().used;
  for (const auto& [storage, bytes] : known) left -= static_cast<std::int64_t>(bytes);
  return left == 0;
}

void Recording::note_result(const Tensor& result, std::size_t position) {
  if (!result.defined()) return;
  if (result.device().is_cuda()) {
    become_row_major(result);  // as it will be read, however often
    return uses(result);
  }
  const TensorImpl& impl = *result.impl();
  const auto argument = std::ranges::find_if(arguments_, [&](const Tensor& one) {
    return one.defined() && one.impl()->storage == impl.storage && one.dtype() == impl.dtype;
  });
  if (argument == arguments_.end())
    return stop("returns a tensor in host memory", "return it as it is on the GPU");
  made_->returned_.push_back({position, static_cast<std::size_t>(argument - arguments_.begin()), impl.shape,
                              impl.strides, impl.offset - argument->impl()->offset});
}

std::unique_ptr<CapturedGraph> Recording::finish(const std::vector<Tensor>& results) {
  own_casts_.reset();
  if (!recording_) return nullptr;
  made_->random_calls_ = random_state().ordinal - random_.ordinal;
  for (std::size_t i = 0; i < results.size() && recording_; ++i) note_result(results[i], i);
  if (!recording_) return nullptr;
  run_once();
  if (!made_->graph_) {
    stopped_ = true;
    reason_ = "the step has no work for a GPU; put the model on one";
    return nullptr;
  }
  if (!holds_all_that_is_left(results)) {
    reason_ =
        "a tensor that the step has made is kept outside of it, or in the graph of a result; return it, by "
        "detach() or under NoGradGuard, or write it with copy_ to a tensor made before";
    return nullptr;
  }
  for (const Tensor& result : results)
    made_->results_.push_back(result.defined() && result.device().is_cuda() ? result.detach() : Tensor());
  // The places of arguments are the graph's own, and change when somebody holds one.
  for (const CapturedGraph::Placed& placed : made_->placed_)
    storages_.erase(placed.place.impl()->storage.get());
  for (const CapturedGraph::Upload& upload : made_->uploads_)
    storages_.erase(upload.target.impl()->storage.get());
  for (const auto& [address, tensor] : tensors_)
    if (const auto alive = tensor.lock(); alive && storages_.contains(alive->storage.get()))
      made_->tensors_.push_back({tensor, 0, nullptr, false, {}});
  for (auto& [address, storage] : storages_) made_->storages_.push_back({std::move(storage), 0});
  for (const auto& [address, counted] : versions_)
    if (std::shared_ptr<Version> version = counted.version.lock())
      made_->written_.push_back({version, version->writes - counted.writes});
  for (const auto& [impl, gradient] : gradients_)
    if (const auto leaf = gradient.leaf.lock(); leaf && leaf->meta)
      made_->gradients_.push_back(
          {gradient.leaf, !gradient.dropped_first, gradient.before, leaf->meta->grad});
  storages_.clear();
  return std::move(made_);
}

}  // namespace miniparallel
