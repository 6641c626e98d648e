#pragma once

#include <miniparallel/parallel/scatter.h>

#include "engine/threads/recorder.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace miniparallel::parallel {

/// "replica 1 on cuda:1".
std::string name_of_replica(std::size_t replica, Device device);

/// Who records the work of each replica that runs: its place in the list as rank, and a description that
/// names its rows. `devices` are those of all replicas.
std::vector<std::shared_ptr<const autograd::Recorder>> recorders_of(const Division& division,
                                                                    const std::vector<Device>& devices);

/// Calls send(i) under recorder i, the last one first.
void send_each(const std::vector<std::shared_ptr<const autograd::Recorder>>& recorders,
               const std::function<void(std::size_t)>& send);

}  // namespace miniparallel::parallel
