#include "kernels/cuda/device/launch_on.cuh"
#include "kernels/cuda/device/sort.h"

#include <thrust/sort.h>
#include <thrust/system/cuda/execution_policy.h>
#include <thrust/system_error.h>

#include <string>

// The only file with Thrust, whose headers take nvcc a quarter of a minute.

namespace miniparallel::kernels::cuda {
namespace {

/// Hands out parts of one piece of memory while Thrust's call lasts. The stream's order guards it after that:
/// an allocator of CUDA's would make the host wait.
class Scratch {
 public:
  using value_type = char;
  Scratch(void* memory, std::size_t bytes) : next_(static_cast<char*>(memory)), left_(bytes) {}

  char* allocate(std::ptrdiff_t bytes) {
    const std::size_t taken = (static_cast<std::size_t>(bytes) + 255) / 256 * 256;
    if (taken > left_)
      throw Error("sort_keys: Thrust asks for " + std::to_string(taken) + " bytes of temporary memory, but " +
                  std::to_string(left_) + " are left; sort fewer keys at once");
    char* const part = next_;
    next_ += taken;
    left_ -= taken;
    return part;
  }
  void deallocate(char*, std::size_t) {}

 private:
  char* next_;
  std::size_t left_;
};

}  // namespace

void sort_keys(std::uint64_t* keys, std::int64_t count, void* scratch, std::size_t scratch_bytes,
               Stream stream) {
  const miniparallel::cuda::DeviceGuard guard(stream.device);
  Scratch memory(scratch, scratch_bytes);
  try {
    thrust::sort(thrust::cuda::par_nosync(memory).on(native(stream)), keys, keys + count);
  } catch (const thrust::system_error& error) {
    miniparallel::cuda::throw_cuda_error(static_cast<cudaError_t>(error.code().value()), "thrust::sort");
  }
}

}  // namespace miniparallel::kernels::cuda
