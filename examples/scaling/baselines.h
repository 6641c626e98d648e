#pragma once

#include <miniparallel/miniparallel.h>

#include "engine/ops/split.h"
#include "parallel/run_on.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

// How others train one model on several devices, over the public ops: for comparison.

namespace miniparallel::baselines {

/// A copy of a model for one device, whose tensors are made anew by each forward.
template <class Net>
class MadeReplica {
 public:
  explicit MadeReplica(const Net& net)
      : net_(std::make_unique<Net>(clone(net))), items_(reflect::inventory(*net_)) {}
  Net& operator*() { return *net_; }
  void assign(std::size_t item, const Tensor& tensor) { *items_.items[item].handle = tensor; }

 private:
  std::unique_ptr<Net> net_;
  reflect::Inventory items_;
};

/// What both schemes have in common: the batch goes to the first device, its rows from there to the others,
/// replicas run in threads, and outputs return to the first device. One device calls the model.
/// `Scheme::refresh(replica, device)` gives a replica its tensors.
template <class Net, class Scheme>
class Baseline {
 public:
  Baseline(Net& master, std::vector<Device> devices)
      : master_(master), items_(reflect::inventory(master)), devices_(std::move(devices)) {
    to(master_, devices_[0]);
    for (std::size_t i = 0; i < devices_.size(); ++i) replicas_.emplace_back(master_);
  }

  Tensor operator()(const Tensor& batch) {
    const Tensor x = batch.to(devices_[0]);
    if (devices_.size() == 1) return master_(x);
    const std::vector<Tensor> chunks = parallel::scatter(x, devices_, {.split = Split::torch_chunk});
    Scheme scheme(items_);
    for (std::size_t i = 0; i < chunks.size(); ++i) scheme.refresh(replicas_[i], devices_[i]);
    std::vector<Tensor> outputs(chunks.size());
    const std::vector<Device> used(devices_.begin(), devices_.begin() + std::ssize(chunks));
    parallel::run_on(used, [&](std::size_t i) { outputs[i] = (*replicas_[i])(chunks[i]); });
    return parallel::gather(std::move(outputs), devices_[0]);
  }

 private:
  Net& master_;
  reflect::Inventory items_;
  std::vector<Device> devices_;
  std::vector<MadeReplica<Net>> replicas_;
};

/// PyTorch's nn.DataParallel: at each forward the parameters of each dtype, joined to one block, go to each
/// device, and so do the buffers; when the backward has come to its end the gradients of each device, joined,
/// return and are added.
class TorchReplicate {
 public:
  explicit TorchReplicate(const reflect::Inventory& master) : master_(master) {
    for (std::size_t i = 0; i < master.items.size(); ++i)
      if (const Tensor& tensor = *master.items[i].handle; tensor.defined())
        blocks_[{tensor.dtype(), tensor.requires_grad()}].items.push_back(i);
    for (auto& [kind, block] : blocks_) {
      std::vector<Tensor> rows;
      for (const std::size_t i : block.items) rows.push_back(master.items[i].handle->reshape({-1}));
      for (const Tensor& row : rows) block.sizes.push_back(row.numel());
      block.values = cat(rows);
    }
  }

  template <class Net>
  void refresh(MadeReplica<Net>& replica, Device device) {
    for (const auto& [kind, block] : blocks_) {
      const bool here = block.values.device() == device;
      const std::vector<Tensor> parts = here ? std::vector<Tensor>(block.items.size())
                                             : split_whole(block.values.to(device), block.sizes, 0);
      for (std::size_t k = 0; k < parts.size(); ++k) {
        const Tensor& own = *master_.items[block.items[k]].handle;
        replica.assign(block.items[k], here ? own : parts[k].view(own.shape()));
      }
    }
  }

 private:
  struct Block {
    std::vector<std::size_t> items;
    std::vector<std::int64_t> sizes;
    Tensor values;
  };
  const reflect::Inventory& master_;
  std::map<std::pair<DType, bool>, Block> blocks_;  // by dtype and whether it has gradients
};
template <class Net>
using TorchDataParallel = Baseline<Net, TorchReplicate>;

/// libtorch's torch::nn::parallel::data_parallel: each forward clones the module for each device, tensor by
/// tensor, also for the first; the gradients of each parameter return one by one and are added.
class LibtorchReplicate {
 public:
  explicit LibtorchReplicate(const reflect::Inventory& master) : master_(master) {}

  template <class Net>
  void refresh(MadeReplica<Net>& replica, Device device) {
    for (std::size_t i = 0; i < master_.items.size(); ++i)
      if (const Tensor& tensor = *master_.items[i].handle; tensor.defined())
        replica.assign(i, tensor.device() == device ? tensor.clone() : tensor.to(device));
  }

 private:
  const reflect::Inventory& master_;
};
template <class Net>
using LibtorchDataParallel = Baseline<Net, LibtorchReplicate>;

}  // namespace miniparallel::baselines
