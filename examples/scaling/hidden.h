#pragma once

#include <miniparallel/simulator_history.h>

#include <vector>

namespace scaling {

/// The share of the time of kernels that sum gradients over GPUs during which other kernels
/// run; 0 without any.
double hidden_share(const std::vector<miniparallel::simulator::Step>& steps);

}  // namespace scaling
