#include <miniparallel/parallel/replicate.h>

#include <miniparallel/autograd.h>

#include "engine/capturing.h"
#include "engine/error.h"
#include "engine/tensor/arena.h"
#include "engine/tensor/tensor_impl.h"
#include "parallel/devices.h"
#include "parallel/recorders.h"
#include "parallel/reduce.h"
#include "parallel/reducer.h"
#include "parallel/replica_edge.h"
#include "parallel/sharded_reducer.h"
#include "parallel/statistics_places.h"
#include "parallel/values.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <unordered_map>
#include <utility>

namespace miniparallel::parallel {

using reflect::Inventory;
using Kind = Inventory::Kind;

namespace {

/// The members of one kind that hold a tensor, those that share one counted once; by dtype, so that
/// neighbours in an arena's block are neighbours here.
class Members {
 public:
  Members(const Inventory& inventory, Kind kind) {
    std::vector<std::pair<DType, std::size_t>> order;  // dtype and item of each tensor
    std::unordered_map<const TensorImpl*, std::size_t> numbers;
    const auto is_one = [&](const Inventory::Item& item) {
      return item.kind == kind && item.handle->defined();
    };
    for (std::size_t i = 0; i < inventory.items.size(); ++i) {
      const Inventory::Item& item = inventory.items[i];
      if (is_one(item) && numbers.try_emplace(item.handle->impl().get(), 0).second)
        order.emplace_back(item.handle->dtype(), i);
    }
    std::ranges::sort(order);
    for (const auto& [dtype, i] : order) {
      numbers[inventory.items[i].handle->impl().get()] = tensors.size();
      tensors.push_back(*inventory.items[i].handle);
      names.push_back(inventory.items[i].name);
    }
    for (std::size_t i = 0; i < inventory.items.size(); ++i)
      if (is_one(inventory.items[i]))
        items.emplace_back(i, numbers.at(inventory.items[i].handle->impl().get()));
  }

  /// Assigns `made` to the same members of another model of the type.
  void assign(const Inventory& other, const std::vector<Tensor>& made) const {
    for (const auto& [item, tensor] : items) *other.items[item].handle = made[tensor];
  }

  std::vector<Tensor> tensors;
  std::vector<std::string> names;
  std::vector<std::pair<std::size_t, std::size_t>> items;  ///< (item of the inventory, index of the tensor)
};

constexpr const char* kReplicaIsFixed =
    "the tensor is a replica's copy of a parameter; freeze and hook the master's, which is in model.model()";

/// A plain tensor of the master's and its copy, as they were when it was sent.
struct Sent {
  Tensor master, copy;
  std::int64_t master_version = kNever, copy_version = kNever;
};

struct Copy {
  Inventory inventory;
  std::vector<Tensor> parameters, buffers;
  std::vector<std::shared_ptr<autograd::Node>> edges;  // null where the master is frozen
  Arena buffer_arena;
  Versions seen_buffers, own_buffers;
  std::unordered_map<const TensorImpl*, std::size_t> buffer_index;
  std::map<std::size_t, Sent> sent;  // plain tensors, by item
};

}  // namespace

struct ReplicaTensors::Impl {
  std::vector<Device> devices;
  ReductionOptions reduction;
  Inventory master;
  Members parameters, buffers;
  Arena parameter_arena, buffer_arena;
  Values values;
  std::vector<Copy> copies;             // of replica i: i - 1
  Versions written;                     // versions of the parameters at the last refresh
  std::vector<const TensorImpl*> held;  // by the master's members at the last refresh
  std::shared_ptr<std::atomic<int>> no_sync = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<Reducer> reducer;
  StatisticsPlaces statistics;
  std::uint64_t captured_in = 0;   // the last capture in which they were refreshed
  std::int64_t bytes_in_step = 0;  // sent by steps of a sharded optimizer since the last refresh

  Impl(Inventory inventory, std::vector<Device> on, const ReductionOptions& by)
      : devices(std::move(on)),
        reduction(by),
        master(std::move(inventory)),
        parameters(master, Kind::parameter),
        buffers(master, Kind::buffer),
        copies(devices.size() - 1) {
    pack_master();
    note_held();
  }
  ~Impl() { reducer->detach(); }

  void pack_master() {
    parameter_arena = pack(parameters.tensors);
    buffer_arena = pack(buffers.tensors);
    values = Values(parameters.tensors, parameter_arena, devices, buckets_to_send());
    if (reducer) reducer->detach();
    reducer = make_reducer();
    reducer->attach();
  }

  void note_held() {
    for (const Inventory::Item& item : master.items) held.push_back(item.handle->impl().get());
  }

  /// The devices that step a bucket's shards send them.
  std::vector<Bucket> buckets_to_send() const {
    if (!reduction.shard_optimizer) return buckets_of_values(parameter_arena);
    std::vector<Bucket> buckets = buckets_of_gradients(parameter_arena, reduction.bucket_bytes);
    std::ranges::reverse(buckets);
    return buckets;
  }

  std::shared_ptr<Reducer> make_reducer() {
    const std::vector<Device> once = each_once(devices);
    if (!reduction.shard_optimizer || once.size() == 1)
      return std::make_shared<Reducer>(parameters.tensors, parameter_arena, devices, reduction, no_sync);
    std::vector<Arena> on_devices;
    for (const Device device : once) on_devices.push_back(values.on(device));
    const auto refresh = [this] { bytes_in_step += values.refresh(devices.size()); };
    const auto exchange = [this](ShardedReducer::Parts parts) { bytes_in_step += values.exchange(parts); };
    return std::make_shared<ShardedReducer>(parameters.tensors, std::move(on_devices), devices, reduction,
                                            no_sync, refresh, exchange);
  }

  void bind(std::size_t replica) {
    Copy& copy = copies[replica - 1];
    const Device device = devices[replica];
    copy.parameters.clear();
    for (std::size_t i = 0; i < parameters.tensors.size(); ++i) {
      Tensor shown = values.on(device).tensor(i);
      shown.impl()->version = parameters.tensors[i].impl()->version;
      autograd::meta_of(shown).fixed = kReplicaIsFixed;
      copy.parameters.push_back(std::move(shown));
    }
    parameters.assign(copy.inventory, copy.parameters);
    copy.edges.assign(parameters.tensors.size(), nullptr);

    copy.buffer_arena = Arena(buffers.tensors, device);
    copy.buffers.clear();
    copy.buffer_index.clear();
    for (std::size_t i = 0; i < buffers.tensors.size(); ++i) {
      copy.buffers.push_back(copy.buffer_arena.tensor(i));
      copy.buffer_index.emplace(copy.buffers[i].impl().get(), i);
    }
    buffers.assign(copy.inventory, copy.buffers);
    copy.seen_buffers.assign(buffers.tensors.size(), kNever);
    copy.own_buffers.assign(buffers.tensors.size(), kNever);

    copy.sent.clear();
  }

  /// Takes over what has happened to the master's tensors since: other handles, storage or dtypes.
  void follow_master() {
    bool same = held.size() == master.items.size();
    for (std::size_t i = 0; same && i < held.size(); ++i)
      same = master.items[i].kind == Kind::tensor || held[i] == master.items[i].handle->impl().get();
    if (!same) {
      parameters = Members(master, Kind::parameter);
      buffers = Members(master, Kind::buffer);
    }
    if (is_in_place() && same) return;
    check(!reducer->holds_for(parameters.tensors),
          "DataParallel: the model got other parameters or another dtype while gradients of no_sync wait on "
          "their devices; change it after the backward that adds them, or drop them with zero_grad()");
    held.clear();  // where this fails half-way the next forward begins it anew
    pack_master();
    for (std::size_t i = 1; i < devices.size(); ++i) bind(i);
    note_held();
  }

  /// Whether the tensors that were the master's at the last refresh are where they were.
  bool is_in_place() const {
    return is_in_place(parameters, parameter_arena) && is_in_place(buffers, buffer_arena);
  }

  /// What the next refresh will send to the first `replicas` replicas.
  std::vector<bool> stale(std::size_t replicas) const {
    std::vector<bool> found = values.stale(replicas);
    for (std::size_t replica = 1; replica < replicas; ++replica) {
      const Copy& copy = copies[replica - 1];
      for (std::size_t i = 0; i < copy.buffers.size(); ++i) found.push_back(is_stale(copy, i));
      for (const auto& [item, sent] : copy.sent)
        found.push_back(sent.master.defined() && !is_sent(sent, sent.master, sent.copy));
    }
    return found;
  }

  bool is_stale(const Copy& copy, std::size_t i) const {
    return copy.seen_buffers[i] != buffers.tensors[i].version() ||
           copy.own_buffers[i] != copy.buffers[i].version();
  }
  static bool is_sent(const Sent& sent, const Tensor& tensor, const Tensor& shown) {
    return sent.master.is_same(tensor) && sent.master_version == tensor.version() &&
           sent.copy.is_same(shown) && sent.copy_version == shown.version();
  }

  void note_buffers(Copy& copy) const {
    for (std::size_t i = 0; i < copy.buffers.size(); ++i) {
      copy.seen_buffers[i] = buffers.tensors[i].version();
      copy.own_buffers[i] = copy.buffers[i].version();
    }
  }
  void note_refresh(std::size_t replicas) {
    values.note_refresh(replicas);
    for (std::size_t replica = 1; replica < replicas; ++replica) note_buffers(copies[replica - 1]);
  }

  bool is_in_place(const Members& members, const Arena& arena) const {
    bool in_place = arena.size() == members.tensors.size();
    for (std::size_t i = 0; i < members.tensors.size(); ++i) {
      const Tensor& tensor = members.tensors[i];
      check(tensor.device() == devices[0], "DataParallel: ", members.names[i], " is on ", tensor.device(),
            "; the master's tensors must stay on ", devices[0],
            ", bring it back with to(model.model(), Device)");
      in_place = in_place && arena.holds(i, tensor);
    }
    return in_place;
  }

  void link(std::size_t replica) {
    Copy& copy = copies[replica - 1];
    for (std::size_t i = 0; i < parameters.tensors.size(); ++i) {
      const bool trained = parameters.tensors[i].requires_grad();
      if (trained == (copy.edges[i] != nullptr)) continue;
      autograd::Meta& meta = autograd::meta_of(copy.parameters[i]);
      if (trained)
        copy.edges[i] = autograd::make_shared_node(
            new ReplicaEdge(parameters.tensors[i], devices[replica], reducer, reducer->end(replica, i)));
      else
        copy.edges[i] = nullptr;
      meta.grad_fn = copy.edges[i];
    }
  }

  std::int64_t refresh_buffers(Copy& copy) {
    if (copy.buffers.empty()) return 0;
    const std::int64_t bytes = copy_stale(buffer_arena, copy.buffer_arena, {0, copy.buffers.size()},
                                          [&](std::size_t i) { return is_stale(copy, i); });
    note_buffers(copy);
    return bytes;
  }

  std::int64_t refresh_tensors(Copy& copy, Device device) const {
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < master.items.size(); ++i) {
      if (master.items[i].kind != Kind::tensor) continue;
      const Tensor& tensor = *master.items[i].handle;
      Tensor& shown = *copy.inventory.items[i].handle;
      Sent& sent = copy.sent[i];
      if (!tensor.defined()) {
        shown = tensor;
        continue;
      }
      if (is_sent(sent, tensor, shown)) continue;
      shown = tensor.device() == device ? tensor.clone() : tensor.to(device);
      sent = {tensor, shown, tensor.version(), shown.version()};
      bytes += shown.numel() * static_cast<std::int64_t>(size_of(shown.dtype()));
    }
    return bytes;
  }
};

/// The first refresh in a step that is captured: further runs send the same tensors, which must be those that
/// would be sent then.
class ReplicaTensors::ReplayedRefresh final : public Capture::HostPart {
 public:
  ReplayedRefresh(const std::shared_ptr<Impl>& of, std::size_t replicas)
      : of_(of), replicas_(replicas), stale_(of->stale(of->devices.size())) {}

  bool is_current() override {
    const std::shared_ptr<Impl> of = of_.lock();
    return of && of->is_in_place() && of->stale(of->devices.size()) == stale_;
  }
  void write_numbers() override {}
  void advance() override { of_.lock()->note_refresh(replicas_); }

 private:
  std::weak_ptr<Impl> of_;
  std::size_t replicas_;
  std::vector<bool> stale_;
};

ReplicaTensors::ReplicaTensors(Inventory master, std::vector<Device> devices,
                               const ReductionOptions& options) {
  check(options.bucket_bytes >= 1, "DataParallel: bucket_bytes is ", options.bucket_bytes,
        "; a bucket needs at least one byte");
  const ReductionOptions reduction{choose_reduction(devices, options.path), options.bucket_bytes,
                                   options.shard_optimizer};
  for (const Inventory::Item& item : master.items)
    check(item.kind != Kind::tensor || !item.handle->defined() || !item.handle->requires_grad(),
          "DataParallel: ", item.name,
          " is a Tensor that requires grad; make it an nn::Parameter, so that it is trained and saved");
  reflect::move(master, devices[0], {});
  impl_ = std::make_shared<Impl>(std::move(master), std::move(devices), reduction);
}
ReplicaTensors::~ReplicaTensors() = default;
ReplicaTensors::ReplicaTensors(ReplicaTensors&&) noexcept = default;  // LCOV_EXCL_LINE: compilers elide it

void ReplicaTensors::bind(std::size_t replica, Inventory copy) {
  impl_->copies[replica - 1].inventory = std::move(copy);
  impl_->bind(replica);
}

Inventory& ReplicaTensors::master() { return impl_->master; }

std::int64_t ReplicaTensors::begin_refresh(std::size_t replicas) {
  const NoGradGuard no_grad;
  Impl& all = *impl_;
  all.follow_master();
  // What later refreshes of the step send follows from the step.
  if (capturing != nullptr && std::exchange(all.captured_in, capture_number()) != capture_number())
    capturing->add(std::make_unique<ReplayedRefresh>(impl_, replicas));
  std::int64_t bytes = std::exchange(all.bytes_in_step, 0);
  all.reducer->attach();
  for (std::size_t i = replicas; i-- > 1;) {  // the last replica's edges first
    const autograd::RecorderScope scope(std::make_shared<const autograd::Recorder>(
        autograd::Recorder{static_cast<int>(i), "the parameters of " + name_of_replica(i, all.devices[i])}));
    all.link(i);
  }
  for (std::size_t i = 1; i < replicas; ++i) {
    bytes += all.refresh_buffers(all.copies[i - 1]);
    bytes += all.refresh_tensors(all.copies[i - 1], all.devices[i]);
  }
  bytes += all.values.begin_refresh(replicas);
  all.written.clear();
  for (const Tensor& parameter : all.parameters.tensors) all.written.push_back(parameter.version());
  return bytes;
}

void ReplicaTensors::fetch(std::size_t replica) const { impl_->values.fetch(impl_->devices[replica]); }
void ReplicaTensors::fetch_all() const { impl_->values.fetch_all(); }
void ReplicaTensors::end_refresh() const noexcept { impl_->values.end_refresh(); }

void ReplicaTensors::check_parameters_unwritten() const {
  for (std::size_t i = 0; i < impl_->written.size(); ++i)
    check(impl_->parameters.tensors[i].version() == impl_->written[i], "DataParallel: the forward wrote ",
          impl_->parameters.names[i],
          " in place; a parameter may change between forwards only, keep such state in an nn::Buffer");
}

Tensor ReplicaTensors::master_buffer(std::size_t replica, const Tensor& buffer) const {
  if (replica == 0) return buffer;
  const auto& index = impl_->copies[replica - 1].buffer_index;
  const auto found = index.find(buffer.impl().get());
  return found == index.end() ? Tensor() : impl_->buffers.tensors[found->second];
}

const std::vector<Device>& ReplicaTensors::devices() const { return impl_->devices; }

StatisticsPlaces& ReplicaTensors::statistics_places() const { return impl_->statistics; }

std::size_t ReplicaTensors::buckets() const { return impl_->values.buckets(); }

NoSync ReplicaTensors::no_sync() { return NoSync(impl_->no_sync); }

std::int64_t ReplicaTensors::bytes_reduced() const { return impl_->reducer->bytes_reduced(); }

GradientReduction ReplicaTensors::reduction() const { return impl_->reduction.path; }

}  // namespace miniparallel::parallel
