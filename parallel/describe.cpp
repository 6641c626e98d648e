#include <miniparallel/cuda.h>
#include <miniparallel/memory.h>
#include <miniparallel/parallel/data_parallel.h>

#include "engine/device/accelerator.h"
#include "engine/error.h"
#include "parallel/devices.h"
#include "parallel/reduce.h"

#include <algorithm>

namespace miniparallel::parallel {
namespace {

template <class T>
std::string list(const std::vector<T>& values) {
  std::string text;
  for (const T& value : values) text += (text.empty() ? "" : ", ") + message(value);
  return text;
}

std::string line_of(Device device, const std::vector<Device>& placement) {
  std::string text = message("  ", device, ": ");
  if (device.is_cuda()) {
    const CudaDeviceProperties found = cuda_device_properties(device.index);
    text += message(found.name, ", ", gibibytes(found.total_memory), " GiB, ", found.multi_processor_count,
                    " multiprocessors, compute capability ", found.major, ".", found.minor, ", ",
                    found.pci_bus_id, "; ");
  }
  std::vector<std::size_t> replicas;
  for (std::size_t i = 0; i < placement.size(); ++i)
    if (placement[i] == device) replicas.push_back(i);
  return text + (replicas.size() == 1 ? "replica " : "replicas ") + list(replicas) + "\n";
}

/// How bytes come from one GPU to another.
std::string links_of(const std::vector<Device>& devices) {
  if (devices.size() == 1) return {};
  std::vector<std::string> staged;
  std::size_t pairs = 0;
  for (std::size_t i = 0; i < devices.size(); ++i)
    for (std::size_t j = i + 1; j < devices.size(); ++j) {
      ++pairs;
      Accelerator& owner = accelerator(devices[i]);
      if (!owner.reaches(devices[i].index, devices[j].index) ||
          !owner.reaches(devices[j].index, devices[i].index))
        staged.push_back(message(devices[i], " and ", devices[j]));
    }
  if (staged.empty()) return "  copies between GPUs: direct\n";
  if (staged.size() == pairs) return "  copies between GPUs: through host memory\n";
  return "  copies between GPUs: direct, but through host memory between " + list(staged) + "\n";
}

std::string memory_of(const std::vector<Device>& devices) {
  std::vector<std::string> peaks;
  for (const Device device : devices)
    peaks.push_back(
        message(gibibytes(memory_stats(device).peak), " GiB", peaks.empty() ? " used on " : " on ", device));
  return list(peaks);
}

std::string parameters_of(std::size_t buckets) {
  if (buckets == 0) return {};
  if (buckets == 1) return "  parameters: sent in one part, before the forward\n";
  return message("  parameters: sent in ", buckets, " parts, while the forward runs\n");
}

}  // namespace

std::string describe(const Description& of) {
  const std::vector<Device> devices = each_once(of.placement);
  std::string text = message(
      "DataParallel: ", of.placement.size(), of.placement.size() == 1 ? " replica on " : " replicas on ",
      devices.size(), devices.size() == 1 ? " device" : " devices", ", outputs on ", of.output_device, "\n");
  for (const Device device : devices) text += line_of(device, of.placement);
  text += links_of(devices) + parameters_of(of.buckets);
  if (devices.size() > 1)
    text += "  sums of gradients: " +
            describe_reduction(devices, of.options.reduction, of.options.shard_optimizer) + "\n";
  if (of.options.shard_optimizer && devices.size() > 1)
    text += "  optimizer: sharded; at most " + memory_of(devices) + "\n";
  text += "  rows: ";
  if (of.options.split.kind() == Split::Kind::by_speed && of.split.kind() != Split::Kind::by_speed)
    text += "by_speed, ";
  text += of.split.to_string();
  if (!of.last.rows.empty()) text += "; the last batch " + list(of.last.rows);
  if (of.last.replicas.size() < of.placement.size() && !of.last.replicas.empty())
    text += message(" on replicas ", list(of.last.replicas));
  return text + "\n";
}

}  // namespace miniparallel::parallel
