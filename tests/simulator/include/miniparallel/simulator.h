#pragma once
// Control of the simulated CUDA machine: how many GPUs, in which order things
// run, which faults strike, what was counted and what was found. The program
// under test calls CUDA's own functions; only a test's set-up calls these.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

struct CUstream_st;  // what a cudaStream_t points to

namespace miniparallel::simulator {

/// One simulated GPU. `memory` is in bytes and real: an allocation past it fails. `compute_capability` is 10
/// * major + minor.
struct Gpu {
  std::size_t memory = std::size_t{16} << 30;
  int compute_capability = 90;
  int multiprocessors = 132;
  std::string name = "Simulated GPU";
  std::int64_t lost_after = 0;  ///< kernels, with which it falls off the bus; 0: never
};

/// Which ordered pairs of devices may enable peer access: nobody, ring neighbours, everybody.
enum class Peers { none, ring, all };

/// Who runs queued work: the host thread that waits for it, as late as possible and in a seeded order
/// (`lazy`), or one worker thread per stream (`threaded`).
enum class Streams { lazy, threaded };

/// Order in which the threads of a block, and the blocks of a grid, take their turns.
enum class Order { forward, reverse, shuffled };

struct Machine {
  std::vector<Gpu> gpus = {Gpu{}};
  Peers peers = Peers::all;
  Streams streams = Streams::lazy;
  Order order = Order::shuffled;
  std::uint64_t seed = 0;  ///< picks the shuffled order and the lazy interleaving; 0 is the latest possible
  bool checking = false;   ///< look every access up in shadow memory
  std::chrono::milliseconds patience{2000};           ///< a wait that cannot end is reported after this long
  std::size_t pinned_memory = std::size_t{64} << 30;  ///< bytes of host memory that may be pinned at once
  int driver_version = 13000;                         ///< 0: no driver; below 13000: too old for the toolkit
  bool kernel_image = true;                           ///< false: the program has no code for these GPUs
  int max_peers = 8;                                  ///< peers that one device may have enabled at once
};

/// The machine that the environment describes, by MINIPARALLEL_SIMULATED_GPUS (a number, default 1), _STREAMS
/// (lazy or threaded), _SEED, _CHECK (0 or 1; default 1 where kernels are CHECKED), _LOSE (GPU:kernels), and
/// CUDA_VISIBLE_DEVICES.
Machine machine_from_environment();

/// That machine with `count` equal GPUs.
Machine machine_with(int count);

/// Throws everything away (memory, streams, errors, counters, faults, reports) and starts anew. Handles of
/// before are dead.
void reset(const Machine& machine = machine_from_environment());

// ---- findings

enum class Finding {
  out_of_bounds,
  use_after_free,
  unwritten_read,
  peer_access,
  host_memory,
  host_access,
  race,
  barrier,
  absent_lane,
  stream_race,
  free_in_use,
  wrong_stream,
  unchecked_error,
  invalid_free,
  hang,
  instrumentation,
  shared_memory,
  trap,
  library
};

struct Report {
  Finding finding;
  std::string text;  ///< names kernel, block, thread, address, allocation and device as far as they apply
};

/// The findings since the last call, oldest first. A program that ends with findings nobody took prints a
/// line about them and exits with status 66.
std::vector<Report> take_reports();

/// Receives each finding at once; the default prints it to stderr. Returns the previous handler.
using ReportHandler = std::function<void(const Report&)>;
ReportHandler set_report_handler(ReportHandler handler);

// ---- faults

/// The n-th device allocation from now on (1 = the next)
/// fails once with cudaErrorMemoryAllocation: recoverable.
void fail_allocation(int device, int nth);
/// The n-th kernel, or copy, enqueued on the device from now
/// on fails when it runs with this code: sticky, as in CUDA.
void fail_kernel(int device, int nth, int cuda_error = 719 /* cudaErrorLaunchFailure */);
void fail_copy(int device, int nth, int cuda_error = 719);
/// The n-th call of a library function whose name begins with `prefix` returns its library's error.
void fail_library_call(const std::string& prefix, int nth);
/// The n-th call of a CUDA function whose name begins with `prefix` does nothing and returns this error once.
/// Every launch of a kernel is called "a kernel launch".
void fail_call(const std::string& prefix, int nth, int cuda_error = 2 /* cudaErrorMemoryAllocation */);
/// How many of the faults that were asked for have not struck yet.
int faults_to_come();
/// They will not strike any more. Returns how many there were.
int forget_faults();
/// The device falls off the bus: its queued work never finishes and every call on it fails; the others go on.
void lose_device(int device);
/// Operations of the device take `factor` times as long
/// (threaded streams), or yield to all others (lazy streams).
void slow_down(int device, double factor);
/// Copies from one device to another carry no more than that (threaded streams); at 0 they never end.
void slow_link(int from, int to, double bytes_per_second);
/// What goes over a link: copies, and what kernels read of the memory of other devices.
enum class Traffic { all, copies, kernel_reads };
/// Data from one device to another arrive damaged, as behind a misconfigured IOMMU: a byte of each row of a
/// copy, and for a kernel of `to` the first byte behind each pointer to memory of `from` among its arguments.
/// That byte is changed while the kernel runs, so nothing else may use it at the same time.
void corrupt_link(int from, int to, Traffic traffic = Traffic::all);

// ---- counters

/// Counted when a call is made, not when its work runs: equal programs count equally in every mode and seed.
struct Counters {
  std::int64_t kernels = 0, library_calls = 0, host_functions = 0;
  std::int64_t copies = 0, bytes_to_device = 0, bytes_to_host = 0, bytes_on_device = 0,
               bytes_between_devices = 0, bytes_set = 0;
  std::int64_t allocations = 0, frees = 0, bytes_allocated = 0, bytes_in_use = 0, peak_bytes = 0;
  std::int64_t pinned_allocations = 0;
  std::int64_t host_synchronizations =
      0;  ///< calls that make the host wait: stream, event, device, synchronous copies
  std::int64_t device_synchronizations = 0;  ///< those of them that wait for the whole device
  std::int64_t event_records = 0, stream_waits = 0;
  std::int64_t collectives = 0,
               collective_bytes = 0;  ///< NCCL: calls, and bytes put on links by ring algorithms
};

Counters counters(int device);
Counters counters();  ///< summed over the devices
/// What happened since `before`; bytes_in_use and peak_bytes stay absolute.
Counters operator-(const Counters& after, const Counters& before);
/// Host memory that is pinned now, whichever device was current.
std::int64_t pinned_bytes_in_use();
/// The peak starts again from what is in use now.
void reset_peak();

// ---- for allocators

/// A caching allocator that carves blocks out of one allocation tells the
/// checker where they are, so that an access past a block's end, or after its
/// return, is found although CUDA's own allocation is larger and lives on.
/// Both take effect in the order of the stream on which the block is used.
void block_handed_out(const void* begin, std::size_t bytes, CUstream_st* stream);
void block_returned(const void* begin, CUstream_st* stream);

}  // namespace miniparallel::simulator
