#pragma once

#include <miniparallel/parallel/options.h>
#include <miniparallel/parallel/replicate.h>
#include <miniparallel/parallel/scatter.h>

#include <cstddef>
#include <functional>

namespace miniparallel::parallel {

/// Runs forward(i) for the i-th replica of `division`, each on its device's thread - those of the first one's
/// device in the calling thread - and in the state that a replica needs: the caller's grad mode, dtype,
/// streams; the random numbers of its rows; its place in sums of gradients. Before that send(i) is called for
/// each in the calling thread, the last one first. When all have ended running statistics are merged and the
/// random state moves on.
///
/// Of several exceptions the lowest replica's is rethrown, an `Error` with a note of replica, device and rows;
/// then statistics are as before the call.
void run_replicas(const ReplicaTensors& tensors, const Division& division, BatchNormPolicy policy,
                  const std::function<void(std::size_t)>& send,
                  const std::function<void(std::size_t)>& forward);

}  // namespace miniparallel::parallel
