#pragma once

#include <miniparallel/cuda.h>

#include "engine/optim/shards.h"
#include "engine/tensor/arena.h"
#include "engine/tensor/pending.h"
#include "parallel/buckets.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace miniparallel::parallel {

/// Numbers of writes that a copy has seen.
using Versions = std::vector<std::int64_t>;
constexpr std::int64_t kNever = -1;

/// Copies a run of elements from one arena to another.
using CopyRun = void (*)(Tensor to, const Tensor& from);
inline void copy_run(Tensor to, const Tensor& from) { to.copy_(from); }

/// Copies the tensors of the bucket that is_stale(i) names from arena to arena, neighbours
/// together. Returns the bytes.
template <class IsStale>
std::int64_t copy_stale(const Arena& from, const Arena& to, Bucket bucket, const IsStale& is_stale,
                        CopyRun copy = copy_run) {
  std::int64_t bytes = 0;
  for (std::size_t first = bucket.begin; first < bucket.end; ++first) {
    if (!is_stale(first)) continue;
    std::size_t last = first;
    while (last + 1 < bucket.end && from.is_followed(last) && is_stale(last + 1)) ++last;
    const Tensor source = from.run(first, last);
    copy(to.run(first, last), source);
    bytes += source.numel() * static_cast<std::int64_t>(size_of(source.dtype()));
    first = last;
  }
  return bytes;
}

/// The values of a model's parameters on the devices of its replicas, those of one device shared by
/// all that are there.
///
/// They are sent in buckets, runs of the arena, on streams for copies. Whoever takes a pointer to a parameter
/// waits for its bucket (see Pending): a replica for its arrival, so that a layer starts when its own
/// parameters are there; who writes the master's for its departure. Buckets leave in the order in which
/// the last forward asked for them.
///
/// A model of one bucket has nothing to overlap with. There the thread of each device whose GPU reaches the
/// master's fetches the values, while the calling thread runs the master.
class Values {
 public:
  Values() = default;
  /// `master`: where `parameters` are. `devices`: of the replicas, the master's first. `buckets`: all
  /// parameters, in order.
  Values(std::vector<Tensor> parameters, Arena master, const std::vector<Device>& devices,
         std::vector<Bucket> buckets);

  const Arena& on(Device device) const { return device == devices_[0] ? master_ : copies_.at(device).arena; }
  /// Sends what has been written since to the devices of the first `replicas` replicas. Returns the bytes.
  std::int64_t refresh(std::size_t replicas);
  /// The same in two steps. The first one sends what no device fetches. Then each may `fetch` its values, in
  /// any thread, before they are used there.
  std::int64_t begin_refresh(std::size_t replicas);
  void fetch(Device device);
  void fetch_all();
  /// Of the devices of the first `replicas` replicas, whether each has yet to see what was written to each
  /// parameter.
  std::vector<bool> stale(std::size_t replicas) const;
  /// As `refresh`, for values that have been sent without it.
  void note_refresh(std::size_t replicas);
  /// What is written from now on comes after what was fetched; what was not is left for the next refresh.
  void end_refresh() noexcept;
  /// Devices, numbered as they first come among those of the replicas, have each written some elements,
  /// `parts`. All had the same values before, and get the same. Returns the bytes.
  std::int64_t exchange(std::span<const optim::Shards::Part> parts);
  /// In how many parts; 0 where there is nothing, or nowhere, to send.
  std::size_t buckets() const { return buckets_.size(); }

 private:
  /// Where a bucket's copies are marked, in one arena.
  struct Mark {
    Pending* pending;
    Pending::Parts parts;
    void set() const;
    std::uint64_t turn() const;  ///< of the part that was asked for first; 0 if none was
  };
  struct Copy {
    Arena arena;
    Versions seen;
    std::vector<Mark> arrivals;  // by bucket
    Event ready;                 // the device has done with the values of before
    Event fetched;
    std::unique_ptr<std::mutex> mutex = std::make_unique<std::mutex>();  // guards what follows and `seen`
    bool fetches = false, has_fetched = false;                           // in this refresh
  };

  std::vector<Mark> marks_in(const Arena& arena) const;
  std::vector<std::size_t> order_of_buckets() const;
  std::int64_t send(const Bucket& bucket, const Copy& copy, CopyRun run = copy_run) const;
  std::int64_t exchange(std::span<const optim::Shards::Part> parts, std::size_t bucket,
                        const std::vector<Device>& devices);
  std::int64_t send_beside(const std::vector<Copy*>& copies, const std::vector<Device>& devices);
  void note_versions();
  /// Calls f(copy) for the copies of the first `replicas` replicas.
  template <class Self, class F>
  static void for_each_copy(Self& self, std::size_t replicas, const F& f);

  std::vector<Tensor> parameters_;
  std::vector<Device> devices_;
  Arena master_;
  Versions versions_;  // of the parameters, at the last refresh
  std::vector<Bucket> buckets_;
  std::vector<Mark> departures_;  // by bucket; none where there is only one
  Event written_{Device::cpu()};  // the master's device has written what is sent
  std::map<Device, Copy> copies_;
};

}  // namespace miniparallel::parallel
