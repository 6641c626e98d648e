// Work of libraries that are templates, such as Thrust.
#include "cublas_context.h"
#include "miniparallel/simulator/library_call.h"

namespace miniparallel::simulator {

cudaError_t queue_library_call(cudaStream_t stream, const char* name, MemoryRange updated,
                               MemoryRange scratch, std::function<void()> run) {
  const bool queued =
      begin(stream, name) == CUBLAS_STATUS_SUCCESS &&
      queue(stream, name,
            {{Use::update, updated.address, updated.bytes}, {Use::write, scratch.address, scratch.bytes}}, {},
            std::move(run)) == CUBLAS_STATUS_SUCCESS;
  if (queued) return cudaSuccess;
  const cudaError_t sticky = sticky_error(current_device());
  return sticky != cudaSuccess ? sticky : cudaErrorLaunchFailure;
}

}  // namespace miniparallel::simulator
