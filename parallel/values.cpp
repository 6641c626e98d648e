#include "parallel/values.h"

#include "engine/device/accelerator.h"
#include "engine/tensor/pending.h"
#include "engine/tensor/tensor_impl.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <numeric>
#include <utility>

namespace miniparallel::parallel {
namespace {

// Bytes of a bucket, which a larger tensor exceeds. The first is small, since nothing runs meanwhile; the others
// are large enough for the bandwidth of a link.
constexpr std::size_t kFirstBucket = std::size_t{1} << 20;
constexpr std::size_t kBucket = std::size_t{8} << 20;

std::size_t bytes_to_end(const Tensor& run) {
  return static_cast<std::size_t>(run.impl()->offset + run.numel()) * size_of(run.dtype());
}

}  // namespace

Values::Values(std::vector<Tensor> parameters, Arena master, const std::vector<Device>& devices,
               bool in_buckets)
    : parameters_(std::move(parameters)), devices_(devices), master_(std::move(master)) {
  for (const Device device : devices_)
    if (device != devices_[0])
      copies_.try_emplace(
          device, Copy{Arena(parameters_, device), Versions(parameters_.size(), kNever), {}, Event(device)});
  if (copies_.empty() || parameters_.empty()) return;
  if (in_buckets)
    divide();
  else
    buckets_ = {{0, parameters_.size() - 1}};
  if (buckets_.size() < 2) return;
  departures_ = marks_in(master_);
  written_ = Event(devices_[0]);
  for (auto& [device, copy] : copies_) copy.arrivals = marks_in(copy.arena);
}

void Values::divide() {
  std::size_t room = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const std::size_t bytes =
        static_cast<std::size_t>(parameters_[i].numel()) * size_of(parameters_[i].dtype());
    if (room == 0 || !master_.is_followed(i - 1)) {
      room = buckets_.empty() ? kFirstBucket : kBucket;
      buckets_.push_back({i, i});
    }
    buckets_.back().last = i;
    room -= std::min(room, bytes);
  }
}

/// The parts of the arena's blocks that are buckets. Wrappers that share an arena share its parts.
std::vector<Values::Mark> Values::marks_in(const Arena& arena) const {
  std::vector<std::vector<std::size_t>> ends;  // by block
  std::vector<Storage*> blocks;
  std::vector<Mark> marks;
  std::vector<std::size_t> block_of;
  for (const Bucket& bucket : buckets_) {
    const Tensor run = arena.run(bucket.first, bucket.last);
    Storage* const storage = run.impl()->storage.get();
    const auto found = static_cast<std::size_t>(std::ranges::find(blocks, storage) - blocks.begin());
    if (found == blocks.size()) {
      blocks.push_back(storage);
      ends.emplace_back();
    }
    block_of.push_back(found);
    marks.push_back({nullptr, ends[found].size()});
    ends[found].push_back(bytes_to_end(run));
  }
  for (std::size_t i = 0; i < blocks.size(); ++i)
    if (blocks[i]->pending() == nullptr)
      blocks[i]->set_pending(std::make_unique<Pending>(blocks[i]->device(), ends[i]));
  for (std::size_t i = 0; i < marks.size(); ++i) marks[i].pending = blocks[block_of[i]]->pending();
  return marks;
}

bool Values::is_stale(const Copy& copy, std::size_t i) const {
  return copy.seen[i] != static_cast<std::int64_t>(parameters_[i].version());
}

std::int64_t Values::send(const Bucket& bucket, Copy& copy) const {
  return copy_stale(master_, copy.arena, bucket.first, bucket.last,
                    [&](std::size_t i) { return is_stale(copy, i); });
}

std::int64_t Values::refresh(std::size_t replicas) {
  std::vector<Copy*> stale;
  std::vector<Device> devices;
  for (std::size_t i = 1; i < replicas; ++i) {
    const Device device = devices_[i];
    if (device == devices_[0] || std::ranges::find(devices, device) != devices.end()) continue;
    Copy& copy = copies_.at(device);
    bool any = false;
    for (std::size_t j = 0; j < copy.seen.size() && !any; ++j) any = is_stale(copy, j);
    if (!any) continue;
    stale.push_back(&copy);
    devices.push_back(device);
  }
  if (stale.empty()) return 0;
  std::int64_t bytes = 0;
  if (departures_.empty())
    for (Copy* const copy : stale) bytes += send(buckets_[0], *copy);
  else
    bytes = send_beside(stale, devices);
  for (Copy* const copy : stale) note_sent(*copy);
  return bytes;
}

void Values::note_sent(Copy& copy) const {
  for (std::size_t i = 0; i < copy.seen.size(); ++i) copy.seen[i] = parameters_[i].version();
}

void Values::note_sent() {
  for (auto& [device, copy] : copies_) note_sent(copy);
}

/// Sends bucket after bucket on the streams for copies, which first wait for the kernels that wrote the master's
/// values and for those that still read the copies of before.
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
  std::vector<std::size_t> order(buckets_.size());
  std::iota(order.begin(), order.end(), 0);
  const auto turn = [&](std::size_t bucket) {
    return departures_[bucket].pending->turn(departures_[bucket].part) - 1;  // the last, if never asked for
  };
  std::ranges::sort(order, {}, [&](std::size_t bucket) { return std::pair(turn(bucket), bucket); });
  std::int64_t bytes = 0;
  for (const std::size_t bucket : order) {
    std::int64_t sent = 0;
    for (Copy* const copy : copies) {
      const std::int64_t arriving = send(buckets_[bucket], *copy);
      if (arriving > 0) copy->arrivals[bucket].pending->mark(copy->arrivals[bucket].part);
      sent += arriving;
    }
    if (sent > 0) departures_[bucket].pending->mark(departures_[bucket].part);
    bytes += sent;
  }
  return bytes;
}

}  // namespace miniparallel::parallel
