#include <miniparallel/parallel/gather.h>

#include <miniparallel/autograd.h>

#include "engine/ops/common.h"
#include "parallel/devices.h"
#include "parallel/read_peer.h"
#include "parallel/reduce_paths.h"
#include "parallel/stream_order.h"

namespace miniparallel::parallel {
namespace {

void check_parts(const std::vector<Tensor>& parts, int axis, const std::string& path) {
  const std::string op = "gather" + (path.empty() ? "" : " of " + path);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const Tensor &first = parts[0], &part = parts[i];
    check(part.dtype() == first.dtype(), op, ": replica 0 returned ", first.dtype(), ", replica ", i, " ",
          part.dtype(), "; the results of all replicas must have one dtype");
    Shape others = part.shape();
    if (others.rank() == first.dim()) others[axis] = first.shape()[axis];
    check(others == first.shape(), op, ": replica 0 returned shape ", first.shape(), ", replica ", i, " ",
          part.shape(), "; only the size of dim ", axis,
          " may differ. Does the model squeeze away a batch of one? Name the dimension, squeeze(dim)");
  }
}

/// The devices other than `device` whose parts it reads where they are.
std::vector<Device> peers_of(const std::vector<Tensor>& parts, Device device) {
  std::vector<Device> peers;
  for (const Tensor& part : parts)
    if (part.device() != device && reach_each_other(part.device(), device)) peers.push_back(part.device());
  return each_once(peers);
}

/// Copies each part to its rows of `y`, whose device reads the parts over links where there are some: all
/// those that are contiguous by one launch.
void write(const Tensor& y, const std::vector<Tensor>& parts, int axis) {
  std::vector<kernels::CopyRow> copies;
  std::int64_t start = 0;
  for (const Tensor& part : parts) {
    const std::int64_t size = part.size(axis);
    Tensor rows = y.narrow(axis, start, size);
    start += size;
    if (part.numel() == 0) continue;
    if (!reach_each_other(part.device(), y.device()))
      rows.copy_(part);
    else if (part.is_contiguous() && rows.is_contiguous())
      copies.push_back({raw(rows), raw(part), part.numel() * static_cast<std::int64_t>(part.element_size())});
    else
      read_peer(rows, part);
  }
  if (!copies.empty()) backend(y).collective.copy(copies, stream(y));
}

}  // namespace

Tensor gather_rows(const std::vector<Tensor>& tensors, Device device, int dim, const std::string& path) {
  check(!tensors.empty(), "gather: no tensors were given; pass the result of each replica");
  for (const Tensor& tensor : tensors) check_defined("gather", tensor);
  std::vector<Tensor> parts = tensors;
  for (Tensor& part : parts)
    if (part.dim() == 0) part = part.view({1});  // one entry per replica
  const int axis = tensors[0].dim() == 0 ? 0 : normalize_dim("gather", dim, tensors[0].dim());
  check_parts(parts, axis, path);
  if (parts.size() == 1) return parts[0].to(device);

  Shape shape = parts[0].shape();
  std::vector<std::int64_t> sizes;
  shape[axis] = 0;
  for (const Tensor& part : parts) {
    sizes.push_back(part.size(axis));
    shape[axis] += sizes.back();
  }
  Tensor y = make_tensor(shape, parts[0].dtype(), device);
  {
    const NoGradGuard no_grad;
    for (const Tensor& part : parts) raw(part);  // what is pending there comes before the reader
    const PeerWork ordered(device, peers_of(parts, device));
    write(y, parts, axis);
  }
  if (recording(parts)) {
    std::vector<Device> devices;
    devices.reserve(parts.size());
    for (const Tensor& part : parts) devices.push_back(part.device());
    record("gather", y, parts, [sizes, devices, axis](Backward& b) {
      std::int64_t start = 0;
      for (std::size_t i = 0; i < sizes.size(); start += sizes[i++])
        if (const int input = static_cast<int>(i); b.needs(input))
          b.set(input, b.grad().narrow(axis, start, sizes[i]).to(devices[i]));
    });
  }
  return y;
}

}  // namespace miniparallel::parallel
