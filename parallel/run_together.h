#pragma once

#include <miniparallel/device.h>
#include <miniparallel/error.h>

#include <cstddef>
#include <functional>
#include <vector>

namespace miniparallel::parallel {

/// Thrown by a job that waited for another one, which has failed: of no interest next
/// to that one's exception.
class Abandoned : public Error {
 public:
  using Error::Error;
};

/// `run_on` for jobs that wait for one another: each has a thread of its own, also those of one device, and
/// none is left out. The threads live as long as the call, so that no job waits in a queue behind another
/// caller's. When all have ended, the exception of the lowest i that was not `Abandoned` is rethrown.
void run_together(const std::vector<Device>& devices, const std::function<void(std::size_t)>& job);

}  // namespace miniparallel::parallel
