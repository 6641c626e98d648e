#include "parallel/values.h"

#include "engine/device/accelerator.h"
#include "engine/tensor/pending.h"
#include "engine/tensor/tensor_impl.h"
#include "parallel/devices.h"
#include "parallel/partition.h"
#include "parallel/read_peer.h"
#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <numeric>
#include <utility>

namespace miniparallel::parallel {
namespace {

std::size_t bytes_to_end(const Tensor& run) {
  return static_cast<std::size_t>(run.impl()->offset + run.numel()) * size_of(run.dtype());
}

}  // namespace

Values::Values(std::vector<Tensor> parameters, Arena master, const std::vector<Device>& devices,
               std::vector<Bucket> buckets)
    : parameters_(std::move(parameters)), devices_(devices), master_(std::move(master)) {
  for (const Device device : devices_)
    if (device != devices_[0] && !copies_.contains(device))  // one for all replicas that are there
      copies_.emplace(device, Copy{Arena(parameters_, device),
                                   Versions(parameters_.size(), kNever),
                                   {},
                                   Event(device),
                                   Event(device)});
  if (copies_.empty() || parameters_.empty()) return;
  buckets_ = std::move(buckets);
  written_ = Event(devices_[0]);
  if (buckets_.size() < 2) return;
  departures_ = marks_in(master_);
  for (auto& [device, copy] : copies_) copy.arrivals = marks_in(copy.arena);
}

/// Where the buckets are marked in the arena's blocks. Wrappers that share an arena share the parts of its
/// blocks, also where their buckets are not the same.
std::vector<Values::Mark> Values::marks_in(const Arena& arena) const {
  std::map<Storage*, std::vector<std::size_t>> ends;
  for (const Bucket& bucket : buckets_) {
    const Tensor run = arena.run(bucket.begin, bucket.end - 1);
    ends[run.impl()->storage.get()].push_back(bytes_to_end(run));
  }
  for (const auto& [block, ends_there] : ends)
    if (block->pending() == nullptr)
      block->set_pending(std::make_unique<Pending>(block->device(), ends_there));
  std::vector<Mark> marks;
  for (const Bucket& bucket : buckets_) {
    const Tensor run = arena.run(bucket.begin, bucket.end - 1);
    Pending* const pending = run.impl()->storage->pending();
    const std::size_t begin = static_cast<std::size_t>(run.impl()->offset) * size_of(run.dtype());
    marks.push_back({pending, pending->parts(begin, bytes_to_end(run))});
  }
  return marks;
}

void Values::Mark::set() const {
  for (std::size_t part = parts.first; part <= parts.last; ++part) pending->mark(part);
}

std::uint64_t Values::Mark::turn() const {
  std::uint64_t first = 0;
  for (std::size_t part = parts.first; part <= parts.last; ++part)
    if (const std::uint64_t turn = pending->turn(part); first == 0 || (turn != 0 && turn < first))
      first = turn;
  return first;
}

std::int64_t Values::send(const Bucket& bucket, const Copy& copy, CopyRun run) const {
  return copy_stale(
      master_, copy.arena, bucket, [&](std::size_t i) { return copy.seen[i] != versions_[i]; }, run);
}

void Values::note_versions() {
  versions_.clear();
  for (const Tensor& parameter : parameters_) versions_.push_back(parameter.version());
}

std::int64_t Values::refresh(std::size_t replicas) {
  const std::int64_t bytes = begin_refresh(replicas);
  fetch_all();
  return bytes;
}

std::int64_t Values::begin_refresh(std::size_t replicas) {
  note_versions();
  for (auto& [device, copy] : copies_)
    copy.fetches = false;  // of a forward that failed before its replicas ran
  std::vector<Copy*> sent, fetched;
  std::vector<Device> devices;
  for (const Device device :
       each_once({devices_.begin(), devices_.begin() + static_cast<std::ptrdiff_t>(replicas)})) {
    if (device == devices_[0]) continue;
    Copy& copy = copies_.at(device);
    if (copy.seen == versions_) continue;
    if (departures_.empty() && reach_each_other(devices_[0], device)) {
      fetched.push_back(&copy);
    } else {
      sent.push_back(&copy);
      devices.push_back(device);
    }
  }
  std::int64_t bytes = 0;
  if (!fetched.empty()) {
    for (const Tensor& block : master_.blocks())
      raw(block);  // what is pending there comes before the readers
    written_.record();
  }
  for (Copy* const copy : fetched) {
    bytes += send(buckets_[0], *copy, [](Tensor, const Tensor&) {});
    copy->fetches = true;
  }
  if (!sent.empty() && !departures_.empty())
    bytes += send_beside(sent, devices);
  else
    for (Copy* const copy : sent) bytes += send(buckets_[0], *copy);
  for (Copy* const copy : sent) copy->seen = versions_;
  return bytes;
}

void Values::fetch(Device device) {
  const auto found = copies_.find(device);
  if (found == copies_.end()) return;
  Copy& copy = found->second;
  const std::scoped_lock lock(*copy.mutex);  // replicas of one device may have a thread each
  if (!copy.fetches) return;
  written_.wait(device);
  copy.has_fetched = true;
  const MarkedWork marked(copy.fetched, device);
  send(buckets_[0], copy, read_peer);
  copy.seen = versions_;
  copy.fetches = false;
}

void Values::fetch_all() {
  try {
    for (const auto& [device, copy] : copies_) fetch(device);
  } catch (...) {
    end_refresh();
    throw;
  }
  end_refresh();
}

void Values::end_refresh() noexcept {
  for (auto& [device, copy] : copies_) {
    copy.fetches = false;
    if (std::exchange(copy.has_fetched, false)) wait_for(devices_[0], copy.fetched, device);
  }
}

template <class Self, class F>
void Values::for_each_copy(Self& self, std::size_t replicas, const F& f) {
  const auto end = self.devices_.begin() + static_cast<std::ptrdiff_t>(replicas);
  for (auto& [device, copy] : self.copies_)
    if (std::find(self.devices_.begin(), end, device) != end) f(copy);
}

std::vector<bool> Values::stale(std::size_t replicas) const {
  std::vector<bool> found;
  for_each_copy(*this, replicas, [&](const Copy& copy) {
    for (std::size_t i = 0; i < parameters_.size(); ++i)
      found.push_back(copy.seen[i] != parameters_[i].version());
  });
  return found;
}

void Values::note_refresh(std::size_t replicas) {
  note_versions();
  for_each_copy(*this, replicas, [&](Copy& copy) { copy.seen = versions_; });
}

/// Buckets in the order in which the last forward asked for them.
std::vector<std::size_t> Values::order_of_buckets() const {
  std::vector<std::size_t> order(buckets_.size());
  std::iota(order.begin(), order.end(), 0);
  if (departures_.empty()) return order;
  std::ranges::sort(order, {}, [&](std::size_t bucket) {
    return std::pair(departures_[bucket].turn() - 1, bucket);  // the last, if never asked for
  });
  return order;
}

/// Sends bucket after bucket on the streams for copies, which first wait for the kernels that wrote the
/// master's values and for those that still read the copies of before.
std::int64_t Values::send_beside(const std::vector<Copy*>& copies, const std::vector<Device>& devices) {
  written_.record();
  for (Copy* const copy : copies) copy->ready.record();
  std::deque<StreamScope> streams;
  streams.emplace_back(devices_[0], StreamKind::copy);
  written_.wait(devices_[0]);
  for (std::size_t i = 0; i < copies.size(); ++i) {
    streams.emplace_back(devices[i], StreamKind::copy);
    copies[i]->ready.wait(devices[i]);
  }
  std::int64_t bytes = 0;
  for (const std::size_t bucket : order_of_buckets()) {
    std::int64_t sent = 0;
    for (Copy* const copy : copies) {
      const std::int64_t arriving = send(buckets_[bucket], *copy);
      if (arriving > 0) copy->arrivals[bucket].set();
      sent += arriving;
    }
    if (sent > 0) departures_[bucket].set();
    bytes += sent;
  }
  return bytes;
}

/// Parts leave a device on its stream for copies and arrive on that for communication, so that it sends and
/// receives at the same time; the stream for copies is that of the marks.
std::int64_t Values::exchange(std::span<const optim::Shards::Part> parts) {
  const std::vector<Device> devices = each_once(devices_);
  enter(devices, StreamKind::copy);
  std::int64_t bytes = 0;
  try {
    const StreamsScope leaving(devices, StreamKind::copy);
    enter(devices, StreamKind::communication);
    try {
      for (const std::size_t bucket : order_of_buckets()) bytes += exchange(parts, bucket, devices);
    } catch (...) {
      leave(devices, StreamKind::communication);
      throw;
    }
  } catch (...) {  // whatever is written next comes after what is under way
    leave(devices, StreamKind::copy);
    throw;
  }
  if (departures_.empty()) leave(devices, StreamKind::copy);
  note_versions();
  for (auto& [device, copy] : copies_) copy.seen = versions_;
  return bytes;
}

/// In each round every device sends its parts of the bucket to one other.
std::int64_t Values::exchange(std::span<const optim::Shards::Part> parts, std::size_t bucket,
                              const std::vector<Device>& devices) {
  const Tensor all = master_.run(buckets_[bucket].begin, buckets_[bucket].end - 1);
  const std::int64_t first = all.impl()->offset, last = first + all.numel();
  std::int64_t bytes = 0;
  for (std::size_t round = 1; round < devices.size(); ++round)
    for (const auto& [number, values] : parts) {
      const std::int64_t begin = std::max(values.impl()->offset, first),
                         end = std::min(values.impl()->offset + values.numel(), last);
      if (values.dtype() != all.dtype() || begin >= end) continue;
      const Device from = devices[number], to = devices[(number + round) % devices.size()];
      const StreamScope arriving(to, StreamKind::communication);
      const Tensor source = elements_of(on(from), all.dtype(), begin, end);
      elements_of(on(to), all.dtype(), begin, end).copy_(source);
      bytes += source.numel() * static_cast<std::int64_t>(size_of(source.dtype()));
    }
  if (bytes == 0) return 0;
  leave(devices, StreamKind::communication);
  if (!departures_.empty())
    for (const Device device : devices)
      (device == devices_[0] ? departures_ : copies_.at(device).arrivals)[bucket].set();
  return bytes;
}

}  // namespace miniparallel::parallel
