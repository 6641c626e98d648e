#include "parallel/statistics.h"

#include <miniparallel/autograd.h>

#include "engine/error.h"

#include <algorithm>
#include <map>
#include <utility>

namespace miniparallel::parallel {
namespace {

/// One call of one layer, as all replicas made it.
struct Merged {
  RunningStatistics running;  // the master's
  std::vector<BatchStatistics> parts;
};

/// Calls of layers that each replica had the same share of, and in one dtype: their
/// statistics are merged together.
struct Group {
  BatchParts parts;
  DType dtype;
  std::vector<std::size_t> calls;
  StatisticsPlaces places;  // that these are in, where there are several parts
};

std::int64_t count_of(const Merged& call) {
  std::int64_t count = 0;
  for (const BatchStatistics& part : call.parts) count += part.count;
  return count;
}

std::vector<Merged> match_calls(const ReplicaTensors& tensors, const std::vector<std::size_t>& replicas,
                                const std::vector<CollectedStatistics>& collected) {
  std::vector<Merged> calls;  // in the order of the first replica's calls
  std::map<std::pair<const TensorImpl*, int>, std::size_t> index;  // by running mean and number of the call
  for (std::size_t i = 0; i < collected.size(); ++i) {
    std::map<const TensorImpl*, int> count;
    for (const CollectedStatistics::Call& call : collected[i].calls()) {
      const auto of_master = [&](const Tensor& buffer) {
        return buffer.defined() ? tensors.master_buffer(replicas[i], buffer) : Tensor();
      };
      const RunningStatistics running{of_master(call.running.mean), of_master(call.running.var),
                                      of_master(call.running.num_batches_tracked), call.running.momentum};
      if (!running.mean.defined()) continue;  // not the model's
      const TensorImpl* const key = running.mean.impl().get();
      const auto [entry, fresh] = index.try_emplace({key, count[key]++}, calls.size());
      if (fresh) calls.push_back({running, {}});
      calls[entry->second].parts.push_back(call.batch);
    }
  }
  return calls;
}

/// Also writes the number of its group for each call.
std::vector<Group> group(const std::vector<Merged>& calls, std::vector<std::size_t>& group_of) {
  std::vector<Group> groups;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Merged& call = calls[i];
    const auto count = static_cast<double>(count_of(call));
    std::vector<double> shares;
    for (const BatchStatistics& part : call.parts) shares.push_back(static_cast<double>(part.count) / count);
    const DType dtype = call.parts[0].mean.dtype();
    const auto same = [&](const Group& of) { return of.parts.shares == shares && of.dtype == dtype; };
    auto found = std::ranges::find_if(groups, same);
    if (found == groups.end()) found = groups.insert(found, {{std::move(shares)}, dtype, {}, {}});
    found->calls.push_back(i);
    group_of.push_back(static_cast<std::size_t>(found - groups.begin()));
  }
  return groups;
}

/// Whether each replica has written its statistics of all calls to the places that were planned.
bool are_in_place(const std::vector<Merged>& calls, const std::vector<CollectedStatistics>& collected) {
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (calls[i].parts.size() != collected.size()) return false;
    for (std::size_t part = 0; part < collected.size(); ++part)
      if (!collected[part].is_in_place(i, calls[i].parts[part])) return false;
  }
  return true;
}

/// Brings the parts of other devices to the places of the first one's, neighbours together.
StatisticsPlaces gather(const std::vector<CollectedStatistics>& collected,
                        const std::vector<Device>& devices) {
  StatisticsPlaces all = collected[0].places();
  const auto joins = [&](std::size_t i) { return devices[i] == devices[i + 1]; };
  for_each_run(devices.size(), joins, [&](std::size_t first, std::size_t last) {
    if (devices[first] != devices[0]) all.copy(collected[first].places(), first, last);
  });
  return all;
}

/// Copies one by one to places that are made for them.
StatisticsPlaces pack(const Group& group, const std::vector<Merged>& calls, Device device) {
  const std::size_t parts = group.parts.shares.size();
  std::vector<BatchStatistics> like;
  for (const std::size_t i : group.calls) like.push_back(calls[i].parts[0]);
  StatisticsPlaces places(like, parts, device);
  for (std::size_t part = 0; part < parts; ++part)
    for (std::size_t i = 0; i < group.calls.size(); ++i) {
      const BatchStatistics& from = calls[group.calls[i]].parts[part];
      BatchStatistics to = places.at(part, i, from.count);
      to.mean.copy_(from.mean);
      to.variance.copy_(from.variance);
    }
  return places;
}

/// Updates layer by layer in the order of the calls, as many as can be in one launch.
void update_all(const std::vector<Merged>& calls, const std::vector<Group>& groups,
                const std::vector<std::size_t>& group_of) {
  std::vector<StatisticsUpdate> updates;
  std::vector<std::size_t> next(groups.size());  // call of each group
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const RunningStatistics& running = calls[i].running;
    const auto is_same = [&](const StatisticsUpdate& of) { return of.running.mean.is_same(running.mean); };
    if (i > 0 && (group_of[i] != group_of[i - 1] || std::ranges::any_of(updates, is_same))) {
      update(updates, groups[group_of[i - 1]].parts);
      updates.clear();
    }
    const StatisticsPlaces& places = groups[group_of[i]].places;
    const std::size_t call = next[group_of[i]]++;
    const bool is_whole = calls[i].parts.size() == 1;
    updates.push_back({running, is_whole ? calls[i].parts[0] : places.at(0, call, count_of(calls[i]))});
  }
  if (!calls.empty()) update(updates, groups[group_of.back()].parts);
}

}  // namespace

std::string CollectedStatistics::advice_on_one_value() const {
  if (parts_ == 1 || rows_ == 0) return {};
  return message("; ", rows_, " rows are divided among ", parts_,
                 " replicas, and .min_rows = 2 gives none of them less than two");
}

std::vector<CollectedStatistics> collect_statistics(const StatisticsPlaces& planned,
                                                    const std::vector<Device>& devices, std::int64_t rows) {
  std::map<Device, StatisticsPlaces> places;
  std::vector<CollectedStatistics> collected;
  for (std::size_t part = 0; part < devices.size(); ++part) {
    const auto [found, fresh] = places.try_emplace(devices[part]);
    if (fresh && planned.parts() >= devices.size()) found->second = planned.on(devices[part]);
    collected.emplace_back(found->second, part, rows, devices.size());
  }
  return collected;
}

void merge_statistics(const ReplicaTensors& tensors, const std::vector<std::size_t>& replicas,
                      const std::vector<CollectedStatistics>& collected, StatisticsPlaces& planned) {
  const NoGradGuard no_grad;
  const std::vector<Merged> calls = match_calls(tensors, replicas, collected);
  std::vector<std::size_t> group_of;
  std::vector<Group> groups = group(calls, group_of);
  std::vector<Device> devices;
  for (std::size_t i = 0; i < collected.size(); ++i) devices.push_back(tensors.devices()[replicas[i]]);
  const bool is_one = groups.size() == 1, is_planned = is_one && are_in_place(calls, collected);
  for (Group& of : groups) {
    if (of.parts.shares.size() == 1) continue;
    of.places = is_planned ? gather(collected, devices) : pack(of, calls, devices[0]);
    of.parts.stride = of.places.stride();
    if (is_one && !is_planned) planned = of.places;
  }
  update_all(calls, groups, group_of);
}

}  // namespace miniparallel::parallel
