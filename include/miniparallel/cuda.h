#pragma once

#include <miniparallel/device.h>
#include <miniparallel/dtype.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

/// GPUs seen from outside: their number, and the handles that a user's own CUDA code needs to work along with
/// the library's. Handles are `void*`, so that no CUDA header is needed here.

namespace miniparallel {

class Tensor;

/// GPUs that can be used, or 0.
int cuda_device_count();

/// Why `cuda_device_count()` is 0 - a build without CUDA, no driver, a driver too old, no visible device, no
/// code for the GPU - as a sentence for the user; "" when there is a GPU.
std::string cuda_unavailable_reason();

/// A GPU whose memory another one can read and write without the host.
struct CudaLink {
  int peer = 0;              ///< the number of that GPU
  int performance_rank = 0;  ///< of the link among those of the machine; 0 is the fastest
  bool atomics = false;      ///< whether atomic operations reach the peer's memory
};

/// The properties of a GPU, as the driver describes it.
struct CudaDeviceProperties {
  std::string name;               ///< "NVIDIA H200"
  std::int64_t total_memory = 0;  ///< bytes
  int multi_processor_count = 0;  ///< streaming multiprocessors
  int major = 0, minor = 0;       ///< compute capability
  std::string pci_bus_id;         ///< "0000:3b:00.0", by which nvidia-smi and NVML know it
  std::vector<CudaLink> links;    ///< to the GPUs that it can reach directly
};

/// Asks the driver, so keep the answer. Throws `Error` if there is no such GPU.
CudaDeviceProperties cuda_device_properties(int device = 0);

/// The cudaStream_t that the calling thread's work for `device` goes to; null for the CPU. Throws `Error` if
/// there is no such GPU. A user's kernel launched there runs after the tensor ops before it and before
/// those that follow.
void* current_stream(Device device);

/// Whether GPUs may round the operands of float32 matrix products, convolutions and attention to TF32, which
/// keeps 10 of 23 bits after the first: some three decimal digits, for what tensor cores make several times
/// faster. Not allowed unless asked for. It holds for what is asked for afterwards, by any thread.
void set_allow_tf32(bool allow);
bool allow_tf32();

namespace detail {
void* device_data(const Tensor& tensor, DType dtype);
}

/// Pointer to the first element of a GPU tensor of exactly this type (`Error`
/// for another), in the GPU's memory: for the kernels of a user. Autograd does
/// not see their writes, so they should write new tensors only.
template <class T>
T* device_data(const Tensor& tensor) {
  return static_cast<T*>(detail::device_data(tensor, dtype_of<T>));
}

/// A point in a stream's work, to wait for. Copies share the point. For the CPU, whose work is done when a
/// call returns, nothing ever waits. Functions throw `Error` where CUDA reports one.
class Event {
 public:
  explicit Event(Device device);  ///< throws `Error` if there is no such GPU

  /// Marks the work that the calling thread has enqueued for the event's device.
  void record();
  /// Work that the calling thread enqueues for `device` from now on starts after the mark. This does not
  /// wait, unless `device` is the CPU, whose work starts at once.
  void wait(Device device) const;
  /// Whether the marked work is done; true before the first record.
  bool is_done() const;
  /// Waits, on the host, until the marked work is done, and throws what went wrong on the GPU.
  void synchronize() const;

 private:
  struct Handle;
  std::shared_ptr<Handle> handle_;
};

}  // namespace miniparallel
