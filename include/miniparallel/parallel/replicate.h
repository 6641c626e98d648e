#pragma once

#include <miniparallel/error.h>
#include <miniparallel/model.h>
#include <miniparallel/model/plain_members.h>
#include <miniparallel/parallel/device_list.h>
#include <miniparallel/parallel/no_sync.h>
#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/undo.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace miniparallel::parallel {

class StatisticsPlaces;

/// Note on the `Error` of a master whose layers have changed.
inline constexpr const char* kReplicasKeepLayers =
    "while replicas follow their master; wrap the changed model anew";

/// The tensors of a model on several devices: the part of Replicas that does not depend on the model's type.
/// Replica 0 is the model itself, the master. A replica's parameters show the master's values of the last
/// refresh, count the same writes, and send their gradients to it; buffers and plain tensors are copies.
class ReplicaTensors {
 public:
  /// Moves the master to devices[0], in place, its parameters and its buffers into one block of memory per
  /// dtype each. `master` must stay valid. Throws `Error` for a plain tensor that requires grad, and where
  /// the devices have no links for this reduction.
  ReplicaTensors(reflect::Inventory master, std::vector<Device> devices, const ReductionOptions& options);
  ~ReplicaTensors();
  ReplicaTensors(ReplicaTensors&&) noexcept;
  ReplicaTensors& operator=(ReplicaTensors&&) = delete;

  /// Gives the members of replica `replica`, a copy of the master, their own tensors.
  void bind(std::size_t replica, reflect::Inventory copy);
  /// What the master consists of, to be brought up to date before `refresh`: members may hold other tensors,
  /// and be in other places, than before.
  reflect::Inventory& master();
  /// Brings replicas 1 to `replicas` - 1 up to date: copies what has been written since, whole runs of the
  /// block at a time, and returns the number of bytes copied. Parameters of a large model arrive while
  /// the replicas already run: who uses one waits for it. Those of a small one are left to be fetched.
  /// Throws `Error`, naming the member, where one is on another device.
  std::int64_t begin_refresh(std::size_t replicas);
  /// Before replica `replica` uses its parameters, in its thread.
  void fetch(std::size_t replica) const;
  /// After the last one; parameters may be written again.
  void end_refresh() const noexcept;
  /// Both of them, of all replicas.
  void fetch_all() const;
  /// Throws `Error`, naming it, if a forward has written a parameter since the last refresh.
  void check_parameters_unwritten() const;

  /// The master's buffer of which `buffer` is the copy that a replica holds; undefined for another tensor.
  Tensor master_buffer(std::size_t replica, const Tensor& buffer) const;
  const std::vector<Device>& devices() const;
  /// For the batch statistics of the next forward.
  StatisticsPlaces& statistics_places() const;
  /// In how many parts parameters are sent to a device; 0 where none are. With several they arrive while the
  /// replicas run.
  std::size_t buckets() const;

  /// While it lives, gradients stay on their devices: see `DataParallel::no_sync`.
  NoSync no_sync();
  /// What devices read and wrote of one another in the last backward that brought
  /// gradients to the parameters.
  std::int64_t bytes_reduced() const;
  /// How, as it was chosen when this was made.
  GradientReduction reduction() const;

 private:
  struct Impl;
  class ReplayedRefresh;
  std::shared_ptr<Impl> impl_;
};

/// Permanent replicas of a model, one for each of `devices`, of which several may be one device. Replica 0 is
/// `master` itself, which must outlive them and keep its layers. Where they cannot be made, it is left as it
/// was.
template <class Model>
class Replicas {
 public:
  Replicas(Model& master, std::vector<Device> devices, const ReductionOptions& options = {})
      : master_(master),
        undo_(reflect::inventory(master)),
        tensors_(reflect::inventory(master), std::move(devices), options) {
    for (std::size_t i = 1; i < size(); ++i) {
      copies_.push_back(std::make_unique<Model>(reflect::copy(master)));
      tensors_.bind(i, reflect::inventory(*copies_.back()));
    }
    undo_.keep();
  }

  std::size_t size() const { return devices().size(); }
  const std::vector<Device>& devices() const { return tensors_.devices(); }
  Model& operator[](std::size_t i) { return i == 0 ? master_ : *copies_[i - 1]; }
  /// Brings the first `replicas` replicas up to date, plain members too, and returns the number of bytes
  /// copied. Throws `Error`, naming the member, where the master has other layers or shapes than before.
  std::int64_t refresh(std::size_t replicas) {
    const std::int64_t bytes = begin_refresh(replicas);
    tensors_.fetch_all();
    return bytes;
  }
  /// The same, but for parameters that each replica's thread fetches in `run_replicas`.
  std::int64_t begin_refresh(std::size_t replicas) {
    // One tells of changed layers.
    const std::size_t followers = replicas < 2 && size() >= 2 ? 2 : replicas;
    for (std::size_t i = 1; i < followers; ++i) follow(*copies_[i - 1]);
    reflect::retake(tensors_.master(), master_);
    return tensors_.begin_refresh(replicas);
  }
  ReplicaTensors& tensors() { return tensors_; }
  const ReplicaTensors& tensors() const { return tensors_; }

 private:
  void follow(Model& copy) {
    try {
      reflect::assign_plain_members(master_, copy);
    } catch (Error& error) {
      error.add_note(kReplicasKeepLayers);
      throw;
    }
  }

  Model& master_;
  Undo undo_;  // outlives what it undoes
  std::vector<std::unique_ptr<Model>> copies_;
  ReplicaTensors tensors_;
};

/// Copies of a model, one for each of `devices`, whose parameters send their gradients to those of `net`. The
/// first one is `net` itself, which is moved to the first device in place and must outlive them.
///
///   auto nets = parallel::replicate(net, {0, 1, 2});
///   auto outs = parallel::parallel_apply(nets, parallel::scatter(x, {0, 1, 2}));
///
/// They are permanent: `parallel_apply` and `nets.refresh(nets.size())` copy what has been
/// written to `net` since.
template <class Model>
Replicas<Model> replicate(Model& net, const DeviceList& devices = {}) {
  Undo undo(reflect::inventory(net));
  Replicas<Model> nets(net, devices.resolve("replicate"));
  nets.refresh(nets.size());
  undo.keep();
  return nets;
}

}  // namespace miniparallel::parallel
